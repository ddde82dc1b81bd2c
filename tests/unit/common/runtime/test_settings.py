"""Settings from the environment: defaults, types, and mistakes named by their variable."""

from datetime import time
from pathlib import Path

import pytest

from common.runtime.settings import Settings


def test_defaults() -> None:
    """An empty environment is a working one; an empty value is none."""
    assert Settings.from_environment({}) == Settings()
    assert Settings.from_environment({"PORT": "", "AMQP_URL": ""}) == Settings()
    assert Settings().host == "127.0.0.1"


def test_values() -> None:
    """Every variable is read with its type; others are none of ours."""
    settings = Settings.from_environment(
        {
            "PORT": "8100",
            "GATEWAY_TIMEOUT_S": "2.5",
            "AMQP_URL": "amqps://u:p@h:1/v",
            "DATABASE_URL": "postgres://u@h/d",
            "GATEWAY_LATENCY_MS": "0",
            "PATH": "/bin",
        }
    )
    assert (settings.port, settings.gateway_timeout_s) == (8100, 2.5)
    assert settings.amqp_url == "amqps://u:p@h:1/v"
    assert settings.latency_range_ms() == (0, 0)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PORT", "http"),
        ("PORT", "80.5"),
        ("GATEWAY_TIMEOUT_S", "soon"),
        ("AMQP_URL", "localhost:5672"),
        ("AMQP_URL", "http://localhost"),
        ("DATABASE_URL", "mysql://localhost/x"),
        ("DATABASE_URL", "x"),
        ("GATEWAY_LATENCY_MS", "fast"),
        ("GATEWAY_LATENCY_MS", "9-1"),
        ("GATEWAY_LATENCY_MS", "-5"),
        ("GATEWAY_LATENCY_MS", "1-9999999"),
        ("PORT", "-1"),
        ("METRICS_PORT", "65536"),
        ("GATEWAY_TIMEOUT_S", "0"),
        ("GATEWAY_TIMEOUT_S", "nan"),
        ("GATEWAY_TIMEOUT_S", "1e9"),
        ("LOG_LEVEL", "loud"),
        ("RESOLVE_AFTER_S", "5,"),
        ("RESOLVE_AFTER_S", "0"),
        ("RESOLVE_AFTER_S", "soon"),
        ("GATEWAY", "paypal"),
        ("STRIPE_API_KEY", "sk_test_1\nX-Other: y"),
        ("STRIPE_API_KEY", "sk_test_ü"),
        ("STRIPE_URL", "http://api.stripe.com"),
        ("STRIPE_URL", "api.stripe.com"),
        ("RECONCILE_EVERY_S", "0"),
        ("RECONCILE_EVERY_S", "nan"),
        ("RECONCILE_EVERY_S", "1e9"),
        ("COLLECTIONS_AT", "6:00"),
        ("COLLECTIONS_AT", "24:00"),
        ("COLLECTIONS_AT", "0600"),
        ("COLLECTIONS_AT", "06:0x"),
        ("COLLECTIONS_AT", "daily"),
    ],
)
def test_mistakes(variable: str, value: str) -> None:
    """The message names the variable, so that whoever started the process knows what to correct."""
    with pytest.raises(ValueError, match=f"environment variable {variable}"):
        Settings.from_environment({variable: value})


@pytest.mark.parametrize(
    ("text", "bounds"), [("0", (0, 0)), ("50-150", (50, 150)), ("7", (7, 7)), ("0-0", (0, 0))]
)
def test_latency(text: str, bounds: tuple[int, int]) -> None:
    """One number or a range."""
    assert Settings(gateway_latency_ms=text).latency_range_ms() == bounds


def test_stripe_needs_its_key() -> None:
    """Choosing Stripe without a key is a mistake that shows at the start, not at the first charge."""
    with pytest.raises(ValueError, match="environment variable STRIPE_API_KEY"):
        Settings.from_environment({"GATEWAY": "stripe"})
    chosen = Settings.from_environment({"GATEWAY": "stripe", "STRIPE_API_KEY": "sk_test_1"})
    assert (chosen.gateway, chosen.stripe_api_key) == ("stripe", "sk_test_1")
    local = {"STRIPE_URL": "http://127.0.0.1:12111"}
    assert Settings.from_environment(local).stripe_url == "http://127.0.0.1:12111"


def test_secrets_do_not_show() -> None:
    """Settings may be printed: keys and the passwords in URLs are left out."""
    settings = Settings(
        stripe_api_key="SECRET-1", webhook_secret="SECRET-2", amqp_url="amqp://u:SECRET-3@h", port=8100
    )
    for text in (repr(settings), str(settings), f"{settings}"):
        assert "SECRET" not in text
        assert "port=8100" in text
    assert "stripe_api_key=''" in repr(Settings())


def test_collections_time() -> None:
    """A time of day, or never."""
    assert Settings().collections_time() == time(6)
    assert Settings(collections_at="23:59").collections_time() == time(23, 59)
    assert Settings(collections_at="never").collections_time() is None


def test_webhooks_go_somewhere() -> None:
    """WEBHOOK_URL has to be the URL of a server."""
    assert Settings.from_environment({"WEBHOOK_URL": "https://pay.example/hooks"}).webhook_url
    with pytest.raises(ValueError, match="WEBHOOK_URL"):
        Settings.from_environment({"WEBHOOK_URL": "pay.example"})


def test_a_value_may_stand_in_a_file(tmp_path: Path) -> None:
    """`<name>_FILE` names it; the variable itself goes first; a file that holds nothing is a mistake."""
    file = tmp_path / "key"
    file.write_text("secret\n")
    assert Settings.from_environment({"LEDGER_KEY_FILE": str(file)}).ledger_key == "secret"
    assert Settings.from_environment({"LEDGER_KEY_FILE": str(file), "LEDGER_KEY": ""}).ledger_key == "secret"
    assert Settings.from_environment({"LEDGER_KEY_FILE": str(file), "LEDGER_KEY": "own"}).ledger_key == "own"
    assert Settings.from_environment({"LEDGER_KEY_FILE": ""}) == Settings()
    file.write_text("\n")
    for path in (file, tmp_path / "none", tmp_path):
        with pytest.raises(ValueError, match="environment variable LEDGER_KEY_FILE: "):
            Settings.from_environment({"LEDGER_KEY_FILE": str(path)})
