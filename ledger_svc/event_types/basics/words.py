"""How the timeline's sentences are written."""

from calendar import month_name
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from ledger_svc.event_types.basics.fields import Attempt

AFTER_CLOSING = "Payment after closing"
UNDER_WAY = "which was under way when the lease was closed"

Text = tuple[str, str, int]  # title, a sentence without its full stop, minor units that it is about


@dataclass(frozen=True, slots=True)
class Words:
    """What a sentence needs beside the event's data."""

    term: int  # instalments of the lease; 0: not known yet
    money: Callable[[int, str], str]  # an amount of minor units in a currency, as people write it

    def price(self, data: Attempt) -> str:
        """How much an attempt is about."""
        return self.money(data.amount, data.currency)

    def subject(self, data: Attempt) -> str:
        """What an attempt is about."""
        return "Early payoff" if data.number is None else self.instalment(data.number)

    def instalment(self, number: int) -> str:
        """One instalment, with how many there are."""
        return f"Instalment {number} of {self.term}" if self.term else f"Instalment {number}"


def amount_text(amount: int, currency: str, digits: int | None) -> str:
    """An amount of minor units as people write it: 10662 USD → "106.62 USD", 500 JPY → "500 JPY".

    `digits`: those after the point, by ISO 4217; where it gives none, the minor units are named as such.
    """
    if digits is None:
        return f"{amount:,} minor units of {currency}"
    return f"{Decimal(amount).scaleb(-digits):,.{digits}f} {currency}"


def day(when: date) -> str:
    """A calendar day in words: 1 January 2027."""
    return f"{when.day} {month_name[when.month]} {when.year}"


def plain(code: str) -> str:
    """A code as words."""
    return code.replace("_", " ")


def instalments(numbers: list[int]) -> str:
    """Several instalments: "instalments 3, 4"."""
    return f"instalment{'' if len(numbers) == 1 else 's'} {', '.join(map(str, numbers))}"
