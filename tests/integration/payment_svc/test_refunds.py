"""What the database holds of refunds and chargebacks whatever the code does, and workers at one moment."""

import asyncio
from collections.abc import AsyncIterator
from datetime import date
from typing import Any, cast

import asyncpg
import msgspec
import pytest

from common.kernel.clock import utcnow
from common.kernel.ids import payment_id, uuid7
from common.messaging.command_processor import CommandProcessor
from common.messaging.envelope import COMMAND_CONTENT_TYPE, Command, Outcome, encode
from common.postgres.pool import Pool, transaction
from payment_svc.adapters.postgres import account_repository
from payment_svc.application.command_handlers import PaymentUnit
from payment_svc.contracts.commands import RecordChargeback
from payment_svc.contracts.events import LeaseCreated, ScheduledInstalment
from payment_svc.domain.attempt import Attempt
from tests.integration.common.test_command_processor import Replies, delivery
from tests.support.servers.database import empty, owner, pools
from tests.support.servers.servers import Servers

LEASE = "01890a5d-ac96-774b-8bce-b302099a8057"
AMOUNT = 1020


@pytest.fixture
async def its(servers: Servers) -> AsyncIterator[asyncpg.Connection]:
    async with owner(servers) as connection:
        await empty(connection, "payment")
        yield connection
        await empty(connection, "payment")


@pytest.fixture
async def workers(servers: Servers, its: asyncpg.Connection) -> AsyncIterator[list[Pool]]:
    async with pools(servers, "payment", count=2) as opened:
        yield opened


def attempt(**changes: Any) -> Attempt:
    fields: dict[str, Any] = {
        "attempt_id": uuid7(),
        "command_id": uuid7(),
        "lease_id": LEASE,
        "payment_id": payment_id(LEASE, 1),
        "number": 1,
        "kind": "instalment",
        "amount": AMOUNT,
        "currency": "USD",
        "payment_method": "pm_card_ok",
        "status": "started",
        "created_at": utcnow(),
    }
    return Attempt(**fields | changes)


@pytest.fixture
async def original(workers: list[Pool], its: asyncpg.Connection) -> Attempt:
    """An attempt that has collected the whole of a lease's one instalment."""
    row = ScheduledInstalment(
        number=1,
        payment_id=payment_id(LEASE, 1),
        due_date=date(2027, 1, 1),
        principal=1000,
        interest=20,
        fees=0,
        principal_balance=0,
    )
    lease = LeaseCreated(
        lease_id=LEASE,
        currency="USD",
        principal=1000,
        annual_rate="0.12",
        day_count="30/360",
        start_date=date(2026, 12, 1),
        payment_method=None,
        autopay=False,
        late_fee=None,
        schedule=[row],
    )
    made = attempt()
    async with transaction(workers[0]) as connection:
        await account_repository.insert_leases(connection, [lease], {LEASE: 1})
        await account_repository.insert_attempts(connection, [made])
        made.status, made.gateway_reference, made.settled_at = "succeeded", "ch_1", utcnow()
        await account_repository.update_attempts(connection, [made])
    await its.execute(
        "UPDATE payment.payments SET status = 'paid', paid_principal = principal, paid_interest = interest"
    )
    return made


async def test_one_refund_in_flight(workers: list[Pool], original: Attempt) -> None:
    """A second refund of the same attempt cannot be written while the first has no outcome."""

    def refund(**changes: Any) -> Attempt:
        # of a payoff, so that the rule for attempts on one payment does not get there first
        return attempt(kind="refund", refunds=original.attempt_id, payment_id=None, number=None, **changes)

    first = refund()
    async with transaction(workers[0]) as connection:
        await account_repository.insert_attempts(connection, [first])
    with pytest.raises(asyncpg.UniqueViolationError) as caught:
        async with transaction(workers[0]) as connection:
            await account_repository.insert_attempts(connection, [refund()])
    assert caught.value.constraint_name == "attempts_one_refund_in_flight"
    first.status = "declined"
    async with transaction(workers[0]) as connection:
        await account_repository.update_attempts(connection, [first])
        await account_repository.insert_attempts(connection, [refund()])


async def test_never_more_than_was_collected(workers: list[Pool], original: Attempt) -> None:
    """The database refuses to note that more was taken back than there was."""
    for refunded in (AMOUNT + 1, -1):
        original.refunded = refunded
        with pytest.raises(asyncpg.CheckViolationError):
            async with transaction(workers[0]) as connection:
                await account_repository.update_refunded(connection, [original])


@pytest.mark.parametrize("changes", [{"kind": "refund"}, {"refunds": uuid7()}, {"kind": "reversal"}])
async def test_kinds(workers: list[Pool], original: Attempt, changes: dict[str, Any]) -> None:
    """A refund without what it refunds, a charge with it, and kinds unheard of are refused."""
    with pytest.raises(asyncpg.CheckViolationError):
        async with transaction(workers[0]) as connection:
            await account_repository.insert_attempts(connection, [attempt(**changes)])


def chargeback(notice_id: str) -> Command:
    asked = RecordChargeback(notice_id=notice_id, gateway_reference="ch_1", amount=600, reason="fraudulent")
    return Command(
        command_id=uuid7(),
        type="RecordChargeback",
        submitted_at=utcnow(),
        data=msgspec.Raw(encode(asked)),
    )


async def carried_out(pool: Pool, *commands: Command) -> list[Outcome]:
    replies = Replies()
    processor = CommandProcessor(pool, PaymentUnit(), cast(Any, replies), lambda: None)
    await processor([delivery(encode(each), COMMAND_CONTENT_TYPE) for each in commands])
    return [replies.of(each) for each in commands]


async def test_one_notice_at_two_workers(
    workers: list[Pool], original: Attempt, its: asyncpg.Connection
) -> None:
    """Told of at the same moment, and in one batch, a chargeback is recorded once; all get its answer."""
    found = await asyncio.gather(
        *(carried_out(pool, chargeback("dp_1"), chargeback("dp_1")) for pool in workers for _ in range(3))
    )
    outcomes = [outcome for both in found for outcome in both]
    assert {outcome.http_status for outcome in outcomes} == {201}
    assert len({bytes(outcome.body) for outcome in outcomes}) == 1
    assert await its.fetchval("SELECT count(*) FROM payment.attempts WHERE kind = 'chargeback'") == 1
    assert await its.fetchval("SELECT count(*) FROM payment.outbox") == 1
    assert await its.fetchval("SELECT refunded FROM payment.attempts WHERE kind = 'instalment'") == 600
    row = await its.fetchrow("SELECT status, paid_principal, paid_interest FROM payment.payments")
    assert tuple(row) == ("scheduled", 400, 20)


async def test_two_chargebacks_at_two_workers(workers: list[Pool], original: Attempt) -> None:
    """Of two that are too much together one is recorded, the other refused: 422 on the amount."""
    found = await asyncio.gather(
        *(carried_out(pool, chargeback(f"dp_{number}")) for number, pool in enumerate(workers))
    )
    assert sorted(outcome.http_status for [outcome] in found) == [201, 422]
