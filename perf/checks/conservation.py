"""Conservation: what was answered with success has to be recorded, once. The rule, and nothing that asks.

Each answer with success is something that has to be recorded; what has no answer, 202 or a server's error may
or may not have been carried out.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from perf.stats.run import Rows

_MONEY = ("/attempt", "/payoff")  # ends of the paths of requests that collect


class Count(msgspec.Struct):
    """Requests that each are to be recorded once."""

    sent: int = 0
    done: int = 0  # answered 201
    refused: int = 0  # answered 4xx: nothing was done

    @property
    def uncertain(self) -> int:
        """That may or may not have been carried out."""
        return self.sent - self.done - self.refused


class RequestCounts(msgspec.Struct):
    """What was sent, and what was answered, from the first request on."""

    leases: Count = msgspec.field(default_factory=Count)
    payments: Count = msgspec.field(default_factory=Count)
    collected: dict[str, int] = {}  # by currency, minor units

    def sends(self, method: str, path: str) -> None:
        """A request is about to be sent."""
        if (count := self._count(method, path)) is not None:
            count.sent += 1

    def hears(self, method: str, path: str, status: int, body: bytes) -> None:
        """It was answered; status 0 is no answer."""
        if (count := self._count(method, path)) is None:
            return
        count.done += status == 201
        count.refused += 400 <= status < 500
        if status == 201 and count is self.payments:
            paid = msgspec.json.decode(body, type=_Paid)
            self.collected[paid.currency] = self.collected.get(paid.currency, 0) + paid.amount

    def _count(self, method: str, path: str) -> Count | None:
        if method != "POST":
            return None
        if path == "/api/v1/leases":
            return self.leases
        return self.payments if path.endswith(_MONEY) else None


class _Paid(msgspec.Struct, frozen=True):
    amount: int
    currency: str


def together(books: Iterable[RequestCounts]) -> RequestCounts:
    """The books of several processes as one."""
    whole, collected = RequestCounts(), Counter[str]()
    for each in books:
        for into, count in ((whole.leases, each.leases), (whole.payments, each.payments)):
            into.sent += count.sent
            into.done += count.done
            into.refused += count.refused
        collected.update(each.collected)
    whole.collected = dict(collected)
    return whole


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is compared."""

    what: str
    done: int  # what was answered 201 comes to
    recorded: int  # by so much the ledger has grown
    sent: int | None = None  # None: not known of money, whose amount only the answer tells
    uncertain: int | None = 0  # None: there is some, nobody knows how much

    @property
    def missing(self) -> bool:
        """Less is recorded than was answered with success."""
        return self.recorded < self.done

    @property
    def surplus(self) -> bool:
        """More is recorded than can have been carried out."""
        return self.uncertain is not None and self.recorded > self.done + self.uncertain

    @property
    def holds(self) -> bool:
        """All of it is recorded, once."""
        return not self.missing and not self.surplus

    @property
    def verdict(self) -> str:
        """In a word."""
        return "lost" if self.missing else "too many" if self.surplus else "all, once"

    @property
    def numbers(self) -> dict[str, str]:
        """All of them, by name, as they are to be read."""
        return {
            "sent": "–" if self.sent is None else f"{self.sent:,}",
            "answered 201": f"{self.done:,}",
            "uncertain": "not known" if self.uncertain is None else f"{self.uncertain:,}",
            "in the ledger": f"{self.recorded:,}",
        }


class ConservationResult(msgspec.Struct, frozen=True, kw_only=True):
    """What the comparison has come to."""

    lines: Sequence[Comparison] = ()
    failures: Sequence[str] = ()
    warnings: Sequence[str] = ()

    @property
    def rows(self) -> Rows:
        """As a table."""
        names = ["sent", "answered 201", "uncertain", "in the ledger"]
        return Rows(
            title="Conservation",
            columns=["", *names, "accounted for"],
            rows=[[each.what, *(each.numbers[name] for name in names), each.verdict] for each in self.lines],
        )


def failures(compared: Iterable[Comparison]) -> list[str]:
    """Why the run fails; empty where all is accounted for."""
    found = []
    for each in compared:
        numbers = ", ".join(f"{number} {name}" for name, number in each.numbers.items())
        if each.missing:
            found.append(f"lost: of the {each.what}, {numbers}")
        elif each.surplus:
            found.append(
                f"more than was asked for: of the {each.what}, {numbers}; recorded twice, or somebody else"
                " has used the system meanwhile"
            )
    return found
