"""A circuit breaker around any gateway (the pattern: Michael Nygard, *Release It!*).

A gateway that is down makes every attempt wait for its timeout and leaves it `unknown`. After some failures
in a row this one stops calling: charges end at once as NotReached, which is the truth and may be tried again.
After a pause a single charge is let through, and how it ends decides.
"""

from __future__ import annotations

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

STATE = Gauge(
    "gateway_circuit_state", "0 closed, 1 half-open (one charge is let through), 2 open", ["gateway"]
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

    Look-ups pass through, unhindered and unheard. Unhindered, because they are how an unknown attempt is
    settled, and asking cannot hurt; unheard, because a gateway that answers them may still take no charges.
    Only with the end of an outage, which they notice first, is a charge let through at once (`half_open`).
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
        self._probing = False  # while half-open: the one charge is under way
        self._begun = 0  # charges sent so far: each one's number
        self._answered = 0  # the highest number that got an answer
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
        probe = self._opened_at is not None
        if probe and not self._may_probe():
            self._refused.inc()
            return NotReached(reason="circuit open", called=False)
        self._begun += 1
        number = self._begun
        if probe:
            self._probing = True
            self._state.set(_HALF_OPEN)
        try:
            result = await call()
        except BaseException:  # cancelled: nothing was learnt, the next charge is the probe
            if probe:
                self._probing = False
                self._state.set(_OPEN)
            raise
        if probe or self._opened_at is None:  # else it began before the circuit opened: old news
            self._learn(number, result)
        return result

    def half_open(self) -> None:
        """The gateway answers look-ups again: one charge is let through before the pause is over."""
        if self._opened_at is not None:
            self._opened_at = min(self._opened_at, self._clock() - self._open_s)

    async def find(self, idempotency_key: str) -> Found:
        """See `Gateway.find`."""
        return await self._gateway.find(idempotency_key)

    async def find_refund(self, idempotency_key: str, reference: str) -> Found:
        """See `Gateway.find_refund`."""
        return await self._gateway.find_refund(idempotency_key, reference)

    def _may_probe(self) -> bool:
        assert self._opened_at is not None
        return not self._probing and self._clock() - self._opened_at >= self._open_s

    def _learn(self, number: int, result: ChargeResult) -> None:
        if not isinstance(result, NotReached | NoAnswer) or not result.outage:
            self._answered = max(self._answered, number)
            self._failures = 0
            if self._opened_at is not None:
                self._close()
        elif number > self._answered:
            self._failures += 1
            if self._probing or self._failures >= self._failures_to_open:
                self._open(result.reason)

    def _open(self, reason: str) -> None:
        if not self._probing:
            self._opened.inc()
            log.warning("gateway.circuit_opened", gateway=self._name, reason=reason)
        self._opened_at = self._clock()
        self._probing = False
        self._state.set(_OPEN)

    def _close(self) -> None:
        self._opened_at = None
        self._probing = False
        self._state.set(_CLOSED)
        log.info("gateway.circuit_closed", gateway=self._name)
