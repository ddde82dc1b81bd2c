"""The operations, each by the code that the services run, with what it is set beside."""

import hashlib
from collections.abc import Callable, Iterable
from datetime import date
from itertools import cycle
from typing import Any, cast

import msgspec

from common.kernel.clock import utcnow
from common.kernel.ids import uuid7
from common.messaging.command_processor import CommandProcessor
from common.messaging.consumer import Delivery
from common.messaging.envelope import COMMAND_CONTENT_TYPE, Command, Event, Outcome, encode
from lease_svc.adapters.postgres.lease_reader import LeaseReader
from lease_svc.adapters.postgres.lease_repository import PostgresLeaseRepository
from lease_svc.application.command_handlers import LeaseUnit, create_lease
from lease_svc.application.representations import view
from lease_svc.application.unit_of_work import Batch
from lease_svc.contracts.commands import CreateLease
from lease_svc.domain import schedule
from lease_svc.entrypoints.http.requests import NewLease
from ledger_svc.contracts.entry import render
from ledger_svc.contracts.envelope import decode
from ledger_svc.entrypoints.http.schemas import Trail
from ledger_svc.event_types.registry import data_of
from ledger_svc.log import repository as ledger
from ledger_svc.log.writer import PACE_S
from perf.bench.fixtures import Workbench
from perf.load import ledger_events

EVENTS_OF_A_HISTORY = 100
LEASES_READ = 20
TERMS = NewLease(
    customer_id="bench",
    currency="USD",
    principal=120_000,
    annual_rate="0.1200",
    term=12,
    frequency="monthly",
    start_date=date(2026, 1, 1),
)


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """What is measured."""

    name: str
    what: str  # exactly what is timed
    prepare: Callable[[], Any]  # what a round is given; not timed
    perform: Callable[[Any], object]  # timed
    # timed between its rounds: the least piece of work of its kind
    bare: Callable[[], object]
    rounds: int
    check: Callable[[], None] = lambda: None  # raises where the work was not what it should have been


def building_a_schedule() -> Operation:
    """CPU alone."""
    terms = schedule.Terms(
        currency=TERMS.currency,
        principal=TERMS.principal,
        annual_rate=TERMS.annual_rate,
        term=TERMS.term,
        frequency=TERMS.frequency,
        day_count=TERMS.day_count,
        start_date=TERMS.start_date,
    )
    return Operation(
        name="schedule",
        what="the schedule of twelve instalments from its terms",
        prepare=lambda: terms,
        perform=schedule.build,
        bare=compute,
        rounds=1_000,
    )


def coding_an_event() -> Operation:
    """CPU alone."""
    event = told_of_a_creation()
    return Operation(
        name="codec",
        what="lease.created of twelve instalments: encoded, and read with its data as the ledger does",
        prepare=lambda: event,
        perform=lambda each: data_of(decode(encode(each))),
        bare=compute,
        rounds=1_000,
    )


def creating_a_lease(bench: Workbench) -> Operation:
    """The worker's way of one command."""
    replies = _Replies()
    process = CommandProcessor(
        bench.leases, LeaseUnit(PostgresLeaseRepository()), cast(Any, replies), lambda: None
    )
    return Operation(
        name="lease_creation",
        what="one command: looked up in the inbox, carried out, written with outcome and event, committed",
        prepare=lambda: _delivered(_creation()),
        perform=lambda delivery: bench.run(process([delivery])),
        bare=bench.commit,
        rounds=300,
        check=replies.check,
    )


def retrieving_a_lease(bench: Workbench) -> Operation:
    """The front's way of GET /api/v1/leases/{id}."""
    process = CommandProcessor(
        bench.leases, LeaseUnit(PostgresLeaseRepository()), cast(Any, _Replies()), lambda: None
    )
    commands = [_creation() for _ in range(LEASES_READ)]
    bench.run(process([_delivered(each) for each in commands]))
    leases = LeaseReader(bench.leases)
    ids = cycle([msgspec.json.decode(each.data)["lease_id"] for each in commands])

    async def retrieve(lease_id: str) -> bytes:
        return view((await leases.leases([lease_id]))[lease_id])

    return Operation(
        name="lease_retrieval",
        what="a lease of twelve instalments, read by its id and rendered as JSON",
        prepare=lambda: next(ids),
        perform=lambda lease_id: bench.run(retrieve(lease_id)),
        bare=bench.read,
        rounds=500,
    )


def appending_to_the_ledger(bench: Workbench) -> Operation:
    """The writer's way of one event, which it takes up at once: rounds are further apart than its batches."""
    told = told_of_a_creation()
    bench.run(bench.append(told))
    rounds = 100
    following = iter(ledger_events.attempts(told.subject, 2 * rounds))

    def prepare() -> Event:
        bench.rest(PACE_S)
        return next(following)

    return Operation(
        name="ledger_append",
        what="one event: published with confirm, read from the stream, appended, committed, seen",
        prepare=prepare,
        perform=lambda event: bench.run(bench.append(event)),
        bare=bench.commit,
        rounds=rounds,
    )


def reading_a_history(bench: Workbench) -> Operation:
    """The front's way of GET /api/v1/audit/leases/{id}."""
    told = told_of_a_creation()
    lease_id = told.subject
    bench.run(bench.append(told, *ledger_events.attempts(lease_id, EVENTS_OF_A_HISTORY - 1)))

    async def read(_: object) -> bytes:
        found = await ledger.trail(bench.ledger, lease_id, limit=EVENTS_OF_A_HISTORY + 1)
        if len(found) != EVENTS_OF_A_HISTORY:
            raise ValueError(f"{len(found)} events instead of {EVENTS_OF_A_HISTORY}")
        items = [render(entry) for entry in found]
        return encode(Trail(lease_id=lease_id, items=items, next_cursor=None))

    return Operation(
        name="ledger_history",
        what=f"a lease's trail of {EVENTS_OF_A_HISTORY} events, read and rendered as JSON",
        prepare=lambda: None,
        perform=lambda nothing: bench.run(read(nothing)),
        bare=bench.read,
        rounds=300,
    )


def compute() -> int:
    """A fixed piece of work for the interpreter, the bare reference of what is CPU alone."""
    return sum(number * number for number in range(2_000))


class _Replies:
    """Stands where the reply queue is: a front would get these."""

    def __init__(self) -> None:
        self._statuses: set[int] = set()

    async def send(self, outcomes: Iterable[tuple[str | None, Outcome]]) -> None:
        self._statuses |= {outcome.http_status for _, outcome in outcomes}

    def check(self) -> None:
        if self._statuses != {201}:
            raise ValueError(f"not every command was answered with 201: {self._statuses}")


def _creation() -> Command:
    key = uuid7()
    return Command(
        command_id=uuid7(),
        type="CreateLease",
        submitted_at=utcnow(),
        idempotency_key=key,
        fingerprint=hashlib.sha256(key.encode()).hexdigest(),
        data=msgspec.Raw(encode(CreateLease(lease_id=uuid7(), terms=TERMS))),
    )


def _delivered(command: Command) -> Delivery:
    return Delivery(
        body=encode(command),
        tag=1,
        redelivered=False,
        deliveries=0,
        content_type=COMMAND_CONTENT_TYPE,
        message_type=command.type,
        message_id=command.command_id,
        reply_to="bench",
        channel=cast(Any, None),
    )


def told_of_a_creation() -> Event:
    """The event of a new lease, as the lease service tells it."""
    batch, command = Batch({}), _creation()
    asked = msgspec.json.decode(command.data, type=CreateLease)
    create_lease(batch, command, asked, utcnow())
    return batch.events[0]
