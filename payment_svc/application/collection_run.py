"""A collection run: what is kept of it, and what it does with one lease after another. Pure."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from common.kernel.clock import rfc3339
from common.kernel.ids import uuid7
from common.messaging.envelope import Outcome, encode
from payment_svc.application import autopay_commands
from payment_svc.application.refund_commands import attempt_started
from payment_svc.application.unit_of_work import Batch, MessageContext
from payment_svc.contracts.events import LateFeeAssessed, LeaseCured, LeaseDelinquent
from payment_svc.domain import attempt as domain
from payment_svc.domain import collection_rules
from payment_svc.domain.attempt import Account, Attempt, Payment


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """What a run has done. The rest of `attempted` never reached the gateway, or is still under way."""

    leases: int = 0  # leases worked through
    due: int = 0  # instalments found to have reached their due date
    attempted: int = 0  # autopay attempts started, as are the next three by their ends
    succeeded: int = 0
    declined: int = 0
    unknown: int = 0
    late_fees: int = 0  # late fees assessed
    delinquent: int = 0  # leases that became delinquent
    cured: int = 0  # leases that are no longer delinquent, by what these attempts have collected


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A collection run: one for each day, whoever asks for it and how often."""

    run_id: str
    as_of: date
    status: Literal["running", "completed"]
    command_id: str  # the command that began it
    traceparent: str | None  # W3C trace context of that command's request
    started_at: datetime
    completed_at: datetime | None
    counts: Counts
    token: str | None = None  # Consistency-Token: of the last event told by its completion


class RunResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a run has done: the answer to the command that asks for it."""

    run_id: str
    as_of: Annotated[date, Meta(description="the day that collections were run for")]
    leases: Annotated[int, Meta(description="leases worked through")]
    due: Annotated[int, Meta(description="instalments found to have reached their due date")]
    attempted: Annotated[
        int, Meta(description="autopay attempts started; what the next three leave of it did not get through")
    ]
    succeeded: int
    declined: int
    unknown: Annotated[
        int,
        Meta(
            description="the gateway has not said yet, to the run's attempts as they are when it is asked for"
        ),
    ]
    late_fees: Annotated[int, Meta(description="late fees assessed")]
    delinquent: Annotated[int, Meta(description="leases that became delinquent")]
    cured: Annotated[
        int, Meta(description="leases that are no longer delinquent, by what these attempts have collected")
    ]


class RunView(RunResult, frozen=True, kw_only=True):
    """A run as it stands."""

    status: Annotated[Literal["running", "completed"], Meta(description="what became of it")]
    started_at: Annotated[str, Meta(description="RFC 3339")]
    completed_at: Annotated[str | None, Meta(description="RFC 3339")]
    remaining: Annotated[int, Meta(description="leases still to be worked through")]


def run_id_of(as_of: date) -> str:
    """The id of a day's run: a UUIDv7 whose time is that day's beginning, so that every front knows it."""
    midnight = datetime(as_of.year, as_of.month, as_of.day, tzinfo=UTC)
    milliseconds = f"{int(midnight.timestamp() * 1000):012x}"
    return f"{milliseconds[:8]}-{milliseconds[8:]}-7000-8000-000000000000"


def run_url(run_id: str) -> str:
    """Where a run can be read."""
    return f"/api/v1/collections/runs/{run_id}"


def result(run: Run) -> RunResult:
    """A run for the answer to a command."""
    return RunResult(run_id=run.run_id, as_of=run.as_of, **msgspec.structs.asdict(run.counts))


def view(run: Run, remaining: int) -> RunView:
    """A run as it stands, for an answer."""
    return RunView(
        **msgspec.structs.asdict(result(run)),
        status=run.status,
        started_at=rfc3339(run.started_at),
        completed_at=rfc3339(run.completed_at) if run.completed_at else None,
        remaining=remaining,
    )


def outcome_of(run: Run, command_id: str) -> Outcome:
    """The answer to a command that asked for a run which is completed."""
    return Outcome(
        command_id=command_id,
        status="succeeded",
        http_status=200,
        body=msgspec.Raw(encode(result(run))),
        location=run_url(run.run_id),
        token=run.token,
    )


def work_through(
    batch: Batch, run: Run, account: Account, reached: Sequence[Payment], next_due: date | None
) -> Counts:
    """Decide on one lease, record what was decided in `batch`, and count it.

    Attempts come before what follows from being late. A lease is worked through once more, as of the same
    day, where something has waited for the end of an attempt, or has become possible since.
    """
    context = MessageContext(
        correlation_id=run.command_id, causation_id=run.command_id, traceparent=run.traceparent
    )
    if collection_rules.stop_dead_method(account, reached) is not None:
        autopay_commands.tell_stopped(batch, account, context)
    decided = collection_rules.decide(account, reached, next_due, run.as_of)
    newly_due = sum(each.newly_due for each in decided.instalments)
    for each in decided.instalments:
        if each.payment.status != each.status:
            each.payment.status = each.status
            batch.touch(account, [each.payment])
    to_try = [each.payment for each in decided.instalments if each.attempt]
    for payment in to_try:
        _attempt(batch, run, account, payment, context)
    to_fine = [each.payment for each in decided.instalments if each.late_fee]
    for payment in to_fine:
        _assess(batch, run, account, payment, context)
    if decided.delinquent:
        account.delinquent = True
        batch.tell(account, "lease.delinquent", _delinquent(run, account, decided.delinquent), context)
    if decided.cured:
        cure(batch, account, run.as_of, "no instalment is late beyond the grace any longer", context)
    first_look = account.collected_as_of != run.as_of
    account.next_look_on = decided.next_look_on
    account.collected_as_of = run.as_of
    batch.touch(account)
    return Counts(
        leases=int(first_look),
        due=newly_due,
        attempted=len(to_try),
        late_fees=len(to_fine),
        delinquent=int(bool(decided.delinquent)),
    )


def cure(batch: Batch, account: Account, as_of: date, reason: str, context: MessageContext) -> None:
    """A delinquent lease is so no longer."""
    account.delinquent = False
    cured = LeaseCured(lease_id=account.lease_id, currency=account.currency, as_of=as_of, reason=reason)
    batch.tell(account, "lease.cured", cured, context)


def _assess(batch: Batch, run: Run, account: Account, payment: Payment, context: MessageContext) -> None:
    payment.owed = msgspec.structs.replace(payment.owed, late_fees=account.late_fee)
    batch.touch(account, [payment])
    assessed = LateFeeAssessed(
        lease_id=account.lease_id,
        currency=account.currency,
        payment_id=payment.payment_id,
        number=payment.number,
        amount=account.late_fee,
        due_date=payment.due_date,
        as_of=run.as_of,
        amount_due=payment.amount_due,
        payment_status=payment.status,
        reason=f"{_late(payment, run.as_of)}, beyond the grace of {_days(account.grace_days)}",
    )
    batch.tell(account, "lease.late_fee_assessed", assessed, context)


def _attempt(batch: Batch, run: Run, account: Account, payment: Payment, context: MessageContext) -> None:
    assert account.payment_method is not None
    attempt = domain.start(account, payment, uuid7(), run.command_id, account.payment_method, None, batch.now)
    attempt.run_id, attempt.as_of = run.run_id, run.as_of
    attempt.reason = "due" if payment.autopay_since is None else "retry"
    attempt.traceparent = run.traceparent
    attempt.next_check_at = batch.now + batch.claim
    collection_rules.tried(payment, run.as_of)
    batch.touch(account, [payment])
    tell_started(batch, account, attempt, context)


def tell_started(batch: Batch, account: Account, attempt: Attempt, context: MessageContext) -> None:
    """An attempt is about to be made: it is written, and told of."""
    batch.started.append(attempt)
    batch.tell(account, "payment.attempt_started", attempt_started(attempt), context)


def _delinquent(run: Run, account: Account, late: Sequence[Payment]) -> LeaseDelinquent:
    oldest = min(late, key=lambda payment: payment.due_date)
    return LeaseDelinquent(
        lease_id=account.lease_id,
        currency=account.currency,
        as_of=run.as_of,
        numbers=[payment.number for payment in late],
        days_late=(run.as_of - oldest.due_date).days,
        amount_late=sum(payment.amount_due for payment in late),
        reason=f"instalment {oldest.number} is {_late(oldest, run.as_of)},"
        f" beyond the grace of {_days(account.grace_days)}",
    )


def _late(payment: Payment, as_of: date) -> str:
    return f"{_days((as_of - payment.due_date).days)} past its due date of {payment.due_date}"


def _days(number: int) -> str:
    return f"{number} day{'' if number == 1 else 's'}"
