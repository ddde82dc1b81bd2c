"""What each of the sandbox's payment methods does: a table, one row per method.

The last rows play a gateway in trouble. They differ in what a caller can know:

- `pm_timeout_then_*`: the charge is recorded at once, and the caller is never told. Only a look-up shows it.
- `pm_slow`: recorded at once, answered late.
- `pm_gateway_down`: 503 with the code `gateway_unavailable`. That answer is a promise: nothing was recorded,
  and nothing will be.
"""

from __future__ import annotations

from typing import Literal

import msgspec


class Method(msgspec.Struct, frozen=True, kw_only=True):
    """How one payment method behaves."""

    decline_code: str | None = None  # null: the money is taken
    declines: int | None = None  # only the first so many on a payment (or payoff) decline; null: all of them
    answer: Literal["at once", "late", "never", "unavailable"] = "at once"


METHODS = {
    "pm_card_ok": Method(),
    "pm_card_insufficient_funds": Method(decline_code="insufficient_funds"),
    "pm_card_do_not_honor": Method(decline_code="do_not_honor"),
    "pm_card_lost": Method(decline_code="lost_card"),
    "pm_card_expired": Method(decline_code="expired_card"),
    "pm_card_suspected_fraud": Method(decline_code="suspected_fraud"),
    "pm_card_ok_on_third": Method(decline_code="insufficient_funds", declines=2),
    "pm_timeout_then_ok": Method(answer="never"),
    "pm_timeout_then_declined": Method(answer="never", decline_code="insufficient_funds"),
    "pm_slow": Method(answer="late"),
    "pm_gateway_down": Method(answer="unavailable"),
}
_ANY_OTHER = Method(decline_code="invalid_payment_method")


def method(name: str) -> Method:
    """The row of a payment method; a name that nobody knows is declined as `invalid_payment_method`."""
    return METHODS.get(name, _ANY_OTHER)


def decline_code(name: str, earlier_declines: int) -> str | None:
    """The code that this charge is declined with, or null where it goes through.

    `earlier_declines`: how many charges with this method on the same payment have been declined before.
    """
    row = method(name)
    if row.declines is not None and earlier_declines >= row.declines:
        return None
    return row.decline_code
