"""A private system, and its load: creations and attempts, in a closed loop or as a schedule says."""

import asyncio
import contextlib
import json
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from common.stack.console import Terminal
from common.stack.stack import Stack
from common.stack.temporary import temporary_stack
from perf import loadgen, openloop
from perf.hops import Trace
from perf.openloop import Request, Result
from perf.terms import creation

TUNABLES = {"GATEWAY_LATENCY_MS": "0", "COLLECTIONS_AT": "never", "LOG_LEVEL": "warning"}
CONNECTIONS = 50  # of closed loops
SETTLE_S = 60.0
CREATED_KEPT = 50_000


@dataclass
class Phase:
    """One kind of command under load, and what became of each of them."""

    name: str
    rate: float
    result: Result
    requests: dict[str, Request] = field(default_factory=dict)  # by trace-id, where they are traced
    traces: dict[str, Trace] = field(default_factory=dict)

    def join(self, stamps: dict[str, Trace]) -> None:
        """Put the client's own stamps to those of the processes."""
        for trace_id, request in self.requests.items():
            self.traces[trace_id] = stamps.get(trace_id, {}) | {
                "client.intended": [request.intended],
                "client.sent": [request.sent],
                "client.answered": [request.answered],
            }


def traceparent(run: int, number: int) -> str:
    """A sampled W3C trace context of its own for each request."""
    return f"00-{run:016x}{number + 1:016x}-{number + 1:016x}-01"


class Driver:
    """Puts a system under load, and knows how many leases it has to have."""

    def __init__(self, stack: Stack, session: aiohttp.ClientSession, seed: int) -> None:
        self._stack = stack
        self._session = session
        self._seed = seed
        self._leases = f"{stack.addresses.http('lease')}/api/v1/leases"
        self.created: deque[tuple[str, str]] = deque(maxlen=CREATED_KEPT)  # lease, its first payment
        self._runs = 0  # schedules so far, each with trace-ids of its own
        self._made = 0  # leases, those of all phases and those that were there before

    async def begin(self) -> None:
        """Take note of what is there."""
        self._made = await self._in_ledger()

    async def guess(self, seconds: float) -> loadgen.Result:
        """Warm up, then creations in a closed loop; these are not traced."""
        numbers = iter(range(sys.maxsize))

        def create() -> bytes:
            return loadgen.post(self._leases, creation(next(numbers)))

        for length in (seconds / 2, seconds):
            found = await loadgen.run(self._leases, create, seconds=length, connections=CONNECTIONS)
            self._made += found.statuses[201]
        await self.settled()
        return found

    async def create(self, rate: float, seconds: float, *, traced: bool) -> Phase:
        """Leases, as a schedule says."""

        def note(request: Request, body: bytes) -> None:
            if request.status == 201:
                lease = json.loads(body)
                self.created.append((lease["lease_id"], lease["schedule"][0]["payment_id"]))

        def make(number: int) -> bytes:
            trace = traceparent(run, number) if traced else None
            return loadgen.post(self._leases, creation(number), traceparent=trace)

        self._runs += 1
        run = self._runs
        phase = await self._phase("creation", run, rate, seconds, self._leases, make, note, traced=traced)
        self._made += phase.result.statuses[201]
        return phase

    async def attempt(self, rate: float, seconds: float) -> Phase:
        """Attempts on the first instalment of leases that were created, each once."""
        base = f"{self._stack.addresses.http('payment')}/api/v1/payments"
        body = json.dumps({"payment_method": "pm_card_ok"}).encode()
        payments = [payment_id for _, payment_id in self.created]

        def make(number: int) -> bytes:
            url = f"{base}/{payments[number]}/attempt"
            return loadgen.post(url, body, traceparent=traceparent(run, number))

        self._runs += 1
        run = self._runs
        rate = min(rate, len(payments) / seconds * 0.8)
        return await self._phase("attempt", run, rate, seconds, base, make, most=len(payments))

    async def settled(self) -> float:
        """Return when the ledger has all leases, with the seconds that took. Raises TimeoutError."""
        began = time.monotonic()
        async with asyncio.timeout(SETTLE_S):
            while await self._in_ledger() < self._made:  # noqa: ASYNC110 over HTTP
                await asyncio.sleep(0.05)
        return time.monotonic() - began

    async def _in_ledger(self) -> int:
        url = f"{self._stack.addresses.http('ledger')}/api/v1/audit/metrics"
        async with self._session.get(url) as response:
            return int((await response.json())["leases_total"])

    async def _phase(
        self,
        name: str,
        run: int,
        rate: float,
        seconds: float,
        url: str,
        make: openloop.MakeRequest,
        note: openloop.OnAnswer | None = None,
        *,
        traced: bool = True,
        most: int = sys.maxsize,
    ) -> Phase:
        starts = openloop.poisson(rate, seconds, self._seed + run)[:most]
        requests: dict[str, Request] = {}

        def answered(request: Request, body: bytes) -> None:
            if traced:
                requests[traceparent(run, request.number)[3:35]] = request
            if note is not None:
                note(request, body)

        result = await openloop.run(url, make, starts, on_answer=answered)
        return Phase(name, rate, result, requests)


@contextlib.contextmanager
def private_system() -> Iterator[tuple[Stack, Path]]:
    """A running stack, gone after the block, and the folder of its hop stamps. Raises StackError, OSError."""
    with (
        tempfile.TemporaryDirectory(prefix="lease-hops-") as stamps,
        temporary_stack(tunables=TUNABLES, hops_dir=stamps, reporter=Terminal()) as stack,
    ):
        yield stack, Path(stamps)
