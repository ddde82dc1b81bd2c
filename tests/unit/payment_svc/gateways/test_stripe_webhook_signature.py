"""Signatures of webhooks: what is let in, and everything else that is not."""

import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import pytest

from payment_svc.adapters.gateways.stripe.webhook_signature import (
    HEADER_LENGTH_MAX,
    TOLERANCE,
    BadSignature,
    sign,
    verify,
)

SECRET = "whsec_test"
NOW = datetime(2027, 1, 16, 14, 5, 30, 700_000, tzinfo=UTC)
BODY = '{"id": "evt_1", "text": "für"}'.encode()


def signature(header: str) -> str:
    return header.partition(",v1=")[2]


def test_scheme() -> None:
    """HMAC-SHA256 of time, full stop and body, as the documentation spells it out."""
    by_hand = hmac.new(SECRET.encode(), b"1800108330." + BODY, hashlib.sha256).hexdigest()
    assert sign(BODY, SECRET, NOW) == f"t=1800108330,v1={by_hand}"
    verify(f"t=1800108330,v1={by_hand}", BODY, SECRET, NOW)


@pytest.mark.parametrize("away", [timedelta(0), TOLERANCE, -TOLERANCE, timedelta(seconds=1)])
def test_in_time(away: timedelta) -> None:
    """Five minutes are allowed, in both directions: clocks differ."""
    verify(sign(BODY, SECRET, NOW), BODY, SECRET, NOW + away)


@pytest.mark.parametrize("away", [TOLERANCE, -TOLERANCE, timedelta(days=365), -timedelta(days=365)])
def test_out_of_time(away: timedelta) -> None:
    """A message sent again later is refused, and so is one from the future."""
    late = NOW + away + timedelta(seconds=1 if away > timedelta(0) else -1)
    with pytest.raises(BadSignature, match="too long ago"):
        verify(sign(BODY, SECRET, NOW), BODY, SECRET, late)


def test_time_is_signed_too() -> None:
    """An old signature with a new time in front of it matches no longer."""
    old = sign(BODY, SECRET, NOW - timedelta(hours=1))
    with pytest.raises(BadSignature, match="no signature matches"):
        verify(f"t={int(NOW.timestamp())},v1={signature(old)}", BODY, SECRET, NOW)


@pytest.mark.parametrize("body", [b"", BODY + b" ", BODY.replace(b"evt_1", b"evt_2")])
def test_another_body(body: bytes) -> None:
    """Each byte counts."""
    with pytest.raises(BadSignature, match="no signature matches"):
        verify(sign(BODY, SECRET, NOW), body, SECRET, NOW)


def test_another_secret() -> None:
    """Whoever does not know the secret cannot sign."""
    with pytest.raises(BadSignature, match="no signature matches"):
        verify(sign(BODY, "whsec_other", NOW), BODY, SECRET, NOW)


def test_while_the_secret_is_replaced() -> None:
    """Of several signatures one has to match, in whatever place; other schemes do not matter."""
    old, new = sign(BODY, "whsec_old", NOW), sign(BODY, SECRET, NOW)
    verify(f"{old},v1={signature(new)}", BODY, SECRET, NOW)
    verify(f"{new},v1={signature(old)}", BODY, SECRET, NOW)
    verify(f"{new},v0=6ffbb59b2300aae63f272406069a9788598b792a,x", BODY, SECRET, NOW)
    with pytest.raises(BadSignature, match="no signature matches"):
        verify(f"{old},v1={'0' * 64}", BODY, SECRET, NOW)


GOOD = sign(BODY, SECRET, NOW)
TIME, SIGNED = GOOD.split(",")


@pytest.mark.parametrize(
    "header",
    [
        "",
        ",",
        "=",
        TIME,
        SIGNED,
        f"{TIME},",
        f"{TIME},v1=",
        f"{TIME},v0={signature(GOOD)}",
        f"{TIME},{TIME},{SIGNED}",
        f"t=,{SIGNED}",
        f"t=soon,{SIGNED}",
        f"t=-1,{SIGNED}",
        f"t=1e9,{SIGNED}",
        f"t={'9' * 13},{SIGNED}",
        f"t=１８００１０８３３０,{SIGNED}",
        f"{TIME},v1={signature(GOOD)[:-1]}",
        f"{TIME},v1={signature(GOOD).upper()}",
        f"{TIME},v1={signature(GOOD)}\n",
        f"{TIME},v1=ä{signature(GOOD)[1:]}",
        f"{TIME},v1={signature(GOOD)},v1=\udc80",
        f"{TIME};{SIGNED}",
        f"{TIME},{SIGNED}" + ",v0=0" * HEADER_LENGTH_MAX,
    ],
)
def test_malformed(header: str) -> None:
    """Whatever is not a time and well-formed signatures is refused, and breaks nothing."""
    with pytest.raises(BadSignature):
        verify(header, BODY, SECRET, NOW)


def test_without_a_secret() -> None:
    """With an empty secret anybody could sign, so nothing is signed and nothing is let in."""
    with pytest.raises(ValueError, match="no webhook secret"):
        sign(BODY, "", NOW)
    with pytest.raises(ValueError, match="no webhook secret"):
        verify(GOOD, BODY, "", NOW)
