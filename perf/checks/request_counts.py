"""What a load run sends and what it is answered, as far as it can be found in the ledger."""

from collections import Counter
from collections.abc import Iterable

import msgspec

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


class Books(msgspec.Struct):
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


def together(books: Iterable[Books]) -> Books:
    """The books of several processes as one."""
    whole, collected = Books(), Counter[str]()
    for each in books:
        for into, count in ((whole.leases, each.leases), (whole.payments, each.payments)):
            into.sent += count.sent
            into.done += count.done
            into.refused += count.refused
        collected.update(each.collected)
    whole.collected = dict(collected)
    return whole
