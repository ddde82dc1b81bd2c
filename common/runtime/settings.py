"""Configuration: environment variables, or files that they name, read once, with every mistake named."""

import os
from collections.abc import Mapping
from datetime import time, timedelta
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import msgspec

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
GATEWAY_TIMEOUT_MAX_S = 60
LATENCY_MAX_MS = 60_000
RECONCILE_EVERY_MIN_S, RECONCILE_EVERY_MAX_S = 1, 86_400
# Not to be shown; URLs hold passwords.
SECRETS = frozenset({"amqp_url", "database_url", "stripe_api_key", "webhook_secret", "ledger_key"})
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_COLLECTIONS_AT = 'environment variable COLLECTIONS_AT: give a time of day in UTC such as "06:00", or "never"'


def variable(environ: Mapping[str, str], name: str) -> str:
    """The variable's value; where it has none, what the file holds that `<name>_FILE` names; else empty.

    Files keep secrets out of the environment. One that is empty or cannot be read raises ValueError: a
    default in the place of a secret would hide that it is missing.
    """
    path = environ.get(f"{name}_FILE")
    if environ.get(name) or not path:
        return environ.get(name, "")
    try:
        value = Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"environment variable {name}_FILE: {error}") from None
    if not value:
        raise ValueError(f"environment variable {name}_FILE: {path} is empty")
    return value


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a role may be told. The variable is the field's name in capitals; see `variable` for files."""

    amqp_url: str = "amqp://guest:guest@127.0.0.1:5672/"
    database_url: str = "postgresql://127.0.0.1:5432/lease_payments"  # with the role's own user
    host: str = "127.0.0.1"  # address to listen on
    port: int = 0  # 0: the service's own default (8000, 8001, 8002, gateway 8003)
    log_level: str = "INFO"
    metrics_port: int = 0  # where a role without HTTP serves its Prometheus metrics, on `host`; 0: nowhere
    # folder for the stamps of traced requests (common/observability/trace_stamps.py); empty: none are
    # made
    hops_dir: str = ""
    gateway: Literal["sandbox", "stripe"] = "sandbox"  # which one the payment worker charges through
    gateway_url: str = "http://127.0.0.1:8003"  # where the payment worker finds the sandbox gateway
    gateway_timeout_s: float = 10.0  # a charge with no answer by then is `unknown`
    resolve_after_s: str = "5,30,300,3600"  # until an unknown attempt is asked about; the last repeats
    gateway_db: str = "gateway.sqlite"  # the sandbox gateway's own record
    gateway_latency_ms: str = "50-150"  # of the sandbox gateway; "0" for measurements
    stripe_api_key: str = ""  # secret; needed with GATEWAY=stripe
    stripe_url: str = "https://api.stripe.com"  # another one for tests
    webhook_secret: str = ""  # what the gateway's webhooks are signed with
    reconcile_every_s: float = 300.0  # how often the ledger compares what is new with the outboxes
    ledger_key: str = ""  # secret; what the ledger signs its checkpoints with
    collections_at: str = "06:00"  # UTC time of the payment workers' daily collection run; "never"
    # where the sandbox gateway sends them
    webhook_url: str = "http://127.0.0.1:8001/api/v1/webhooks/gateway"

    @classmethod
    def variables(cls) -> list[str]:
        """The names of all environment variables that are read."""
        return [field.name.upper() for field in msgspec.structs.fields(cls)]

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> "Settings":
        """Raises ValueError naming the variable that is wrong."""
        given = os.environ if environ is None else environ
        named = {name.lower(): value for name in cls.variables() if (value := variable(given, name))}
        try:
            settings = msgspec.convert(named, cls, strict=False)
        except msgspec.ValidationError as error:
            words, _, path = str(error).partition(" - at `$.")
            raise ValueError(f"environment variable {path.rstrip('`').upper()}: {words}") from None
        settings.latency_range_ms()
        if not 0 < settings.gateway_timeout_s <= GATEWAY_TIMEOUT_MAX_S:
            words = f"above 0, at most {GATEWAY_TIMEOUT_MAX_S}"
            raise ValueError(f"environment variable GATEWAY_TIMEOUT_S: {words}")
        if not RECONCILE_EVERY_MIN_S <= settings.reconcile_every_s <= RECONCILE_EVERY_MAX_S:
            words = f"{RECONCILE_EVERY_MIN_S} to {RECONCILE_EVERY_MAX_S}"
            raise ValueError(f"environment variable RECONCILE_EVERY_S: {words}")
        for name in ("port", "metrics_port"):
            if not 0 <= getattr(settings, name) <= 65_535:
                raise ValueError(f"environment variable {name.upper()}: 0 to 65535")
        if settings.log_level.upper() not in LOG_LEVELS:
            raise ValueError(f"environment variable LOG_LEVEL: one of {', '.join(LOG_LEVELS)}")
        settings._check_stripe()
        settings.collections_time()
        settings.resolve_after()
        if not settings.webhook_url.startswith(("http://", "https://")):
            raise ValueError("environment variable WEBHOOK_URL: must begin with http:// or https://")
        if not settings.database_url.startswith(("postgresql://", "postgres://")):
            raise ValueError("environment variable DATABASE_URL: must begin with postgresql://")
        if not settings.amqp_url.startswith(("amqp://", "amqps://")):
            raise ValueError("environment variable AMQP_URL: must begin with amqp://")
        return settings

    def latency_range_ms(self) -> tuple[int, int]:
        """The sandbox gateway's (least, greatest) latency in ms. Raises ValueError."""
        low, _, high = self.gateway_latency_ms.partition("-")
        try:
            bounds = int(low), int(high or low)
        except ValueError:
            bounds = (1, 0)
        if not 0 <= bounds[0] <= bounds[1] <= LATENCY_MAX_MS:
            raise ValueError('environment variable GATEWAY_LATENCY_MS: give "0" or a range such as "50-150"')
        return bounds

    def resolve_after(self) -> tuple[timedelta, ...]:
        """The waits before each look-up of an attempt without an answer. Raises ValueError."""
        words = [word.strip() for word in self.resolve_after_s.split(",")]
        waits = [int(word) for word in words if word.isascii() and word.isdigit() and len(word) <= 6]
        if len(waits) < len(words) or 0 in waits:
            raise ValueError('environment variable RESOLVE_AFTER_S: give seconds such as "5,30,300,3600"')
        return tuple(timedelta(seconds=wait) for wait in waits)

    def collections_time(self) -> time | None:
        """The daily collection run's time of day in UTC; None: never. Raises ValueError."""
        if self.collections_at == "never":
            return None
        hours, _, minutes = self.collections_at.partition(":")
        if not (
            len(self.collections_at) == 5
            and f"{hours}{minutes}".isdecimal()
            and f"{hours}{minutes}".isascii()
        ):
            raise ValueError(_COLLECTIONS_AT)
        try:
            return time(int(hours), int(minutes))
        except ValueError:
            raise ValueError(_COLLECTIONS_AT) from None

    def _check_stripe(self) -> None:
        if self.gateway == "stripe" and not self.stripe_api_key:
            raise ValueError("environment variable STRIPE_API_KEY: must be set with GATEWAY=stripe")
        # It goes into a header; what that cannot hold would be refused call by call.
        if not (self.stripe_api_key.isascii() and self.stripe_api_key.isprintable()):
            raise ValueError("environment variable STRIPE_API_KEY: must be printable ASCII")
        url = urlsplit(self.stripe_url)
        if not (url.scheme == "https" or (url.scheme == "http" and url.hostname in _LOOPBACK)):
            raise ValueError("environment variable STRIPE_URL: must begin with https://, for the key's sake")

    def __repr__(self) -> str:
        shown = (
            f"{name}=…" if name in SECRETS and value else f"{name}={value!r}"
            for name, value in msgspec.structs.asdict(self).items()
        )
        return f"Settings({', '.join(shown)})"
