"""Amounts as the timeline shows them."""

from functools import lru_cache

from iso4217 import Currency

from ledger_svc.event_types.basics.words import amount_text


def money(amount: int, currency: str) -> str:
    """An amount of minor units as people write it, with the digits that ISO 4217 gives the currency."""
    return amount_text(amount, currency, _digits(currency))


@lru_cache(maxsize=512)  # more than there are currencies
def _digits(currency: str) -> int | None:
    try:
        return Currency(currency).exponent
    except ValueError:
        return None
