"""A private system, and its load: creations and attempts, in a closed loop or as a schedule says."""

import asyncio
import contextlib
import json
import math
import os
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deployment.local.console import Terminal
from deployment.local.stack import Stack
from deployment.local.temporary import temporary_stack
from perf.checks.private_system import Held, SystemTotals, unaccounted
from perf.load import http_generator, references
from perf.load.http_generator import MakeRequest, OnAnswer
from perf.load.http_messages import post
from perf.load.references import REFERENCE_S, References
from perf.load.result import Request, Result
from perf.probes.trace_join import Trace
from perf.targets.sample_lease import creation

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
    lag_s: float = math.nan  # of creations: after the last answer, until the ledger had all of them
    requests: dict[str, Request] = field(default_factory=dict)  # by trace-id, where they are traced
    traces: dict[str, Trace] = field(default_factory=dict)

    @property
    def accepted_per_s(self) -> float:
        """Requests carried out and answered, a second of the schedule."""
        return self.result.statuses[201] / self.result.seconds

    @property
    def drained_per_s(self) -> float:
        """The same until the ledger had them: fast answers do not hide a slow worker."""
        return self.result.statuses[201] / (self.result.seconds + self.lag_s)

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
    """Puts a system under load, and holds what was answered against what is there."""

    def __init__(self, stack: Stack, totals: SystemTotals, seed: int) -> None:
        self._stack = stack
        self._totals = totals
        self._seed = seed
        self._leases = f"{stack.addresses.http('lease')}/api/v1/leases"
        self.created: deque[tuple[str, str]] = deque(maxlen=CREATED_KEPT)  # lease, its first payment
        self._runs = 0  # schedules so far, each with trace-ids of its own
        self._before: Held | None = None
        self._answered = 0  # creations since then, with 201
        self._uncertain = 0  # the others, that may have been carried out or not

    async def begin(self) -> None:
        """Take note of what is there, once all of it is on the disk: what set it up is not to be measured."""
        await asyncio.to_thread(os.sync)
        self._before = await self._totals.at_rest()
        self._answered = self._uncertain = 0

    async def warm_up(self, seconds: float) -> Result:
        """Creations in a closed loop, untraced; the second half says what the system can do about."""

        def create(number: int) -> bytes:
            return post(self._leases, creation(number))

        for length in (seconds / 2, seconds):
            found = await http_generator.closed_loop(
                self._leases, create, seconds=length, connections=CONNECTIONS
            )
            self._count(found)
        return found

    async def create(self, rate: float, seconds: float, *, traced: bool) -> Phase:
        """Leases, as a schedule says."""

        def note(request: Request, body: bytes) -> None:
            if request.status == 201:
                lease = json.loads(body)
                self.created.append((lease["lease_id"], lease["schedule"][0]["payment_id"]))

        def make(number: int) -> bytes:
            trace = traceparent(run, number) if traced else None
            return post(self._leases, creation(number), traceparent=trace)

        self._runs += 1
        run = self._runs
        phase = await self._phase("creation", run, rate, seconds, self._leases, make, note, traced=traced)
        self._count(phase.result)
        phase.lag_s = await self._ledger_lag()
        return phase

    async def attempt(self, rate: float, seconds: float) -> Phase:
        """Attempts on the first instalment of leases that were created, each once."""
        base = f"{self._stack.addresses.http('payment')}/api/v1/payments"
        body = json.dumps({"payment_method": "pm_card_ok"}).encode()
        payments = [payment_id for _, payment_id in self.created]

        def make(number: int) -> bytes:
            url = f"{base}/{payments[number]}/attempt"
            return post(url, body, traceparent=traceparent(run, number))

        self._runs += 1
        run = self._runs
        rate = min(rate, len(payments) / seconds * 0.8)
        return await self._phase("attempt", run, rate, seconds, base, make, most=len(payments))

    async def beside(self, seconds: float, starts: Sequence[float] = ()) -> References:
        """What else this machine can do, with a lease that was created as the pattern."""
        lease_id, _ = self.created[0]
        return await references.measure(
            self._stack, lease_id, connections=CONNECTIONS, starts=starts, seconds=min(REFERENCE_S, seconds)
        )

    async def unaccounted(self) -> list[str]:
        """Wait for the system to come to rest: what is missing or too much since `begin`, in words.

        Then begin anew.
        """
        assert self._before is not None
        now = await self._totals.at_rest()
        found = unaccounted(self._before, now, self._answered, self._uncertain)
        self._before, self._answered, self._uncertain = now, 0, 0
        return found

    def _count(self, result: Result) -> None:
        self._answered += result.statuses[201]
        self._uncertain += sum(result.statuses.values()) - result.statuses[201] + result.unanswered

    async def _ledger_lag(self) -> float:
        """Seconds until the ledger has all that was answered; infinite where it does not get there."""
        assert self._before is not None
        began = time.monotonic()
        expected = self._before.in_ledger + self._answered
        found = await self._totals.ledger.leases(expected, SETTLE_S)
        return time.monotonic() - began if found >= expected else math.inf

    async def _phase(
        self,
        name: str,
        run: int,
        rate: float,
        seconds: float,
        url: str,
        make: MakeRequest,
        note: OnAnswer | None = None,
        *,
        traced: bool = True,
        most: int = sys.maxsize,
    ) -> Phase:
        starts = http_generator.poisson(rate, seconds, self._seed + run)[:most]
        requests: dict[str, Request] = {}

        def answered(request: Request, body: bytes) -> None:
            if traced:
                requests[traceparent(run, request.number)[3:35]] = request
            if note is not None:
                note(request, body)

        result = await http_generator.open_loop(url, make, starts, on_answer=answered)
        return Phase(name, rate, result, requests=requests)


@contextlib.contextmanager
def private_system() -> Iterator[tuple[Stack, Path]]:
    """A running stack, gone after the block, and the folder of its hop stamps. Raises StackError, OSError."""
    with (
        tempfile.TemporaryDirectory(prefix="lease-hops-") as stamps,
        temporary_stack(tunables=TUNABLES, hops_dir=stamps, reporter=Terminal()) as stack,
    ):
        yield stack, Path(stamps)
