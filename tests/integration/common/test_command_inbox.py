"""Events of another service: projected once, in order, and one that is wrong takes no other with it."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

import asyncpg
import msgspec
import pytest

from common.errors import Retry, UnprocessableMessage
from common.kernel.ids import uuid7
from common.messaging.envelope import EVENT_BATCH_CONTENT_TYPE, EVENT_CONTENT_TYPE, Event, encode
from common.messaging.event_processor import EventProcessor
from lease_svc.adapters.postgres.lease_repository import PostgresLeaseRepository
from lease_svc.application.command_handlers import LeaseUnit
from payment_svc.application.command_handlers import PaymentUnit
from tests.integration.common.test_command_processor import delivery
from tests.support.servers.database import empty, owner, pools
from tests.support.servers.servers import Servers


@pytest.fixture
async def its(servers: Servers) -> AsyncIterator[asyncpg.Connection]:
    async with owner(servers) as connection:
        await empty(connection, "payment")
        yield connection
        await empty(connection, "payment")


def created(lease_id: str, sequence: int = 1, **changes: Any) -> Event:
    data = {
        "lease_id": lease_id,
        "currency": "USD",
        "principal": 1000,
        "annual_rate": "0.1",
        "day_count": "30/360",
        "start_date": "2026-12-01",
        "payment_method": None,
        "autopay": False,
        "late_fee": None,
        "schedule": [
            {
                "number": 1,
                "payment_id": uuid7(),
                "due_date": "2027-01-01",
                "principal": 1000,
                "interest": 8,
                "fees": 0,
                "principal_balance": 0,
            }
        ],
    } | changes
    return event(lease_id, "lease.created", sequence, data)


def event(lease_id: str, type_: str, sequence: int, data: Any) -> Event:
    return Event(
        id=uuid7(),
        source="/lease-svc",
        type=type_,
        subject=lease_id,
        time="2026-11-23T08:00:00.000000Z",
        sequence=sequence,
        correlationid=uuid7(),
        causationid=uuid7(),
        data=msgspec.Raw(encode(data)),
    )


def batch_of(*events: Event) -> list[Any]:
    """One message for each event."""
    return [delivery(encode(each), EVENT_CONTENT_TYPE) for each in events]


def together(*events: Event) -> list[Any]:
    """One message with all events."""
    return [delivery(b"[%s]" % b",".join(map(encode, events)), EVENT_BATCH_CONTENT_TYPE)]


async def accounts(its: asyncpg.Connection) -> dict[str, int]:
    found = await its.fetch("SELECT lease_id::text, lease_sequence FROM payment.accounts")
    return {row["lease_id"]: row["lease_sequence"] for row in found}


@pytest.fixture
async def process(servers: Servers, its: asyncpg.Connection) -> AsyncIterator[EventProcessor]:
    async with pools(servers, "payment") as [pool]:
        yield EventProcessor(pool, PaymentUnit(), lambda: None)


@pytest.mark.parametrize("form", [batch_of, together])
async def test_projected_once(process: EventProcessor, its: asyncpg.Connection, form: Any) -> None:
    """Singly or several in a message, repeated inside a batch and later: applied once, in order."""
    one, two = uuid7(), uuid7()
    first, paid_off = created(one), event(one, "lease.paid_off", 2, {})
    await process(form(first, created(two), first))
    await process(form(first, paid_off, paid_off))
    await process(form(paid_off))
    assert await accounts(its) == {one: 2, two: 1}
    assert await its.fetchval("SELECT count(*) FROM payment.payments") == 2


@pytest.mark.parametrize("form", [batch_of, together])
async def test_a_gap(process: EventProcessor, its: asyncpg.Connection, form: Any) -> None:
    """An event whose predecessor is missing is never applied; once the predecessor is there, it is."""
    one = uuid7()
    with pytest.raises(Exception, match="after 0"):
        await process(form(event(one, "lease.paid_off", 2, {})))
    assert await accounts(its) == {}
    await process(form(created(one)))
    await process(form(event(one, "lease.paid_off", 2, {})))
    assert await accounts(its) == {one: 2}


async def test_one_wrong_event_in_a_message(process: EventProcessor, its: asyncpg.Connection) -> None:
    """The others of its message are applied, however often it comes again."""
    good = [created(uuid7()) for _ in range(5)]
    bad = created(uuid7(), currency=None)
    for _ in range(3):
        with pytest.raises(msgspec.ValidationError):
            await process(together(*good[:2], bad, *good[2:]))
    assert await accounts(its) == {each.subject: 1 for each in good}


@pytest.mark.parametrize(
    "wrong",
    [
        created("not-a-uuid"),
        event(uuid7(), "lease.created", 1, {"lease_id": "other"}),
        created(uuid7(), sequence=1, currency="U\x00D"),
        created(uuid7(), principal=2**63),
        created(uuid7(), start_date="2026-02-30"),
        created(uuid7(), sequence=2**40),
        created(uuid7(), sequence=2),
        event(uuid7(), "lease.unheard_of", 1, {}),
        event(uuid7(), "lease.created", 1, []),
    ],
    ids=range(9),
)
async def test_wrong_events_fail_instead_of_waiting(
    process: EventProcessor, its: asyncpg.Connection, wrong: Event
) -> None:
    """Whatever is wrong with an event, it fails (and is dead-lettered in the end): it is never waited for."""
    good = created(uuid7())
    with pytest.raises(Exception) as caught:  # noqa: PT011 any but Retry
        await process(together(wrong, good))
    assert not isinstance(caught.value, Retry)
    assert await accounts(its) == {good.subject: 1}


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"\xff", b'{"id": 1}', encode({"specversion": "0.3"})]
)
async def test_unprocessable_message(process: EventProcessor, body: bytes) -> None:
    """What is no event can never be processed."""
    with pytest.raises(UnprocessableMessage):
        await process([delivery(body, EVENT_CONTENT_TYPE)])


async def test_the_lease_service_waits_for_no_stranger(servers: Servers, its: asyncpg.Connection) -> None:
    """An event of a lease that is not there fails; what is known is projected."""
    await empty(its, "lease")
    async with pools(servers, "lease") as [pool]:
        process = EventProcessor(pool, LeaseUnit(PostgresLeaseRepository()), lambda: None)
        for type_ in ("payment.succeeded", "payment.attempt_started", "payoff.succeeded", "never.heard_of"):
            with pytest.raises(Exception) as caught:  # noqa: PT011 any but Retry
                await process(batch_of(event(uuid7(), type_, 1, {})))
            assert not isinstance(caught.value, Retry)


class _Counting:
    """A unit that counts transactions."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    async def carry_out(self, _connection: Any, _commands: Any) -> Any:
        raise NotImplementedError

    async def project(self, _connection: Any, events: Sequence[Event]) -> list[Event]:
        self.calls.append(len(events))
        return []


async def test_one_transaction_for_a_batch(servers: Servers, its: asyncpg.Connection) -> None:
    """All that is well takes one transaction, and wakes the relay once."""
    woken: list[int] = []
    async with pools(servers, "payment") as [pool]:
        unit = _Counting()
        process = EventProcessor(pool, cast(Any, unit), lambda: woken.append(1))
        events = [created(uuid7()) for _ in range(10)]
        await process(batch_of(*events[:5]) + together(*events[5:]))
    assert (unit.calls, woken) == ([10], [1])
