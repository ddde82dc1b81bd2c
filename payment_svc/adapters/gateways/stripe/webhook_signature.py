"""Signatures of webhooks, in Stripe's scheme (https://docs.stripe.com/webhooks#verify-manually). Pure.

The header reads `t=1492774577,v1=5257a8…`: the second in which it was signed, and the hex HMAC-SHA256, under
a shared secret, of that number, a full stop and the body's exact bytes. While a secret is being replaced,
there is one `v1` for each secret, and any of them is enough. Other schemes (`v0`) are passed over.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import datetime, timedelta
from typing import Final

HEADER: Final = "Stripe-Signature"
TOLERANCE: Final = timedelta(minutes=5)  # between the clocks, and on the way
HEADER_LENGTH_MAX: Final = 1024  # a dozen signatures

_TIME = re.compile(r"[0-9]{1,12}")
_SIGNATURE = re.compile(r"[0-9a-f]{64}")


class BadSignature(Exception):
    """The message was not signed by whoever knows the secret, or not lately."""


def sign(body: bytes, secret: str, now: datetime) -> str:
    """The header for a body. Raises ValueError where there is no secret."""
    time = str(int(now.timestamp()))
    return f"t={time},v1={_signature(time, body, secret)}"


def verify(header: str, body: bytes, secret: str, now: datetime) -> None:
    """Return where the header was made for this body, with this secret, at most `TOLERANCE` from `now`.

    In both directions: a message signed far in the future could be sent again until then. Raises
    BadSignature, with the reason, for anything else; ValueError where there is no secret to compare with.
    """
    time, signatures = _parsed(header)
    expected = _signature(time, body, secret)
    if not any(hmac.compare_digest(expected, signature) for signature in signatures):
        raise BadSignature("no signature matches")
    if abs(int(now.timestamp()) - int(time)) > TOLERANCE.total_seconds():
        raise BadSignature("signed too long ago, or in the future")


def _signature(time: str, body: bytes, secret: str) -> str:
    if not secret:  # anybody could sign with it
        raise ValueError("there is no webhook secret")
    return hmac.new(secret.encode(), time.encode() + b"." + body, hashlib.sha256).hexdigest()


def _parsed(header: str) -> tuple[str, list[str]]:
    """The time and all `v1` signatures. Raises BadSignature."""
    if len(header) > HEADER_LENGTH_MAX:
        raise BadSignature("the header is too long")
    elements = [element.partition("=") for element in header.split(",")]
    times = [value for key, _, value in elements if key == "t"]
    signatures = [value for key, _, value in elements if key == "v1"]
    if len(times) != 1 or not _TIME.fullmatch(times[0]):
        raise BadSignature("the header has no time, or not one")
    if not signatures or not all(_SIGNATURE.fullmatch(signature) for signature in signatures):
        raise BadSignature("the header has no signature, or what is none")
    return times[0], signatures
