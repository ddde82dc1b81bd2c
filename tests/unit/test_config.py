"""Settings from the environment: defaults, types, and mistakes named by their variable."""

from datetime import time

import pytest

from common.config import Settings


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


def test_collections_time() -> None:
    """A time of day, or never."""
    assert Settings().collections_time() == time(6)
    assert Settings(collections_at="23:59").collections_time() == time(23, 59)
    assert Settings(collections_at="never").collections_time() is None
