"""Closing leases in whole batches, and what the others make of the events: in real tables."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import msgspec
import pytest

from common.kernel.clock import utcnow
from common.kernel.ids import uuid7
from common.messaging.envelope import Command, Outcome, encode
from common.postgres.pool import Pool, transaction
from lease_svc.adapters.postgres.lease_repository import PostgresLeaseRepository
from lease_svc.application.command_handlers import LeaseUnit
from lease_svc.contracts.commands import CancelLease, ChargeOffLease, CreateLease
from lease_svc.entrypoints.http.requests import NewLease
from ledger_svc.accounting import totals
from ledger_svc.accounting.totals import Amounts
from ledger_svc.contracts import envelope as ledger_events
from ledger_svc.contracts.envelope import Event
from ledger_svc.log import recorded_closings, repository
from ledger_svc.log.entry import seal
from ledger_svc.log.recorded_closings import Recorded
from ledger_svc.log.repository import Head
from payment_svc.application.command_handlers import PaymentUnit
from tests.integration.common.test_command_inbox import created, event
from tests.support.builders.bad_values import NEW_LEASE
from tests.support.builders.events import Life
from tests.support.servers.database import empty, owner, pools
from tests.support.servers.servers import Servers


@pytest.fixture
async def its(servers: Servers) -> AsyncIterator[asyncpg.Connection]:
    async with owner(servers) as connection:
        for schema in ("lease", "payment", "ledger"):
            await empty(connection, schema)
        yield connection
        for schema in ("lease", "payment", "ledger"):
            await empty(connection, schema)


@pytest.fixture
async def leases(servers: Servers, its: asyncpg.Connection) -> AsyncIterator[Pool]:
    async with pools(servers, "lease") as [pool]:
        yield pool


def command(type_: str, data: msgspec.Struct) -> Command:
    return Command(command_id=uuid7(), type=type_, submitted_at=utcnow(), data=msgspec.Raw(encode(data)))


def create(lease_id: str) -> Command:
    return command("CreateLease", CreateLease(lease_id=lease_id, terms=msgspec.convert(NEW_LEASE, NewLease)))


def cancel(lease_id: str) -> Command:
    return command("CancelLease", CancelLease(lease_id=lease_id, reason="returned unused"))


def charge_off(lease_id: str) -> Command:
    return command("ChargeOffLease", ChargeOffLease(lease_id=lease_id, reason="insolvent"))


async def carry_out(pool: Pool, *commands: Command) -> tuple[list[Outcome], list[Any]]:
    async with transaction(pool) as connection:
        return await LeaseUnit(PostgresLeaseRepository()).carry_out(connection, commands)


async def test_a_batch_of_creations_and_closings(leases: Pool, its: asyncpg.Connection) -> None:
    """One batch creates, closes what it created, closes older ones, and refuses what comes too late."""
    old, older, new, kept = (uuid7() for _ in range(4))
    await carry_out(leases, create(old), create(older))
    outcomes, events = await carry_out(
        leases, create(new), cancel(older), cancel(new), charge_off(new), create(kept), charge_off(old),
        cancel(uuid7()), cancel(older),
    )  # fmt: skip
    assert [outcome.http_status for outcome in outcomes] == [201, 200, 200, 409, 201, 200, 404, 409]
    assert [(each.type, each.subject, each.sequence) for each in events] == [
        ("lease.created", new, 1),
        ("lease.cancelled", older, 2),
        ("lease.cancelled", new, 2),
        ("lease.created", kept, 1),
        ("lease.charged_off", old, 2),
    ]
    rows = await its.fetch(
        "SELECT lease_id::text, status, balance, version, event_sequence, next_due_date IS NULL"
        "  FROM lease.leases"
    )
    found = {row["lease_id"]: tuple(row.values())[1:] for row in rows}
    assert found == {
        old: ("charged_off", 0, 2, 2, True),
        older: ("cancelled", 0, 2, 2, True),
        new: ("cancelled", 0, 2, 2, True),
        kept: ("active", 130442, 1, 1, False),
    }
    history = await its.fetch("SELECT type FROM lease.history WHERE lease_id = $1 ORDER BY version", new)
    assert [row["type"] for row in history] == ["lease.created", "lease.cancelled"]
    shown = msgspec.json.decode(outcomes[2].body)
    assert (shown["status"], shown["balance"], shown["next_due_date"]) == ("cancelled", 0, None)
    assert len(shown["schedule"]) == 12


async def test_no_cancelling_after_money_that_was_given_back(leases: Pool, its: asyncpg.Connection) -> None:
    """The history knows that money was collected, also where nothing of it is left: 409."""
    paid, never = uuid7(), uuid7()
    await carry_out(leases, create(paid), create(never))
    parts = {"allocation": {"late_fees": 0, "fees": 100, "interest": 0, "principal": 0}}
    collected = {"attempt_id": uuid7(), "number": 1, "amount": 100, **parts}
    changed = {"number": 1, "status": "scheduled", "amount": 13162, "amount_paid": 0, "amount_due": 13162}
    given_back = {"attempt_id": uuid7(), "amount": 100, "instalments": [changed], **parts}
    both = [
        event(paid, "payment.succeeded", 1, collected),
        event(paid, "payment.refunded", 2, given_back),
    ]
    async with transaction(leases) as connection:
        await LeaseUnit(PostgresLeaseRepository()).project(connection, both)
    assert await its.fetchval("SELECT amount_paid FROM lease.leases WHERE lease_id = $1", paid) == 0
    outcomes, _ = await carry_out(leases, cancel(paid), cancel(never), charge_off(paid))
    assert [outcome.http_status for outcome in outcomes] == [409, 200, 200]
    assert b"collected" in bytes(outcomes[0].body)


@pytest.mark.parametrize("how", ["cancelled", "charged_off"])
async def test_closed_in_the_batch_it_arrives_in(servers: Servers, its: asyncpg.Connection, how: str) -> None:
    """A lease created and closed at once has a closed account with cancelled payments; repeats are none."""
    one, two, open_one = uuid7(), uuid7(), uuid7()
    closing = event(one, f"lease.{how}", 2, {"reason": "returned unused"})
    async with pools(servers, "payment") as [pool]:
        unit = PaymentUnit()
        async with transaction(pool) as connection:
            await unit.project(connection, [created(one), created(open_one), closing, created(two)])
        for _ in range(2):
            later = event(two, f"lease.{how}", 2, {"reason": "returned unused"})
            async with transaction(pool) as connection:
                await unit.project(connection, [closing, later])
    rows = await its.fetch(
        "SELECT lease_id::text, closed, lease_sequence, p.status, next_look_on IS NULL"
        "  FROM payment.accounts JOIN payment.payments AS p USING (lease_id)"
    )
    assert {row["lease_id"]: tuple(row.values())[1:] for row in rows} == {
        one: (how, 2, "cancelled", True),
        two: (how, 2, "cancelled", True),
        open_one: (None, 1, "scheduled", False),
    }


async def test_totals_over_batches(servers: Servers, its: asyncpg.Connection) -> None:
    """The ledger finds in its log what a closing overtook, and what came in after one."""
    life = Life(term=3)
    life.create()
    first = life.start(1)
    life.succeed(first)
    late, later = life.start(2), life.start(3)
    life.succeed(late)
    life.refund(first, 300)
    life.refund(first, 20, "chargeback")
    life.be_late(1, fee=700)  # two events
    life.close(unseen=6)  # of instalment 2, of what was given back and of the late fee it did not know
    life.refund(late, 1)
    life.be_late(3, fee=500)
    life.learn()
    life.succeed(later)
    life.refund(later, 7, "chargeback")
    events = [ledger_events.decode(raw) for raw in life.raws]
    head = Head()
    async with pools(servers, "ledger", role="ledger_writer") as [pool]:
        for number, (each, raw) in enumerate(zip(events, life.raws, strict=True), 1):
            async with pool.acquire() as connection:
                recorded = await recorded_closings.recorded(connection, [each])
                head = Head(
                    last_seq=number,
                    stream_offset=number,
                    event_id=each.id,
                    totals=totals.add(head.totals, each, recorded.of(each)),
                    recorded_at=utcnow(),
                    checkpoint="not signed here",
                )
                entry = seal(each, raw, seq=number, recorded_at=utcnow())
                await repository.append(connection, [entry], [], head, "no key")
    assert head.totals == _at_once(events)
    sums = Amounts(billed=life.agreed + 1200, collected=life.agreed, refunded=328)
    assert head.totals.amounts == {"USD": sums}


def _at_once(events: list[Event]) -> totals.Totals:
    found, recorded = totals.EMPTY, Recorded()
    for each in events:
        found = totals.add(found, each, recorded.of(each))
        recorded.note(each)
    return found
