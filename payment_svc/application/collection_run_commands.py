"""RunCollections: pending until the day's run is completed; and which days may be run for.

A mistyped day, or a clock that is wrong, must charge nobody.
"""

from collections.abc import Sequence
from datetime import date

import msgspec
import structlog

from common.messaging.envelope import Command, Outcome
from common.postgres.pool import Connection
from common.web.command_status import status_url
from payment_svc.adapters.postgres import collection_run_repository
from payment_svc.application.collection_run import outcome_of, run_url
from payment_svc.application.rejections import refusal
from payment_svc.application.unit_of_work import Batch
from payment_svc.contracts.commands import RunCollections
from payment_svc.domain.attempt import Refused

log = structlog.get_logger()

decode_run = msgspec.json.Decoder(RunCollections).decode


def may_run(asked: RunCollections, today: date, *, sandbox: bool) -> None:
    """Raises Refused: 422 for a day after `today` (UTC), but where it is asked for and no money is real."""
    if asked.as_of <= today:
        return
    words = f"lies after today, {today} (UTC)"
    if not asked.allow_future:
        raise Refused(
            422,
            f'{words}: a run would charge what is not due yet. With "dry_run": true it is only worked out;'
            ' with "allow_future": true the sandbox gateway takes it',
            "/as_of",
        )
    if not sandbox:
        raise Refused(
            422,
            f"{words}, and this system's gateway is not the sandbox: allow_future does not count here",
            "/as_of",
        )


def runs_for(asked: RunCollections, today: date, *, sandbox: bool) -> bool:
    """Whether the command asks for a run, and for a day that may be run for."""
    if asked.dry_run:
        return False
    try:
        may_run(asked, today, sandbox=sandbox)
    except Refused:
        return False
    return True


async def open_runs(
    connection: Connection,
    batch: Batch,
    commands: Sequence[Command],
    asked: Sequence[object],
    *,
    sandbox: bool,
) -> None:
    """Put into `batch` the runs that these commands ask for, locked: those of days that may be run for.

    `sandbox`: the gateway moves no real money. Today is the earlier one of two clocks' days, the database's
    and this process's.
    """
    if not any(isinstance(each, RunCollections) for each in asked):
        return
    batch.sandbox = sandbox
    batch.today = min(batch.now.date(), await collection_run_repository.today(connection))
    days: dict[date, Command] = {}
    for command, each in zip(commands, asked, strict=True):
        if isinstance(each, RunCollections) and runs_for(each, batch.today, sandbox=sandbox):
            days.setdefault(each.as_of, command)
    for day, command in sorted(days.items()):  # in one order: two workers never wait for each other
        batch.runs[day] = await collection_run_repository.open_run(connection, day, command, batch.now)


def run_collections(batch: Batch, command: Command, asked: RunCollections) -> Outcome:
    """RunCollections: pending until the day's run is completed; it is one run, whoever asks.

    Refused where the day may not be run for; a dry run is pending until it has been worked out.
    """
    if asked.dry_run:
        return Outcome(
            command_id=command.command_id, status="pending", location=status_url(command.command_id)
        )
    try:
        may_run(asked, batch.today, sandbox=batch.sandbox)
    except Refused as refused:
        log.warning("collections.refused", as_of=str(asked.as_of), detail=refused.detail)
        return refusal(command, refused, None)
    run = batch.runs[asked.as_of]
    if run.status == "completed":
        return outcome_of(run, command.command_id)
    batch.waiting.append((command.command_id, run.run_id))
    return Outcome(command_id=command.command_id, status="pending", location=run_url(run.run_id))
