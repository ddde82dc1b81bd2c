"""Accounts, payments and attempts in Postgres: one statement for a whole batch, never one for each row."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from common.kernel.clock import utcnow
from common.postgres.pool import Connection, Pool, Queries
from common.web.read_your_writes import Position, own
from payment_svc.contracts.events import SOURCE, AutopayStop, LeaseCreated
from payment_svc.domain.allocation import Allocation
from payment_svc.domain.attempt import REPEAT_WITHIN, Account, Attempt, Closed, Payment
from payment_svc.domain.declines import Decline
from payment_svc.domain.payoff import Payoff

queries = Queries(Path(__file__).with_name("queries.sql"))

encode = msgspec.json.Encoder().encode
decode_decline = msgspec.json.Decoder(Decline).decode
decode_payoff = msgspec.json.Decoder(Payoff).decode
decode_stop = msgspec.json.Decoder(AutopayStop).decode


async def insert_leases(
    connection: Connection, leases: Sequence[LeaseCreated], positions: Mapping[str, int]
) -> None:
    """Write the accounts and payments of new leases; `positions`: the last event of each that is applied."""
    if not leases:
        return
    await connection.execute(
        queries.insert_accounts,
        [lease.lease_id for lease in leases],
        [lease.currency for lease in leases],
        [lease.principal for lease in leases],
        [lease.annual_rate for lease in leases],
        [lease.day_count for lease in leases],
        [lease.start_date for lease in leases],
        [positions[lease.lease_id] for lease in leases],
        [lease.payment_method for lease in leases],
        [lease.autopay for lease in leases],
        [lease.late_fee.grace_days if lease.late_fee else 0 for lease in leases],
        [lease.late_fee.amount if lease.late_fee else 0 for lease in leases],
        [lease.schedule[0].due_date for lease in leases],
    )
    rows = [(lease.lease_id, row) for lease in leases for row in lease.schedule]
    await connection.execute(
        queries.insert_payments,
        [row.payment_id for _, row in rows],
        [lease_id for lease_id, _ in rows],
        [row.number for _, row in rows],
        [row.due_date for _, row in rows],
        [row.principal for _, row in rows],
        [row.interest for _, row in rows],
        [row.fees for _, row in rows],
        [row.principal_balance for _, row in rows],
    )


async def lock_accounts(connection: Connection, lease_ids: Sequence[str]) -> dict[str, Account]:
    """The accounts of these leases, locked until the transaction ends; unknown ones are missing."""
    rows = await connection.fetch(queries.lock_accounts, sorted(lease_ids))
    return {row["lease_id"]: account_from(row) for row in rows}


async def account(pool: Pool, lease_id: str) -> Account | None:
    """One lease's account, to be read only."""
    row = await pool.fetchrow(queries.get_account, lease_id)
    return None if row is None else account_from(row)


async def payments(
    connection: Connection | Pool,
    *,
    ids: Sequence[str] = (),
    lease_ids: Sequence[str] = (),
    reached: Sequence[Account] = (),
) -> list[Payment]:
    """Payments by their ids or by their leases, in order of lease and number.

    `reached`: of these, those that are open and due by the latest of the leases' days.
    """
    day = max((each.collected_as_of for each in reached if each.collected_as_of), default=None)
    theirs = [each.lease_id for each in reached]
    rows = await connection.fetch(queries.get_payments, ids, lease_ids, theirs, day)
    return [payment_from(row) for row in rows]


async def attempts(
    connection: Connection | Pool, *, ids: Sequence[str] = (), command_ids: Sequence[str] = ()
) -> list[Attempt]:
    """Attempts by their ids or by the commands that asked for them."""
    return [attempt_from(row) for row in await connection.fetch(queries.get_attempts, ids, command_ids)]


async def take_up(
    connection: Connection, *, ids: Sequence[str] = (), command_ids: Sequence[str] = ()
) -> list[Attempt]:
    """Note that attempts which are in flight are made once more; those among these that still are.

    Their accounts are locked: whoever made them first has recorded its answer before, or will see this.
    """
    found = await attempts(connection, ids=ids, command_ids=command_ids)
    await lock_accounts(connection, list({each.lease_id for each in found}))
    now = utcnow()
    await connection.execute(queries.take_up, [each.attempt_id for each in found], now, now - REPEAT_WITHIN)
    again = await attempts(connection, ids=[each.attempt_id for each in found])
    return [each for each in again if each.in_flight]


async def collected(
    connection: Connection, *, ids: Sequence[str], references: Sequence[str]
) -> list[Attempt]:
    """Attempts by their ids, whatever they are; or by the gateway's references, where they have collected."""
    rows = await connection.fetch(queries.find_collected, references)
    return await attempts(connection, ids=[*ids, *(row["attempt_id"] for row in rows)])


async def charge_references(connection: Connection | Pool, ids: Sequence[str]) -> dict[str, str]:
    """The gateway's references of what these attempts have collected."""
    found = await attempts(connection, ids=ids) if ids else []
    return {each.attempt_id: each.gateway_reference for each in found if each.gateway_reference}


async def charged_back(connection: Connection, notice_ids: Sequence[str]) -> dict[str, Attempt]:
    """Chargebacks that are recorded, by the gateway's notices."""
    rows = await connection.fetch(queries.get_charged_back, notice_ids)
    return {row["notice_id"]: attempt_from(row) for row in rows}


async def insert_attempts(connection: Connection, started: Sequence[Attempt]) -> None:
    """Write new attempts. Raises UniqueViolationError where one is in flight already."""
    if started:
        await connection.execute(
            queries.insert_attempts,
            [attempt.attempt_id for attempt in started],
            [attempt.command_id for attempt in started],
            [attempt.lease_id for attempt in started],
            [attempt.payment_id for attempt in started],
            [attempt.number for attempt in started],
            [attempt.kind for attempt in started],
            [attempt.amount for attempt in started],
            [attempt.currency for attempt in started],
            [attempt.payment_method for attempt in started],
            [attempt.status for attempt in started],
            [attempt.payoff and encode(attempt.payoff) for attempt in started],
            [attempt.traceparent for attempt in started],
            [attempt.created_at for attempt in started],
            [attempt.refunds for attempt in started],
            [attempt.reason for attempt in started],
            [attempt.notice_id for attempt in started],
            [attempt.next_check_at for attempt in started],
            [attempt.run_id for attempt in started],
            [attempt.as_of for attempt in started],
            [attempt.refund_due_of for attempt in started],
        )


async def update_attempts(connection: Connection, settled: Sequence[Attempt]) -> None:
    """Write what became of attempts."""
    if settled:
        await connection.execute(
            queries.update_attempts,
            [attempt.attempt_id for attempt in settled],
            [attempt.status for attempt in settled],
            [attempt.decline and encode(attempt.decline) for attempt in settled],
            [attempt.gateway_reference for attempt in settled],
            [attempt.settled_at for attempt in settled],
            [attempt.checks for attempt in settled],
            [attempt.next_check_at for attempt in settled],
            [attempt.failures for attempt in settled],
            [attempt.after_closing for attempt in settled],
            [attempt.cured for attempt in settled],
        )


async def update_payoffs(connection: Connection, settled: Sequence[Attempt]) -> None:
    """Write what payoffs that have succeeded have waived, where they have."""
    if payoffs := [attempt for attempt in settled if attempt.late_fees_waived]:
        await connection.execute(
            queries.update_payoffs,
            [attempt.attempt_id for attempt in payoffs],
            [encode(attempt.payoff) for attempt in payoffs],
        )


async def given(connection: Connection, payoffs: Sequence[str]) -> tuple[list[Attempt], list[Attempt]]:
    """The refunds that give back what these payoffs owe to customers, and the attempts whose money it is."""
    rows = await connection.fetch(queries.find_given, payoffs)
    ids = {row["attempt_id"] for row in rows}
    found = await attempts(connection, ids=[*ids, *{row["refunds"] for row in rows}]) if rows else []
    return [each for each in found if each.attempt_id in ids], [
        each for each in found if each.attempt_id not in ids
    ]


async def update_refunded(connection: Connection, taken_back: Sequence[Attempt]) -> None:
    """Write how much has been taken back of attempts. Raises CheckViolationError past what they collected."""
    if taken_back:
        await connection.execute(
            queries.update_refunded,
            [attempt.attempt_id for attempt in taken_back],
            [attempt.refunded for attempt in taken_back],
        )


async def update_owed(connection: Connection, owing: Sequence[Payment]) -> None:
    """Write what payments ask for, and others' money on them: only taking money back changes these."""
    if owing:
        await connection.execute(
            queries.update_owed,
            [payment.payment_id for payment in owing],
            [payment.owed.principal for payment in owing],
            [payment.owed.interest for payment in owing],
            [payment.owed.fees for payment in owing],
            [payment.owed.late_fees for payment in owing],
            [payment.moved for payment in owing],
        )


async def update(connection: Connection, accounts: Sequence[Account], changed: Sequence[Payment]) -> None:
    """Write what has moved in accounts that were locked, and in their payments."""
    if accounts:
        await connection.execute(
            queries.update_accounts,
            [account.lease_id for account in accounts],
            [account.payoff_in_flight for account in accounts],
            [account.payoff_standing for account in accounts],
            [account.event_sequence for account in accounts],
            [account.lease_sequence for account in accounts],
            [account.delinquent for account in accounts],
            [account.next_look_on for account in accounts],
            [account.collected_as_of for account in accounts],
            [account.payment_method for account in accounts],
            [account.autopay for account in accounts],
            [account.autopay_stopped and encode(account.autopay_stopped) for account in accounts],
            [account.money_moves for account in accounts],
        )
    if changed:
        await connection.execute(
            queries.update_payments,
            [payment.payment_id for payment in changed],
            [payment.paid.principal for payment in changed],
            [payment.paid.interest for payment in changed],
            [payment.paid.fees for payment in changed],
            [payment.paid.late_fees for payment in changed],
            [payment.status for payment in changed],
            [payment.in_flight for payment in changed],
            [payment.attempts for payment in changed],
            [payment.last_attempt_id for payment in changed],
            [payment.owed.late_fees for payment in changed],
            [payment.next_retry_at for payment in changed],
            [payment.autopay_since for payment in changed],
            [payment.autopay_declines for payment in changed],
            [payment.autopay_failures for payment in changed],
            [payment.autopay_stopped and encode(payment.autopay_stopped) for payment in changed],
            [payment.cancelled_by_payoff for payment in changed],
            [payment.late_fees_waived for payment in changed],
            [payment.first_tried_on for payment in changed],
        )


async def close(connection: Connection, closed: Mapping[str, Closed]) -> None:
    """Note of leases how they were closed; their accounts are locked or new."""
    if closed:
        await connection.execute(queries.close_accounts, list(closed), list(closed.values()))


async def caught_up(pool: Pool, position: Position) -> bool:
    """Whether what is read here holds all up to a position of a Consistency-Token.

    Raises ProblemError 422 where it is one of this service's own and beyond what it has told.
    """
    account = await pool.fetchrow(queries.get_account, position.lease_id)
    if position.source == SOURCE:
        return own(position, account["event_sequence"] if account is not None else None)
    return account is not None and account["lease_sequence"] >= position.sequence


def account_from(row: Any) -> Account:
    """An account from the columns that the queries of accounts give."""
    columns = dict(row.items())
    columns["autopay_stopped"] = _stop_from(row)
    return Account(**columns)


def attempt_from(row: Any) -> Attempt:
    """An attempt from the columns that the queries of attempts give."""
    columns = dict(row.items())
    columns["decline"] = decode_decline(row["decline"]) if row["decline"] is not None else None
    columns["payoff"] = decode_payoff(row["payoff"]) if row["payoff"] is not None else None
    return Attempt(**columns)


def payment_from(row: Any) -> Payment:
    """A payment from the columns that the queries of payments give."""
    return Payment(
        payment_id=row["payment_id"],
        lease_id=row["lease_id"],
        number=row["number"],
        due_date=row["due_date"],
        owed=Allocation(
            late_fees=row["late_fees"], fees=row["fees"], interest=row["interest"], principal=row["principal"]
        ),
        paid=Allocation(
            late_fees=row["paid_late_fees"],
            fees=row["paid_fees"],
            interest=row["paid_interest"],
            principal=row["paid_principal"],
        ),
        principal_balance=row["principal_balance"],
        status=row["status"],
        in_flight=row["in_flight"],
        attempts=row["attempts"],
        next_retry_at=row["next_retry_at"],
        last_attempt_id=row["last_attempt_id"],
        autopay_since=row["autopay_since"],
        autopay_declines=row["autopay_declines"],
        autopay_failures=row["autopay_failures"],
        autopay_stopped=_stop_from(row),
        cancelled_by_payoff=row["cancelled_by_payoff"],
        late_fees_waived=row["late_fees_waived"],
        first_tried_on=row["first_tried_on"],
        moved=row["moved"],
    )


def _stop_from(row: Any) -> AutopayStop | None:
    return decode_stop(row["autopay_stopped"]) if row["autopay_stopped"] is not None else None
