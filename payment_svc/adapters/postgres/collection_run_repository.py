"""Collection runs in Postgres: what is left of them, what has been counted, and who waits for them."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from common.messaging.envelope import Command, decode_event
from common.postgres.pool import Connection, Pool, Queries
from common.web import read_your_writes
from payment_svc.adapters.postgres import account_repository
from payment_svc.application.collection_run import Counts, Run, run_id_of
from payment_svc.domain.attempt import Account, Payment

queries = Queries(Path(__file__).with_name("collections.sql"))

# For an attempt that was made once more, or recorded, so often in vain its run does not wait any longer: the
# gateway is away, or it is a defect's.
MAX_FAILURES = 5

_COUNTS = (
    "leases",
    "due",
    "attempted",
    "succeeded",
    "declined",
    "unknown",
    "late_fees",
    "delinquent",
    "cured",
)


async def open_run(connection: Connection, as_of: date, command: Command, now: datetime) -> Run:
    """The run of a day, locked; begun by this command where there is none yet.

    One that is completed goes on, with the same id and counts, where it has something to do since.
    """
    run_id = run_id_of(as_of)
    await connection.execute(queries.begin_run, run_id, as_of, command.command_id, command.traceparent, now)
    row = await connection.fetchrow(queries.hold_run, run_id)
    if row["status"] == "completed":
        row = await connection.fetchrow(queries.reopen_run, run_id) or row
    if row["status"] == "completed":  # attempts that were unknown then may have ended since
        return _run(_counted(row, await _ends(connection, run_id)))
    return _run(row)


async def first_running(connection: Connection) -> Run | None:
    """The run to work on."""
    row = await connection.fetchrow(queries.first_running)
    return _run(row) if row is not None else None


async def read(connection: Connection, run_id: str) -> tuple[Run, int] | None:
    """A run with its counts as they stand, and how many leases are left; None where there is no such run."""
    row = await connection.fetchrow(queries.get_run, run_id)
    if row is None:
        return None
    ends = await _ends(connection, run_id)
    completed = row["status"] == "completed"
    remaining = 0 if completed else await connection.fetchval(queries.count_remaining, row["as_of"])
    return _run(_counted(row, ends)), remaining


def _counted(row: Any, ends: dict[str, int]) -> dict[str, Any]:
    """A run with its attempts as they are by now. Older versions did not say of an attempt that it had
    cured."""
    return {**dict(row.items()), **ends, "cured": max(row["cured"], ends["cured"])}


async def insert_waiters(connection: Connection, waiting: Sequence[tuple[str, str]]) -> None:
    """Commands, each with the run it waits for."""
    if waiting:
        await connection.execute(queries.insert_waiters, *map(list, zip(*waiting, strict=True)))


async def set_reply_to(connection: Connection, fronts: Sequence[tuple[str, str]]) -> None:
    """Commands that wait, each with the queue its front listens on."""
    if fronts:
        await connection.execute(queries.set_reply_to, *map(list, zip(*fronts, strict=True)))


async def take(connection: Connection, as_of: date, limit: int) -> list[Account]:
    """The next accounts that a run has something to do with, locked until the transaction ends."""
    rows = await connection.fetch(queries.take_accounts, as_of, limit)
    return [account_repository.account_from(row) for row in rows]


async def reached(connection: Connection, lease_ids: Sequence[str], as_of: date, limit: int) -> list[Payment]:
    """The first open instalments of these leases that fall due by the day, in order of lease and number."""
    rows = await connection.fetch(queries.reached_payments, lease_ids, as_of, limit)
    return [account_repository.payment_from(row) for row in rows]


class Part(NamedTuple):
    """Some leases that a run works through, with what it has to know of each."""

    accounts: list[Account]
    reached: list[Payment]  # their open instalments that fall due by the day
    next_dues: dict[str, date]  # by lease: the first due date after it, where there is one

    def each(self) -> Iterator[tuple[Account, list[Payment], date | None]]:
        """Lease by lease."""
        by_lease: dict[str, list[Payment]] = {}
        for payment in self.reached:
            by_lease.setdefault(payment.lease_id, []).append(payment)
        for account in self.accounts:
            yield account, by_lease.get(account.lease_id, []), self.next_dues.get(account.lease_id)


async def part_of(connection: Connection, accounts: Sequence[Account], as_of: date, instalments: int) -> Part:
    """The first of these leases, in order of id: as many as have fewer instalments than that to look at."""
    chosen = sorted(accounts, key=lambda account: account.lease_id)
    lease_ids = [account.lease_id for account in chosen]
    payments = await reached(connection, lease_ids, as_of, instalments)
    if len(payments) == instalments:  # the last lease, and those after it, another time
        cut = payments[-1].lease_id
        chosen = [account for account in chosen if account.lease_id < cut]
        payments = [payment for payment in payments if payment.lease_id < cut]
    return Part(chosen, payments, await next_dues(connection, lease_ids, as_of))


async def look_ahead(connection: Connection, as_of: date, after: Account | None, limit: int) -> list[Account]:
    """A page of the accounts that a run would work through now; not locked, in order of `next_look_on`."""
    look_on = after.next_look_on if after is not None else date.min
    lease_id = after.lease_id if after is not None else str(UUID(int=0))
    rows = await connection.fetch(queries.look_ahead, as_of, look_on, lease_id, limit)
    return [account_repository.account_from(row) for row in rows]


async def today(connection: Connection | Pool) -> date:
    """The day by the database's clock, UTC."""
    day: date = await connection.fetchval(queries.today)
    return day


async def last_completed(pool: Pool, until: date) -> date | None:
    """The last day, up to this one, whose run is completed."""
    day: date | None = await pool.fetchval(queries.last_completed, until)
    return day


async def begun(pool: Pool, as_of: date) -> bool:
    """Whether the day's run was asked for before: then it comes to its end."""
    return bool(await pool.fetchval(queries.run_exists, as_of))


async def next_dues(connection: Connection, lease_ids: Sequence[str], as_of: date) -> dict[str, date]:
    """Of each lease that has open instalments after the day, the due date of the first."""
    rows = await connection.fetch(queries.next_dues, lease_ids, as_of)
    return {row["lease_id"]: row["due_date"] for row in rows}


async def count(connection: Connection, run_id: str, done: Counts) -> None:
    """Add to what a run has done; attempts are counted by themselves."""
    await connection.execute(
        queries.count_run, run_id, done.leases, done.due, done.late_fees, done.delinquent
    )


async def complete(connection: Connection, run: Run, now: datetime) -> tuple[Run, list[Any]] | None:
    """Complete a run of which nothing is left to do: it, and the waiters that are released. Else None."""
    locked = await connection.fetchval(queries.lock_run, run.run_id)
    unfinished = (queries.unfinished, run.run_id, run.as_of, MAX_FAILURES)
    if locked is None or await connection.fetchval(*unfinished):
        return None
    ends = await _ends(connection, run.run_id)
    token = await newest(connection)
    row = await connection.fetchrow(queries.complete_run, run.run_id, now, *ends.values(), token)
    return _run(row), await connection.fetch(queries.release_waiters, run.run_id)


async def newest(connection: Connection | Pool) -> str | None:
    """A Consistency-Token for all that has been told so far: the relay publishes the oldest first.

    So who has the newest event has those before it, but for the last round of the relay, in which leases
    overtake each other by milliseconds. None where nothing was ever told.
    """
    body = await connection.fetchval(queries.newest_event)
    if body is None:
        return None
    event = decode_event(body)
    return read_your_writes.token(read_your_writes.Position(event.source, event.sequence, event.subject))


async def _ends(connection: Connection, run_id: str) -> dict[str, int]:
    """A run's attempts: all of them, by those ends that are told, and the leases that they have cured."""
    rows = await connection.fetch(queries.count_attempts, run_id)
    times = {row["status"]: row["times"] for row in rows}
    ends = {status: times.get(status, 0) for status in ("succeeded", "declined", "unknown")}
    cured = sum(row["cured"] for row in rows)
    return {"attempted": sum(times.values()), **ends, "cured": cured}


def _run(row: Any) -> Run:
    columns = dict(row.items())
    counts = Counts(**{name: columns.pop(name) for name in _COUNTS})
    return Run(**columns, counts=counts)
