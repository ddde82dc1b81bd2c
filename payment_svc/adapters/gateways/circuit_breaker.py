"""A circuit breaker around any gateway (the pattern: Michael Nygard, *Release It!*).

A gateway that is down makes every attempt wait for its timeout and leaves it `unknown`. After some failures
in a row this one stops calling: charges end at once as NotReached, which is the truth and may be tried again.
After each pause a single charge is let through, and how it ends decides; with the first look-up that gets
through, a few are let through at once.
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable

import structlog
from prometheus_client import Counter, Gauge

from payment_svc.application.gateway import (
    ChargeRequest,
    ChargeResult,
    Found,
    Gateway,
    NoAnswer,
    NotReached,
    RefundRequest,
)

FAILURES_TO_OPEN = 20  # in a row; a decline is an answer, not a failure
OPEN_S = 5.0  # how long nothing is called before one charge is let through
# So many at a time once a look-up got through: a charge may get no answer for its card's sake, and takes the
# whole timeout for it; that all of these do is unlikely.
TRIALS = 5

STATE = Gauge(
    "gateway_circuit_state", "0 closed, 1 half-open (a few charges are let through), 2 open", ["gateway"]
)
OPENED = Counter("gateway_circuit_opened", "Times the circuit opened", ["gateway"])
REFUSED = Counter("gateway_circuit_refused_charges", "Charges not sent, the circuit being open", ["gateway"])

_CLOSED, _HALF_OPEN, _OPEN = 0, 1, 2

log = structlog.get_logger()


class Breaker:
    """A `Gateway` that stops calling another one while that does not answer.

    A failure counts only while no charge that began later has been answered. Without that, a crowd of
    timeouts that come in together, ten seconds late, would close off a gateway that has been answering all
    the while.

    Look-ups pass through unhindered: they are how an unknown attempt is settled, and asking cannot hurt.
    While it is closed they are unheard, because a gateway that answers them may still take no charges. Once
    it is open they say that the gateway is back: a few charges are let through at once, and one of these that
    fails does not end that while look-ups which began later get through.
    """

    def __init__(
        self,
        gateway: Gateway,
        name: str,
        *,
        failures_to_open: int = FAILURES_TO_OPEN,
        open_s: float = OPEN_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`name` is the label of its metrics; `clock` gives seconds that never go back."""
        self._gateway = gateway
        self._name = name
        self._failures_to_open = failures_to_open
        self._open_s = open_s
        self._clock = clock
        self._failures = 0  # in a row, while closed
        self._opened_at: float | None = None  # None: closed
        self._opened_with = 0  # how many calls had begun when it opened: what they bring is old news
        self._tried_at = -math.inf  # while open: when the last charge was let through
        self._trials = 0  # charges under way that were let through while open
        self._back = False  # while open: a look-up got through
        self._begun = 0  # calls so far: each one's number
        self._answered = 0  # the highest number of a charge that got an answer
        self._looked_up = 0  # and of a look-up
        self._state = STATE.labels(name)
        self._opened = OPENED.labels(name)
        self._refused = REFUSED.labels(name)
        self._state.set(_CLOSED)

    async def charge(self, request: ChargeRequest) -> ChargeResult:
        """See `Gateway.charge`. NotReached("circuit open") where the gateway was not called."""
        return await self._guarded(lambda: self._gateway.charge(request))

    async def refund(self, request: RefundRequest) -> ChargeResult:
        """See `Gateway.refund`; counts as a charge does."""
        return await self._guarded(lambda: self._gateway.refund(request))

    async def _guarded(self, call: Callable[[], Awaitable[ChargeResult]]) -> ChargeResult:
        trial = self._opened_at is not None
        if trial and not self._may_try():
            self._refused.inc()
            return NotReached(reason="circuit open", called=False)
        number = self._number()
        if trial:
            self._tried_at = self._clock()
        self._trials += trial
        self._show()
        try:
            result = await call()
        except BaseException:  # cancelled: nothing was learnt, the next charge takes its place
            if trial:
                self._tried_at = -math.inf
            raise
        finally:
            self._trials -= trial
            self._show()
        if self._opened_at is None or (trial and number > self._opened_with):
            self._learn(number, result)
        return result

    def half_open(self) -> None:
        """The gateway answers look-ups again, whoever asked: charges are let through, pause or not."""
        self._back = self._opened_at is not None

    async def find(self, idempotency_key: str) -> Found:
        """See `Gateway.find`."""
        return await self._looking_up(lambda: self._gateway.find(idempotency_key))

    async def find_refund(self, idempotency_key: str, reference: str) -> Found:
        """See `Gateway.find_refund`."""
        return await self._looking_up(lambda: self._gateway.find_refund(idempotency_key, reference))

    async def _looking_up(self, call: Callable[[], Awaitable[Found]]) -> Found:
        number = self._number()
        found = await call()
        if not _speaks_of_an_outage(found):
            self._looked_up = max(self._looked_up, number)
            if number > self._opened_with:
                self.half_open()
        return found

    def _number(self) -> int:
        self._begun += 1
        return self._begun

    def _may_try(self) -> bool:
        assert self._opened_at is not None
        paused = self._clock() - max(self._opened_at, self._tried_at) >= self._open_s
        return self._trials < TRIALS and (self._back or paused)

    def _learn(self, number: int, result: ChargeResult) -> None:
        if not isinstance(result, NotReached | NoAnswer) or not result.outage:
            self._answered = max(self._answered, number)
            self._failures = 0
            if self._opened_at is not None:
                self._close()
        elif self._opened_at is not None:
            if number > self._looked_up:
                self._open()
        elif number > self._answered:
            self._failures += 1
            if self._failures >= self._failures_to_open:
                self._opened_with = self._begun
                self._opened.inc()
                log.warning("gateway.circuit_opened", gateway=self._name, reason=result.reason)
                self._open()

    def _open(self) -> None:
        self._opened_at = self._clock()
        self._back = False
        self._show()

    def _close(self) -> None:
        self._opened_at = None
        self._back = False
        self._show()
        log.info("gateway.circuit_closed", gateway=self._name)

    def _show(self) -> None:
        if self._opened_at is None:
            self._state.set(_CLOSED)
        else:
            self._state.set(_HALF_OPEN if self._trials else _OPEN)


def _speaks_of_an_outage(found: Found) -> bool:
    return isinstance(found, NoAnswer) and found.outage
