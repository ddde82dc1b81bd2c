"""Why an issuer said no, and what to do about it: one table, one row per decline code.

`soft` means that the same card may well work later, `hard` that it will not. The advice is for whoever has to
act:

- `retry_later`: charge the same payment method again another day
- `update_instrument`: this one will not work again; ask the customer for another
- `do_not_retry`: leave it alone until somebody has looked into it
"""

from __future__ import annotations

from typing import Literal

import msgspec

DeclineClass = Literal["soft", "hard"]
Advice = Literal["do_not_retry", "retry_later", "update_instrument"]


class Decline(msgspec.Struct, frozen=True, kw_only=True):
    """A decline as clients and events show it."""

    code: str  # the gateway's own word, also where the table does not know it
    class_: DeclineClass = msgspec.field(name="class")
    advice: Advice
    retry_at: str | None = None  # RFC 3339 instant of the next automatic attempt; null: none is planned


TABLE: dict[str, tuple[DeclineClass, Advice]] = {
    "insufficient_funds": ("soft", "retry_later"),
    "do_not_honor": ("soft", "retry_later"),
    "lost_card": ("hard", "update_instrument"),
    "expired_card": ("hard", "update_instrument"),
    "suspected_fraud": ("hard", "do_not_retry"),
    "invalid_payment_method": ("hard", "update_instrument"),
}

# A code that nobody has judged must never lead to charging a card again.
_UNMAPPED: tuple[DeclineClass, Advice] = ("hard", "do_not_retry")


def decline(code: str) -> Decline:
    """What the table says about a decline code; one that it does not know is hard and not to be retried."""
    class_, advice = TABLE.get(code, _UNMAPPED)
    return Decline(code=code, class_=class_, advice=advice)
