"""What the generated configuration of the native stack says."""

import os
import stat
from configparser import RawConfigParser
from pathlib import Path

import msgspec
import pytest

from deployment.credentials import generate, load_or_create, rotate_ledger_key
from deployment.database_setup import role_url
from deployment.errors import StackError
from deployment.local.console import Reporter
from deployment.local.directories import Layout
from deployment.local.native.os_account import Account
from deployment.local.native.plan import Plan
from deployment.local.native.server_binaries import Tools
from deployment.local.native.supervisord_config import Program, render
from deployment.local.ports import Ports
from deployment.local.settings import Addresses, Settings
from deployment.roles import MIGRATIONS, SERVICES

TOOLS = Tools(
    postgres=Path("/pg/bin"),
    rabbitmq_server=Path("/mq/rabbitmq-server"),
    erl=Path("/e/erl"),
    epmd=Path("/e/epmd"),
)


def make_plan(settings: Settings, account: Account | None = None) -> Plan:
    layout = Layout(settings.run_dir)
    return Plan(
        layout=layout,
        settings=settings,
        addresses=Addresses(settings, generate()),
        tools=TOOLS,
        account=account,
        services=SERVICES,
        migrations=MIGRATIONS,
        extra={"payment-worker": {"FAILPOINT": "before_commit"}},
    )


def parse(config: str) -> RawConfigParser:
    parser = RawConfigParser()
    parser.read_string(config)
    return parser


def test_every_program_is_restarted_and_has_a_bounded_log(tmp_path: Path) -> None:
    """All of them, servers included, come back when they die, and no log grows without end."""
    plan = make_plan(Settings(run_dir=tmp_path))
    parser = parse(plan.config)
    assert plan.names == ["epmd", "rabbitmq", "postgres", *(service.name for service in SERVICES)]
    for name in plan.names:
        section = parser[f"program:{name}"]
        assert section["autorestart"] == "true"
        assert section["killasgroup"] == "true"
        assert section["stdout_logfile_maxbytes"] == "10MB"
        assert int(section["stopwaitsecs"]) >= (5 if name == "epmd" else 12)


def test_servers_run_under_the_account_and_services_do_not(tmp_path: Path) -> None:
    """Started by root, only the servers change their user; the services may need files that are root's."""
    parser = parse(make_plan(Settings(run_dir=tmp_path), Account(name="pg", uid=70, gid=70)).config)
    users = {name: parser[name].get("user") for name in parser.sections() if name.startswith("program:")}
    assert {name for name, user in users.items() if user == "pg"} == {
        "program:epmd",
        "program:rabbitmq",
        "program:postgres",
    }


def test_broker_neither_spins_nor_listens_elsewhere(tmp_path: Path) -> None:
    """Idle schedulers sleep, and port mapper and distribution are bound to loopback."""
    parser = parse(make_plan(Settings(run_dir=tmp_path)).config)
    environment = parser["program:rabbitmq"]["environment"]
    assert "+sbwt none +sbwtdcpu none +sbwtdio none" in environment
    assert "inet_dist_use_interface {127,0,0,1}" in environment
    assert 'ERL_EPMD_ADDRESS="127.0.0.1"' in environment
    assert parser["program:epmd"]["command"] == "/e/epmd -port 25669 -address 127.0.0.1"


def test_given_servers_are_not_started(tmp_path: Path) -> None:
    """With DATABASE_URL and AMQP_URL, no private server is planned, and roles log in to the given one."""
    settings = Settings(
        run_dir=tmp_path,
        amqp_url="amqp://u:p@broker/%2Fv",
        database_url="postgresql://me:secret@db.example:5433/lease?sslmode=require",
    )
    plan = make_plan(settings)
    assert plan.names == [service.name for service in SERVICES]
    assert plan.port_fields == ["lease", "payment", "ledger", "gateway"]
    environment = parse(plan.config)["program:lease-worker"]["environment"]
    assert "postgresql://lease_svc:" in environment
    assert "@db.example:5433/lease?sslmode=require" in environment
    assert "secret" not in environment
    # supervisord expands %(name)s, so a percent sign is written twice.
    assert "amqp://u:p@broker/%%2Fv" in environment


def test_own_servers_given_by_url_stay_private(tmp_path: Path) -> None:
    """Sourcing `make env` before `make up` does not turn the private servers into foreign ones."""
    passwords = generate()
    private = Addresses(Settings(run_dir=tmp_path), passwords)
    sourced = Settings(run_dir=tmp_path, amqp_url=private.amqp, database_url=private.database)
    again = Addresses(sourced, passwords)
    assert again.private_postgres
    assert again.private_rabbitmq


def test_extra_variables_reach_one_program(tmp_path: Path) -> None:
    """A failpoint set for one program is in no other."""
    config = make_plan(Settings(run_dir=tmp_path)).config
    assert config.count("FAILPOINT") == 1
    assert 'FAILPOINT="before_commit"' in parse(config)["program:payment-worker"]["environment"]


def test_what_the_configuration_cannot_hold_is_refused(tmp_path: Path) -> None:
    """A value that would break out of its quotes is an error, not another variable."""
    program = Program(name="x", command=("x",), directory="/", environment={"A": 'b",C="d'})
    with pytest.raises(StackError, match="quote"):
        render(Layout(tmp_path), [program])


def test_passwords_are_private_and_kept(tmp_path: Path) -> None:
    """They are made once, in a file for the owner's eyes, and do not show when printed."""
    made = load_or_create(tmp_path)
    assert load_or_create(tmp_path) == made
    assert stat.S_IMODE(os.stat(tmp_path / "secrets.json").st_mode) == 0o600
    assert made.owner not in repr(made)
    assert len({made.owner, made.amqp, *made.roles.values()}) == 6


def test_the_ledgers_key_is_made_and_rotated(tmp_path: Path) -> None:
    """A directory from before there were keys gets one; another takes its place, of the same name."""
    before = generate()
    (tmp_path / "secrets.json").write_bytes(msgspec.json.encode(before))
    made = load_or_create(tmp_path)
    assert made.ledger_key.startswith("PRIVATE+KEY+lease-payment-orchestration/ledger+")
    assert msgspec.structs.replace(made, ledger_key="") == before
    rotate_ledger_key(tmp_path)
    rotated = load_or_create(tmp_path)
    assert rotated.ledger_key.startswith("PRIVATE+KEY+lease-payment-orchestration/ledger+")
    assert rotated.ledger_key != made.ledger_key
    assert msgspec.structs.replace(rotated, ledger_key="") == before


def test_only_the_ledger_gets_its_key(tmp_path: Path) -> None:
    """Nobody else could sign a checkpoint."""
    parser = parse(make_plan(Settings(run_dir=tmp_path)).config)
    having = {name for name in parser.sections() if "LEDGER_KEY" in parser[name].get("environment", "")}
    assert having == {"program:ledger-api", "program:ledger-writer"}


def test_broken_passwords_are_not_replaced(tmp_path: Path) -> None:
    """New passwords would lock the kept data away, so a damaged file is an error that names it."""
    (tmp_path / "secrets.json").write_text("{")
    with pytest.raises(StackError, match=r"secrets\.json"):
        load_or_create(tmp_path)


def test_settings_of_the_last_up_are_recalled(tmp_path: Path) -> None:
    """`make env` prints the ports that `make up` was given, not those of the present shell."""
    Settings(run_dir=tmp_path, ports=Ports(lease=9000), tunables={"LOG_LEVEL": "debug"}).remember()
    recalled = Settings(run_dir=tmp_path).recall()
    assert recalled.ports.of("lease") == 9000
    assert recalled.tunables == {"LOG_LEVEL": "debug"}


def test_role_url_quotes_the_password() -> None:
    """A role's address keeps everything but the login."""
    url = role_url("postgresql://o:w@[::1]:5/d?x=1", "r", "a/b@c")
    assert url == "postgresql://r:a%2Fb%40c@[::1]:5/d?x=1"


def test_plan_writes_nothing(tmp_path: Path) -> None:
    """Only `prepare` touches the disk."""
    make_plan(Settings(run_dir=tmp_path))
    assert list(tmp_path.iterdir()) == []
    assert Reporter().say("nothing") is None  # type: ignore[func-returns-value]
