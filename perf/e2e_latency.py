"""Each command followed hop by hop, at a rate that the system can hold: where does the time go?

On a private system of its own. First its capacity is guessed from a short closed loop; then creations, and
attempts on what was created, arrive in a seeded Poisson schedule at half of that (or at --rate). Every
message of every request is stamped by every process; the stamps are joined when all is over. In the same run:
a bare aiohttp server, and the same inserts without a broker.
"""

import argparse
import asyncio
import contextlib
import json
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import uvloop
from rich.console import Console

from common.stack.errors import StackError
from common.stack.ports import Ports
from common.stack.settings import Settings
from common.stack.stack import Stack
from perf import hops, loadgen, openloop, servers
from perf.hops import Trace
from perf.openloop import Request, Result
from perf.show import conservation, hop_table, references

TUNABLES = {"GATEWAY_LATENCY_MS": "0", "COLLECTIONS_AT": "never", "LOG_LEVEL": "warning"}
CONNECTIONS = 50
GUESS_S = 5.0
SETTLE_S = 60.0
ATTEMPTS_SHARE = 4  # attempts come at the creations' rate over this: each is charged by HTTP, one by one

console = Console()


@dataclass
class Phase:
    """One kind of command under load, and what became of each of them."""

    name: str
    rate: float
    result: Result
    requests: dict[str, Request] = field(default_factory=dict)  # by trace-id
    traces: dict[str, Trace] = field(default_factory=dict)

    def join(self, stamps: dict[str, Trace]) -> None:
        """Put the client's own stamps to those of the processes."""
        for trace_id, request in self.requests.items():
            self.traces[trace_id] = stamps.get(trace_id, {}) | {
                "client.intended": [request.intended],
                "client.sent": [request.sent],
                "client.answered": [request.answered],
            }


def body_of_a_lease(number: int) -> bytes:
    """A creation's request body."""
    return json.dumps(
        {
            "customer_id": f"latency-{number % 1000}",
            "currency": "USD",
            "principal": 120_000 + number % 1000,
            "annual_rate": "0.1200",
            "term": 12,
            "frequency": "monthly",
            "start_date": "2026-01-01",
        }
    ).encode()


def traceparent(run: int, number: int) -> str:
    """A sampled W3C trace context of its own for each request."""
    return f"00-{run:016x}{number + 1:016x}-{number + 1:016x}-01"


class Measurement:
    """A private system under load."""

    def __init__(self, stack: Stack, session: aiohttp.ClientSession, seed: int) -> None:
        self._stack = stack
        self._session = session
        self._seed = seed
        self._leases = f"{stack.addresses.http('lease')}/api/v1/leases"
        self.created: list[dict[str, object]] = []
        self._made = 0  # leases, those of all phases and those that were there before

    async def begin(self) -> None:
        """Take note of what is there."""
        self._made = await self._in_ledger()

    async def guess(self, seconds: float) -> loadgen.Result:
        """Warm up, then creations in a closed loop; these are not traced."""
        numbers = iter(range(sys.maxsize))

        def create() -> bytes:
            return loadgen.post(self._leases, body_of_a_lease(next(numbers)))

        for length in (seconds / 2, seconds):
            found = await loadgen.run(self._leases, create, seconds=length, connections=CONNECTIONS)
            self._made += found.statuses[201]
        await self.settled()
        return found

    async def create(self, rate: float, seconds: float) -> Phase:
        """Leases, as a schedule says."""

        def note(request: Request, body: bytes) -> None:
            if request.status == 201:
                self.created.append(json.loads(body))

        def make(number: int) -> bytes:
            return loadgen.post(self._leases, body_of_a_lease(number), traceparent=traceparent(1, number))

        phase = await self._phase("creation", 1, rate, seconds, self._leases, make, note)
        self._made += phase.result.statuses[201]
        await self.settled()
        return phase

    async def attempt(self, rate: float, seconds: float) -> Phase:
        """Attempts on the first instalment of leases that were created, each once."""
        base = f"{self._stack.addresses.http('payment')}/api/v1/payments"
        body = json.dumps({"payment_method": "pm_card_ok"}).encode()
        payments = [lease["schedule"][0]["payment_id"] for lease in self.created]  # type: ignore[index]

        def make(number: int) -> bytes:
            url = f"{base}/{payments[number]}/attempt"
            return loadgen.post(url, body, traceparent=traceparent(2, number))

        rate = min(rate, len(payments) / seconds * 0.8)
        return await self._phase("attempt", 2, rate, seconds, base, make, None, most=len(payments))

    async def settled(self) -> None:
        """Return when the ledger has all leases. Raises TimeoutError."""
        async with asyncio.timeout(SETTLE_S):
            while await self._in_ledger() < self._made:  # noqa: ASYNC110 over HTTP
                await asyncio.sleep(0.1)

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
        note: openloop.OnAnswer | None,
        most: int = sys.maxsize,
    ) -> Phase:
        starts = openloop.poisson(rate, seconds, self._seed + run)[:most]
        requests: dict[str, Request] = {}

        def answered(request: Request, body: bytes) -> None:
            requests[traceparent(run, request.number)[3:35]] = request
            if note is not None:
                note(request, body)

        with console.status(f"{name}s: {rate:,.0f}/s for {seconds:.0f} s, arriving at random …"):
            result = await openloop.run(url, make, starts, on_answer=answered)
        return Phase(name, rate, result, requests)


def _directory() -> Path:
    parent = Path(tempfile.mkdtemp(prefix="lease-latency-"))
    parent.chmod(0o711)  # the servers' own account has to get in
    (parent / "hops").mkdir()
    return parent


@contextlib.asynccontextmanager
async def _system() -> AsyncIterator[tuple[Stack, Path]]:
    parent = await asyncio.to_thread(_directory)
    stamps = parent / "hops"
    settings = Settings(run_dir=parent / "run", ports=Ports.free(), tunables=TUNABLES, hops_dir=str(stamps))
    stack = Stack(settings)
    try:
        with console.status("starting a private system …"):
            await asyncio.to_thread(stack.up)
        yield stack, stamps
    finally:
        await asyncio.to_thread(stack.clean)
        await asyncio.to_thread(shutil.rmtree, parent)


async def measure(seconds: float, rate: float | None, seed: int) -> bool:
    """Run it all and print the tables; True when every request is accounted for, once."""
    began = time.monotonic()
    async with _system() as (stack, stamps), aiohttp.ClientSession() as session:
        measurement = Measurement(stack, session, seed)
        await measurement.begin()
        with console.status("guessing the capacity …"):
            guess = await measurement.guess(min(GUESS_S, seconds))
        rate = rate or guess.per_second / 2
        creations = await measurement.create(rate, seconds)
        attempts = await measurement.attempt(rate / ATTEMPTS_SHARE, seconds / 2)
        await asyncio.sleep(2)  # until the last stamps are written
        joined = hops.read(stamps)
        lease_id = str(measurement.created[0]["lease_id"])
        with console.status("the references …"):
            bare = await servers.echo_per_second(CONNECTIONS, min(GUESS_S, seconds))
            direct = await servers.direct(
                stack.addresses.database,
                lease_id,
                body_of_a_lease(0),
                CONNECTIONS,
                min(GUESS_S, seconds),
                openloop.poisson(rate, min(GUESS_S, seconds), seed),
            )
    for phase, way in ((creations, hops.CREATION), (attempts, hops.ATTEMPT)):
        phase.join(joined)
        hop_table(console, phase.name, phase.rate, phase.result, phase.traces, way)
    references(console, guess, creations.result, bare, direct)
    kept = [conservation(console, phase.name, phase.result, phase.traces) for phase in (creations, attempts)]
    console.print(f"Seed {seed}; {time.monotonic() - began:.0f} s in all.")
    return all(kept)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m perf.e2e_latency", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="length of the creations' schedule")
    parser.add_argument("--rate", type=float, help="creations a second; default: half of a closed loop's")
    parser.add_argument("--seed", type=int, default=1, help="of the arrival times")
    arguments = parser.parse_args()
    try:
        kept = uvloop.run(measure(arguments.seconds, arguments.rate, arguments.seed))
    except (StackError, OSError, TimeoutError) as error:
        sys.exit(f"The measurement was cut short: {error!r}")
    sys.exit(0 if kept else 1)


if __name__ == "__main__":
    main()
