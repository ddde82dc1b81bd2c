"""What is asked of a stack that runs, or was not taken down: used as it was started, or told what differs."""

from pathlib import Path

import pytest

from deployment.credentials import generate
from deployment.errors import StackError
from deployment.local.ports import Ports
from deployment.local.requested_settings import differing_from_default, refuse_changes, without_own_servers
from deployment.local.settings import Addresses, Settings

PASSWORDS = generate()


@pytest.fixture
def kept(tmp_path: Path) -> Settings:
    """A stack on other ports than usual, and with another log level."""
    return Settings(
        run_dir=tmp_path,
        ports=Ports(lease=9000, amqp=24_000),
        tunables={"LOG_LEVEL": "debug", "STRIPE_API_KEY": "sk_test_1"},
    )


def test_nothing_or_the_same_is_no_change(kept: Settings) -> None:
    """Nothing asked for, empty values, what it was started with, defaults in force, its own `make env`."""
    own = Addresses(kept, PASSWORDS).exports()
    for environment in (
        {},
        {"LEASE_PORT": "", "UNRELATED": "1"},
        {"LEASE_PORT": "9000", "LOG_LEVEL": "debug", "STRIPE_API_KEY": "sk_test_1", "GATEWAY": "sandbox"},
        {"WEBHOOK_SECRET": PASSWORDS.webhook},
        own,
    ):
        refuse_changes(kept, environment, PASSWORDS)


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"LEASE_PORT": "9100"}, "LEASE_PORT: 9000, not 9100"),
        ({"RABBITMQ_PORT": "25670"}, "RABBITMQ_PORT: 24000, not 25670"),
        ({"LOG_LEVEL": "info"}, "LOG_LEVEL: debug, not info"),
        ({"COLLECTIONS_AT": "never"}, "COLLECTIONS_AT: 06:00, not never"),
        ({"STRIPE_API_KEY": "sk_test_2"}, "STRIPE_API_KEY: …, not …"),
        ({"WEBHOOK_SECRET": "whsec_2"}, "WEBHOOK_SECRET: …, not …"),
        ({"DATABASE_URL": "postgresql://u:hidden@db/x"}, "DATABASE_URL: …, not …"),
        ({"AMQP_URL": "amqp://u:hidden@broker/"}, "AMQP_URL: …, not …"),
    ],
)
def test_other_settings_are_named(kept: Settings, environment: dict[str, str], told: str) -> None:
    """Which one, what it runs with and what to do; no secret is shown, and nothing else is named."""
    with pytest.raises(StackError) as caught:
        refuse_changes(kept, environment, PASSWORDS)
    lines = str(caught.value).splitlines()
    assert lines[1:2] == [f"  {told}"]
    assert lines[2].startswith("`make down` first")
    for secret in ("sk_test", "whsec", "hidden", PASSWORDS.amqp, PASSWORDS.webhook):
        assert secret not in str(caught.value)


def test_a_value_that_cannot_be_meant_is_told_first(kept: Settings) -> None:
    """Also where the stack runs, and held against its other ports."""
    with pytest.raises(StackError, match="LEDGER_PORT='http' is not a port"):
        refuse_changes(kept, {"LEDGER_PORT": "http"}, PASSWORDS)
    with pytest.raises(StackError, match="LEASE_PORT and LEDGER_PORT are both 9000"):
        refuse_changes(kept, {"LEDGER_PORT": "9000"}, PASSWORDS)


def test_what_is_asked_for_goes_before_what_is_kept(kept: Settings) -> None:
    """The rest holds on."""
    after = Settings.from_environment({"LEASE_PORT": "9100", "GATEWAY": "stripe"}, kept)
    assert after.ports == Ports(lease=9100, amqp=24_000)
    assert after.tunables == {**kept.tunables, "GATEWAY": "stripe"}
    told = differing_from_default(after)
    assert told == "RABBITMQ_PORT=24000 LEASE_PORT=9100 LOG_LEVEL=debug STRIPE_API_KEY=… GATEWAY=stripe"
    assert differing_from_default(Settings(run_dir=kept.run_dir)) == ""


def test_settings_hold_until_they_are_forgotten(kept: Settings) -> None:
    """`recall` gives what was kept; after `forget`, what is asked for."""
    asked = Settings(run_dir=kept.run_dir, ports=Ports(lease=9200))
    assert asked.kept() is None
    kept.remember()
    assert asked.kept() == kept == asked.recall()
    kept.forget()
    assert asked.recall() == asked


def test_own_servers_on_the_ports_of_before_are_own(tmp_path: Path) -> None:
    """A shell that still has the `make env` of other ports does not make them somebody else's servers."""
    before = Addresses(Settings(run_dir=tmp_path, ports=Ports(amqp=24_000, postgres=24_001)), PASSWORDS)
    sourced = Settings(run_dir=tmp_path, amqp_url=before.amqp, database_url=before.database)
    now = Addresses(sourced, PASSWORDS)
    assert (now.private_rabbitmq, now.private_postgres) == (True, True)
    assert now.exports() == Addresses(Settings(run_dir=tmp_path), PASSWORDS).exports()
    assert without_own_servers(sourced, PASSWORDS) == Settings(run_dir=tmp_path)  # none of it need be kept
    others = Addresses(sourced, generate())
    assert (others.private_rabbitmq, others.private_postgres) == (False, False)
    assert others.amqp == before.amqp
    assert without_own_servers(sourced, generate()) == sourced
