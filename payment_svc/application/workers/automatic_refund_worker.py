"""Money that came in for a closed lease goes back by itself, and so does what a payoff below zero gives back.

Such a refund is an attempt like any other, begun in the transaction that finds the money. But no command and
so no message stands behind it: its row in `returns` says that it is to be carried out, and by when a worker
that took it up has to be done. Where the gateway is not reached it is tried again under the same key.

Of a cancelled lease everything goes back, for cancelling means that nothing had been collected; of one that
was charged off only what comes in afterwards. The `refund_due` of a payoff goes back from the newest money
first. A refund that the gateway declines is not tried again by itself: it is an operator's to look at.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import structlog

from common.kernel.clock import utcnow
from common.kernel.ids import uuid7
from common.postgres.pool import Connection, Pool, Queries, transaction
from payment_svc.adapters.postgres import account_repository
from payment_svc.application.gateway import RefundRequest
from payment_svc.application.refund_commands import attempt_started
from payment_svc.application.unit_of_work import Batch, MessageContext
from payment_svc.domain import refund as domain
from payment_svc.domain.attempt import Attempt, Closed, Payment, Refused
from payment_svc.domain.declines import NO_RECORD

log = structlog.get_logger()

queries = Queries(Path(__file__).parents[2] / "adapters/postgres/automatic_refunds.sql")

REASON = "the lease was closed before the payment came in"
MAX_AT_ONCE = 50  # taken up by a worker in one round
LOOK_EVERY_S = 0.5
# Then a refund that was taken up and is not settled is taken up again: its worker has died, or not reached
# the gateway. Under the same key that does a slow one no harm.
CLAIM = timedelta(seconds=60)

NONE_CLOSED: Mapping[str, Closed] = {}


async def give_back(
    connection: Connection, batch: Batch, closed_now: Mapping[str, Closed] = NONE_CLOSED
) -> None:
    """Begin to give back what came in for closed leases; what the batch has settled is written already.

    `closed_now`: leases whose closing is in this transaction. Where something on the same money is in flight
    nothing is begun; this is called again when that is settled.
    """
    settled = [attempt for attempt in batch.settled if batch.accounts[attempt.lease_id].closed]
    arrived = [attempt.attempt_id for attempt in settled if attempt.refunds is None and attempt.left]
    # a refund that the gateway never heard of has given nothing back: another one is to
    arrived += [attempt.refunds for attempt in settled if attempt.refunds and _never_arrived(attempt)]
    closed = {*(attempt.lease_id for attempt in settled), *(closed_now.keys() & batch.accounts.keys())}
    cancelled = [each for each in closed if batch.accounts[each].closed == "cancelled"]
    if not cancelled and not arrived:
        return
    payments = await account_repository.payments(connection, lease_ids=list(closed))
    rows = await connection.fetch(
        queries.to_give_back,
        [payment.payment_id for payment in payments if payment.lease_id in cancelled],
        arrived,
        cancelled,
        NO_RECORD,
    )
    ids = [row["attempt_id"] for row in rows]
    started: list[Attempt] = []
    changed: dict[str, Payment] = {}
    for original in sorted(
        await account_repository.attempts(connection, ids=ids), key=lambda each: each.attempt_id
    ):
        concerned = [
            payment
            for payment in payments
            if payment.lease_id == original.lease_id and original.payment_id in (None, payment.payment_id)
        ]
        refund = _begin(batch, concerned, original)
        if refund is not None:
            started.append(refund)
            if original.payment_id is not None:
                changed.update((payment.payment_id, payment) for payment in concerned)
    await _write(connection, batch, started, list(changed.values()))


async def give_due(connection: Connection, batch: Batch) -> None:
    """Begin to give back what payoffs owe to customers; what the batch has settled is written already.

    Where something on the same money is in flight it waits for its end, which calls this again.
    """
    for attempt in batch.settled:
        if attempt.refund_due_of and attempt.decline and attempt.decline.code != NO_RECORD:
            log.error(
                "return.declined",
                attempt_id=attempt.attempt_id,
                lease_id=attempt.lease_id,
                amount=attempt.amount,
                currency=attempt.currency,
                code=attempt.decline.code,
            )
    payoffs = owing(batch)
    if not payoffs:
        return
    ids = [payoff.attempt_id for payoff in payoffs]
    rows = await connection.fetch(queries.asked_for, ids, NO_RECORD)
    asked = {row["payoff"]: row["amount"] for row in rows}
    leases = {payoff.lease_id for payoff in payoffs}
    theirs = [each.payment_id for each in batch.payments.values() if each.lease_id in leases]
    rows = await connection.fetch(queries.with_money, theirs, list(leases), NO_RECORD)
    with_money = await account_repository.attempts(connection, ids=[row["attempt_id"] for row in rows])
    started: list[Attempt] = []
    for payoff in payoffs:
        held = [each for each in with_money if each.lease_id == payoff.lease_id]
        started += begin_due(batch, payoff, asked.get(payoff.attempt_id, 0), held)
    refunded = [batch.payments[each.payment_id] for each in started if each.payment_id]
    await _write(connection, batch, started, refunded)


def begin_due(batch: Batch, payoff: Attempt, asked: int, with_money: Sequence[Attempt]) -> list[Attempt]:
    """The refunds that give back what a payoff owes to the customer, the newest money first.

    `asked`: what of it has been asked for before, whatever came of it; `with_money`: what the lease holds.
    """
    left = payoff.refund_due - asked
    started = []
    newest = sorted(with_money, key=lambda each: (each.settled_at, each.attempt_id), reverse=True)
    for original in newest:
        part = min(left, original.left)
        if part <= 0:
            break
        concerned = [
            payment
            for payment in batch.payments_of(payoff.lease_id)
            if original.payment_id in (None, payment.payment_id)
        ]
        refund = _begin(batch, concerned, original, part, payoff)
        if refund is None:  # its instalment has another in flight, whose end calls this again
            break
        left -= part
        started.append(refund)
    return started


def owing(batch: Batch) -> list[Attempt]:
    """Payoffs that stand and may still have something to give back, now that an attempt has ended."""
    found = {}
    for attempt in batch.settled:
        account = batch.accounts[attempt.lease_id]
        standing = account.payoff_standing or ""
        payoff = attempt if attempt.attempt_id == standing else batch.originals.get(standing)
        if payoff is not None and payoff.refund_due and account.closed != "cancelled":
            found[payoff.attempt_id] = payoff
    return list(found.values())


async def _write(
    connection: Connection, batch: Batch, started: Sequence[Attempt], changed: Sequence[Payment]
) -> None:
    if started:
        await account_repository.insert_attempts(connection, started)
        await account_repository.update(
            connection, [batch.accounts[refund.lease_id] for refund in started], changed
        )
        await connection.execute(
            queries.insert_returns,
            [refund.attempt_id for refund in started],
            [refund.refunds for refund in started],
            batch.now,
        )


async def put_off(connection: Connection, batch: Batch) -> None:
    """Note when those refunds that did not reach the gateway are to be carried out again."""
    if batch.put_off:
        await connection.execute(queries.put_off, list(batch.put_off), list(batch.put_off.values()))


def _never_arrived(refund: Attempt) -> bool:
    return refund.reason == REASON and refund.decline is not None and refund.decline.code == NO_RECORD


def _begin(
    batch: Batch,
    payments: list[Payment],
    original: Attempt,
    amount: int | None = None,
    payoff: Attempt | None = None,
) -> Attempt | None:
    account = batch.accounts[original.lease_id]
    command_id, reason = uuid7(), REASON if payoff is None else domain.REFUND_DUE
    try:
        refund = domain.start(account, payments, original, uuid7(), command_id, amount, reason, batch.now)
    except Refused:
        return None
    refund.refund_due_of = None if payoff is None else payoff.attempt_id
    refund.traceparent = original.traceparent
    context = MessageContext(
        correlation_id=command_id, causation_id=command_id, traceparent=refund.traceparent
    )
    batch.tell(account, "payment.attempt_started", attempt_started(refund), context)
    log.info("return.begun", attempt_id=refund.attempt_id, refunds=original.attempt_id)
    return refund


def refund_request(attempt: Attempt, charge: str) -> RefundRequest:
    """What the gateway is asked for a refund; `charge`: its reference of what is given back from."""
    return RefundRequest(
        idempotency_key=attempt.attempt_id,
        reference=charge,
        amount=attempt.amount,
        currency=attempt.currency,
        lease_id=attempt.lease_id,
        payment_id=attempt.payment_id,
        attempt_id=attempt.attempt_id,
    )


class Returns:
    """One worker's part in carrying such refunds out."""

    def __init__(self, pool: Pool, carry_out: Callable[[Attempt, str], None]) -> None:
        """`carry_out`: begins to give back an attempt's amount from the charge with that reference."""
        self._pool = pool
        self._carry_out = carry_out

    async def run(self) -> None:
        """Take up what is to be given back, until cancelled; first also what somebody has taken up before."""
        restarted = True
        while True:
            try:
                if restarted:
                    await self._pool.execute(queries.claim_anew)
                    restarted = False
                await self._take_up()
            except Exception as error:
                log.warning("returns.wait", error=repr(error))
            await asyncio.sleep(LOOK_EVERY_S)

    async def _take_up(self) -> None:
        now = utcnow()
        rows = await self._pool.fetch(queries.claim, now, now + CLAIM, MAX_AT_ONCE)
        if not rows:
            return
        ids = [row["attempt_id"] for row in rows]
        async with transaction(self._pool) as connection:
            in_flight = await account_repository.take_up(connection, ids=ids)
        charges = await account_repository.charge_references(
            self._pool, [attempt.refunds for attempt in in_flight if attempt.refunds]
        )
        started = {attempt.attempt_id: attempt for attempt in in_flight if attempt.status == "started"}
        for attempt in started.values():
            if attempt.refunds is not None:
                self._carry_out(attempt, charges[attempt.refunds])
        await self._pool.execute(queries.done, [key for key in ids if key not in started])
