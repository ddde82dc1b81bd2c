"""Three ways to press a system. Each is a closed loop: whoever has an answer asks again at once."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import aiohttp
import msgspec

from common.errors import BrokerFull, BrokerUnavailable
from common.messaging.envelope import Event
from common.messaging.publisher import Publisher
from common.runtime.process import background
from deployment.local.stack import Stack
from perf.checks.conservation import Comparison
from perf.checks.ledger_totals import LedgerTotals
from perf.load import http_generator, ledger_events
from perf.load.http_messages import get, post
from perf.load.result import Request
from perf.stats.latencies import Latencies
from perf.targets.sample_lease import creation

LIMIT_S = 300.0  # of one scenario; what is not done by then has failed
VISIBLE_WITHIN_S = 30.0  # after the last event was published
HELD_FOR_S = 1.0
_LOOK_EVERY_S = 0.005
_PAGE = 200

Advance = Callable[[], None]


@dataclass
class Outcome:
    """What one scenario has come to."""

    asked: int
    succeeded: int = 0
    seconds: float = 0.0
    latencies: Latencies = field(default_factory=Latencies)  # of those that succeeded or were refused

    @property
    def success_rate(self) -> float:
        """Of 1."""
        return self.succeeded / self.asked

    @property
    def per_second(self) -> float:
        """Successes."""
        return self.succeeded / self.seconds if self.seconds else 0.0


class _Page(msgspec.Struct):
    class Item(msgspec.Struct):
        seq: int
        event_id: str

    items: list[Item]


class System:
    """The private system as these scenarios use it: by HTTP, and by the broker for the storm."""

    def __init__(self, stack: Stack, session: aiohttp.ClientSession) -> None:
        self._leases = f"{stack.addresses.http('lease')}/api/v1/leases"
        self._ledger = f"{stack.addresses.http('ledger')}/api/v1/audit"
        self._amqp = stack.addresses.amqp
        self._session = session
        self._totals = LedgerTotals(stack.addresses.http("ledger"))
        self.created: list[str] = []  # leases that were answered with 201
        self.published = 0  # events of storms that were confirmed
        self.uncertain = 0  # requests and events of which nobody said what became of them

    async def create(self, users: int, each: int, advance: Advance) -> Outcome:
        """So many users create leases at once, each one after the other."""

        def note(request: Request, body: bytes) -> None:
            advance()
            if request.status == 201:
                self.created.append(json.loads(body)["lease_id"])

        before = len(self.created)
        request = post(self._leases, creation(0))
        outcome = await _closed_loop(self._leases, lambda _: request, users, users * each, 201, note)
        self.uncertain += outcome.asked - (len(self.created) - before)
        return outcome

    async def read(self, leases: int, each: int, advance: Advance) -> Outcome:
        """So many leases are read at once, each again and again."""
        requests = [get(f"{self._leases}/{lease_id}") for lease_id in self.created[-leases:]]

        def make(number: int) -> bytes:
            return requests[number % len(requests)]

        return await _closed_loop(self._leases, make, leases, leases * each, 200, lambda *_: advance())

    async def storm(self, leases: int, each: int, advance: Advance) -> Outcome:
        """Events of so many leases at once, each lease's in order; a latency ends when its event is read."""
        outcome = Outcome(asked=leases * each)
        sent: dict[str, float] = {}  # event id → when its publishing began
        after = (await asyncio.to_thread(self._totals.read)).last_seq
        publisher = Publisher(self._amqp, "stress")

        async def publish(told: list[Event]) -> None:
            for event in told:
                sent[event.id] = time.perf_counter()
                try:
                    await ledger_events.publish(publisher, event)
                except (BrokerUnavailable, BrokerFull):
                    self.uncertain += 1
                    return  # those after it would be a gap
                self.published += 1

        told = [ledger_events.attempts(lease_id, each) for lease_id in self.created[-leases:]]
        async with background(publisher.run()):
            while not publisher.connected:  # noqa: ASYNC110 it tells nobody
                await asyncio.sleep(_LOOK_EVERY_S)
            started = time.perf_counter()
            publishing = asyncio.gather(*map(publish, told))
            last = started
            while outcome.succeeded < outcome.asked:
                page = await self._events(after)
                now = time.perf_counter()
                for item in page.items:
                    after = item.seq
                    if item.event_id in sent:
                        outcome.succeeded += 1
                        outcome.latencies.record(now - sent[item.event_id])
                        advance()
                        last = now
                if publishing.done() and now - last > VISIBLE_WITHIN_S:
                    break
                if len(page.items) < _PAGE:
                    await asyncio.sleep(_LOOK_EVERY_S)
            await publishing
        outcome.seconds = last - started
        return outcome

    async def conserved(self) -> bool:
        """Whether the ledger comes to hold what was answered with 201 and what was confirmed, each once.

        And stays so for a moment: what is there twice may come late.
        """
        deadline = time.monotonic() + VISIBLE_WITHIN_S
        held_since = None
        while (now := time.monotonic()) < deadline:
            totals = await asyncio.to_thread(self._totals.read)
            leases, others = totals.leases_total, totals.events_total - totals.leases_total
            compared = (
                Comparison(what=what, done=done, recorded=recorded, uncertain=self.uncertain)
                for what, done, recorded in (
                    ("leases", len(self.created), leases),
                    ("events of storms", self.published, others),
                )
            )
            if not all(each.holds for each in compared):
                held_since = None
            elif held_since is None:
                held_since = now
            elif now - held_since > HELD_FOR_S:
                return True
            await asyncio.sleep(0.1)
        return False

    async def _events(self, after: int) -> _Page:
        query = {"after_seq": str(after), "limit": str(_PAGE)}
        async with self._session.get(f"{self._ledger}/events", params=query) as response:
            response.raise_for_status()
            return msgspec.json.decode(await response.read(), type=_Page)


Press = Callable[[System, int, int, Advance], Awaitable[Outcome]]


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """One of the three, with the guide's numbers."""

    name: str
    title: str
    users: int  # at once: users, or leases
    operations: int  # of each
    what: str  # is counted a second
    press: Press


SCENARIOS = (
    Scenario(
        name="creation",
        title="Concurrent lease creation",
        users=50,
        operations=10,
        what="leases/s",
        press=System.create,
    ),
    Scenario(
        name="storm",
        title="Ledger event storm",
        users=10,
        operations=100,
        what="events/s",
        press=System.storm,
    ),
    Scenario(
        name="reads",
        title="Read amplification",
        users=20,
        operations=50,
        what="reads/s",
        press=System.read,
    ),
)


async def _closed_loop(
    url: str,
    make: http_generator.MakeRequest,
    connections: int,
    requests: int,
    status: int,
    on_answer: http_generator.OnAnswer,
) -> Outcome:
    result = await http_generator.closed_loop(
        url, make, seconds=LIMIT_S, connections=connections, requests=requests, on_answer=on_answer
    )
    return Outcome(
        asked=requests,
        succeeded=result.statuses[status],
        seconds=result.seconds,
        latencies=result.latencies,
    )
