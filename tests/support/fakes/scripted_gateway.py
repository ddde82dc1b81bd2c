"""A card gateway whose every answer is chosen by the test, and its own record of all money that moved."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from payment_svc.application.gateway import (
    Charged,
    ChargeRequest,
    ChargeResult,
    Declined,
    Found,
    NoAnswer,
    NotReached,
    RefundRequest,
)

Request = ChargeRequest | RefundRequest
Plan = Literal["done", "soft", "hard", "not reached", "unheard", "nothing", "late"]
PLANS: tuple[Plan, ...] = ("done", "soft", "hard", "not reached", "unheard", "nothing", "late")
CODES = {"soft": "insufficient_funds", "hard": "stolen_card"}

KEYS_KEPT_H = 24  # as the port says: gateways forget keys after that


@dataclass
class Record:
    """What the gateway did for one key: a charge or a refund."""

    request: Request
    said: Charged | Declined
    at: int  # hours of the gateway's clock
    refunded: int = 0  # of a charge, minor units, as is the next
    charged_back: int = 0

    @property
    def left(self) -> int:
        """Of a charge: what it has collected and not given back, in minor units."""
        taken = self.request.amount if isinstance(self.said, Charged) else 0
        return taken - self.refunded - self.charged_back


@dataclass
class Call:
    """A request on its way. Whoever made it may be gone when it arrives."""

    request: Request
    answered: asyncio.Future[ChargeResult]
    acted: bool = False  # the gateway has done what it was asked; only its answer is on its way


@dataclass
class Notice:
    """A chargeback, to be told of until it is recorded."""

    notice_id: str
    charge: Record
    amount: int  # minor units
    by: int  # how it names the charge: 0 attempt, 1 reference, 2 both
    heard: bool = False


@dataclass
class Gateway:
    """Somebody else's system: it outlives all workers."""

    clock: int = 0  # hours
    silent: bool = False  # look-ups have no answer
    parked: list[Call] = field(default_factory=list)
    late: list[Request] = field(default_factory=list)  # will arrive, long after the caller has given up
    records: dict[str, Record] = field(default_factory=dict)  # the last of each key; never forgotten
    moved: Counter[str] = field(default_factory=Counter)  # how often money moved under a key
    notices: list[Notice] = field(default_factory=list)

    async def charge(self, request: ChargeRequest) -> ChargeResult:
        """The port's `charge`; it takes until the test answers."""
        return await self._park(request)

    async def refund(self, request: RefundRequest) -> ChargeResult:
        """The port's `refund`; it takes until the test answers."""
        return await self._park(request)

    async def find(self, idempotency_key: str) -> Found:
        """The port's `find`."""
        if self.silent:
            return NoAnswer(reason="no answer")
        record = self.records.get(idempotency_key)
        return record.said if record else None

    async def find_refund(self, idempotency_key: str, reference: str) -> Found:
        """The port's `find_refund`."""
        assert self._charge_of(reference), "asked about a refund of a charge that is none"
        return await self.find(idempotency_key)

    def answer(self, index: int, plan: Plan) -> None:
        """Let one of the calls on their way end."""
        if self.parked:
            call = self.parked.pop(index % len(self.parked))
            if call.acted and plan in ("not reached", "nothing", "late"):
                plan = "unheard"
            result = self._end(call.request, plan)
            if not call.answered.done():
                call.answered.set_result(result)

    def act(self, index: int, plan: Plan) -> Record | None:
        """Do what one of the calls asks for, and answer later; what was done."""
        if not self.parked:
            return None
        call = self.parked[index % len(self.parked)]
        call.acted = True
        self._carry_out(call.request, CODES.get(plan))
        return self.records[call.request.idempotency_key]

    def charges(self) -> list[Record]:
        """All that it knows how they ended, the newest first."""
        return [each for each in reversed(self.records.values()) if not _is_refund(each)]

    def arrive(self) -> None:
        """What was late arrives."""
        while self.late:
            self._carry_out(self.late.pop(0), None)

    def charge_back(self, index: int, share: int, by: int) -> None:
        """An issuer takes back a charge, or a part of it: `share` quarters of what is left."""
        charges = [each for each in self.records.values() if each.left and not _is_refund(each)]
        if charges:
            charge = charges[index % len(charges)]
            amount = max(1, charge.left * share // 4)
            charge.charged_back += amount
            self.notices.append(Notice(f"dp_{len(self.notices)}", charge, amount, by))

    async def _park(self, request: Request) -> ChargeResult:
        call = Call(request, asyncio.get_running_loop().create_future())
        self.parked.append(call)
        return await call.answered

    def _end(self, request: Request, plan: Plan) -> ChargeResult:
        match plan:
            case "not reached":
                return NotReached(reason="connection refused")
            case "nothing":
                return NoAnswer(reason="timeout")
            case "late":
                self.late.append(request)
                return NoAnswer(reason="timeout")
            case "unheard":
                self._carry_out(request, None)
                return NoAnswer(reason="timeout")
        return self._carry_out(request, CODES.get(plan))

    def _carry_out(self, request: Request, code: str | None) -> Charged | Declined:
        key = request.idempotency_key
        known = self.records.get(key)
        if known and self.clock - known.at < KEYS_KEPT_H:
            assert known.request == request, "one key, two requests"
            return known.said
        name = f"{'re' if isinstance(request, RefundRequest) else 'ch'}_{len(self.records)}"
        said: Charged | Declined = Charged(reference=name)
        if isinstance(request, RefundRequest):
            charge = self._charge_of(request.reference)
            assert charge, "a refund of a charge that is none"
            assert request.amount <= charge.request.amount, "a refund of more than was ever charged"
            if request.amount > charge.left:
                code = "charge_disputed"
            if code is None:
                charge.refunded += request.amount
        if code is not None:
            said = Declined(code=code, reference=name)
        else:
            self.moved[key] += 1
        self.records[key] = Record(request, said, self.clock)
        return said

    def _charge_of(self, reference: str) -> Record | None:
        for each in self.records.values():
            if isinstance(each.said, Charged) and each.said.reference == reference and not _is_refund(each):
                return each
        return None


def _is_refund(record: Record) -> bool:
    return isinstance(record.request, RefundRequest)
