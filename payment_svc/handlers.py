"""Message type → function, and the unit of work around them.

A command that moves money ends in two steps: here the attempt is persisted as `started`; what the gateway
says is recorded by settlement.py, in a transaction of its own.
"""

from collections.abc import Callable, Sequence
from datetime import date

import msgspec

from common.clock import utcnow
from common.db import Connection
from common.envelope import Command, Event, Outcome
from common.http.command_status import status_url
from common.http.problems import TITLES, FieldError, problem
from common.worker import Poison, SequenceGap
from payment_svc import attempt as domain
from payment_svc import run_store, store
from payment_svc.attempt import Account, Attempt, Refused
from payment_svc.batch import Batch, Cause, token
from payment_svc.commands import AttemptPayment, PayOffLease, RunCollections
from payment_svc.events import LeaseCreated
from payment_svc.runs import cure, outcome_of, run_url, tell_started

decode_attempt = msgspec.json.Decoder(AttemptPayment).decode
decode_payoff = msgspec.json.Decoder(PayOffLease).decode
decode_run = msgspec.json.Decoder(RunCollections).decode
decode_created = msgspec.json.Decoder(LeaseCreated).decode


def attempt_payment(batch: Batch, command: Command, asked: AttemptPayment) -> Outcome:
    """AttemptPayment: pending until the gateway has answered, or refused as things stand."""
    payment = batch.payments.get(asked.payment_id)
    if payment is None:
        return _refusal(command, Refused(404, "There is no such payment."), None)
    account = batch.accounts[payment.lease_id]
    try:
        attempt = domain.start(
            account,
            payment,
            asked.attempt_id,
            command.command_id,
            asked.payment_method,
            asked.amount,
            batch.now,
        )
    except Refused as refused:
        return _refusal(command, refused, account)
    batch.touch(account, [payment])
    return _started(batch, command, account, attempt)


def pay_off_lease(batch: Batch, command: Command, asked: PayOffLease) -> Outcome:
    """PayOffLease: pending until the gateway has answered, or refused as things stand."""
    account = batch.accounts.get(asked.lease_id)
    if account is None:
        return _refusal(command, Refused(404, "There is no such lease."), None)
    try:
        attempt = domain.start_payoff(
            account,
            batch.payments_of(asked.lease_id),
            asked.attempt_id,
            command.command_id,
            asked.payment_method,
            batch.now.date(),
            batch.now,
        )
    except Refused as refused:
        return _refusal(command, refused, account)
    return _started(batch, command, account, attempt)


def run_collections(batch: Batch, command: Command, asked: RunCollections) -> Outcome:
    """RunCollections: pending until the day's run is completed; it is one run, whoever asks."""
    run = batch.runs[asked.as_of]
    if run.status == "completed":
        return outcome_of(run, command.command_id)
    batch.waiting.append((command.command_id, run.run_id))
    return Outcome(command_id=command.command_id, status="pending", location=run_url(run.run_id))


Asked = AttemptPayment | PayOffLease | RunCollections
COMMANDS: dict[str, tuple[Callable[[msgspec.Raw], Asked], Callable[[Batch, Command, Asked], Outcome]]] = {
    "AttemptPayment": (decode_attempt, attempt_payment),  # type: ignore[dict-item]
    "PayOffLease": (decode_payoff, pay_off_lease),  # type: ignore[dict-item]
    "RunCollections": (decode_run, run_collections),  # type: ignore[dict-item]
}
# What each of the lease service's events brings here; those without a function change nothing.
EVENTS: dict[str, Callable[[msgspec.Raw], LeaseCreated] | None] = {
    "lease.created": decode_created,
    "lease.paid_off": None,
}


class PaymentUnit:
    """The payment service's unit of work."""

    async def carry_out(
        self, connection: Connection, commands: Sequence[Command]
    ) -> tuple[list[Outcome], list[Event]]:
        """Decide on a batch of commands and write what they change."""
        asked = [_decode(command) for command in commands]
        payment_ids = [each.payment_id for each in asked if isinstance(each, AttemptPayment)]
        payoff_leases = [each.lease_id for each in asked if isinstance(each, PayOffLease)]
        leases = set(payoff_leases)
        if payment_ids:
            leases.update(
                row[0] for row in await connection.fetch(store.queries.leases_of_payments, payment_ids)
            )
        batch = await load(connection, leases, payment_ids=payment_ids, payoff_leases=payoff_leases)
        days: dict[date, Command] = {}
        for command, each in zip(commands, asked, strict=True):
            if isinstance(each, RunCollections):
                days.setdefault(each.as_of, command)
        for day, command in sorted(days.items()):  # in one order: two workers never wait for each other
            batch.runs[day] = await run_store.open_run(connection, day, command, batch.now)
        outcomes = [
            COMMANDS[command.type][1](batch, command, each)
            for command, each in zip(commands, asked, strict=True)
        ]
        await save(connection, batch)
        return outcomes, batch.events

    async def project(self, connection: Connection, events: Sequence[Event]) -> list[Event]:
        """Apply the lease service's events: new leases become accounts with their payments."""
        accounts = await store.lock_accounts(connection, list({event.subject for event in events}))
        positions = {lease_id: account.lease_sequence for lease_id, account in accounts.items()}
        created: list[LeaseCreated] = []
        batch = Batch(accounts, [], utcnow())
        for event in events:
            if event.type not in EVENTS:
                raise Poison(f"unknown event {event.type}")
            position = positions.get(event.subject, 0)
            if event.sequence <= position:
                continue  # a repeat
            if event.sequence > position + 1:
                raise SequenceGap(f"{event.subject}: {event.sequence} after {position}")
            if (decode := EVENTS[event.type]) is not None:
                created.append(decode(event.data))
            elif event.type == "lease.paid_off" and event.subject in accounts:
                _cure_paid_off(batch, accounts[event.subject], event)
            positions[event.subject] = event.sequence
        await store.insert_leases(connection, created)
        moved = [
            account for account in accounts.values() if positions[account.lease_id] > account.lease_sequence
        ]
        for account in moved:
            account.lease_sequence = positions[account.lease_id]
        await store.update(connection, moved, [])
        return batch.events


async def load(
    connection: Connection,
    leases: set[str],
    *,
    payment_ids: Sequence[str] = (),
    payoff_leases: Sequence[str] = (),
) -> Batch:
    """Lock the accounts of `leases`, then read the payments asked for: singly, and all of `payoff_leases`."""
    accounts = await store.lock_accounts(connection, list(leases)) if leases else {}
    payments = await store.payments(connection, ids=payment_ids, lease_ids=payoff_leases) if accounts else []
    return Batch(accounts, payments, utcnow())


async def save(connection: Connection, batch: Batch) -> None:
    """Write what the batch has changed; its events are the caller's to append."""
    await store.insert_attempts(connection, batch.started)
    await store.update_attempts(connection, batch.settled)
    await store.update(
        connection, list(batch.touched_accounts.values()), list(batch.touched_payments.values())
    )
    await run_store.insert_waiters(connection, batch.waiting)


def _cure_paid_off(batch: Batch, account: Account, event: Event) -> None:
    """A lease that was delinquent has been paid off: no run looks at it any more."""
    if account.delinquent:
        cause = Cause(
            correlation_id=event.correlationid, causation_id=event.id, traceparent=event.traceparent
        )
        cure(batch, account, batch.now.date(), "nothing is left to be paid on the lease", cause)


def _decode(command: Command) -> Asked:
    if command.type not in COMMANDS:
        raise Poison(f"unknown command {command.type}")
    return COMMANDS[command.type][0](command.data)


def _started(batch: Batch, command: Command, account: Account, attempt: Attempt) -> Outcome:
    attempt.traceparent = command.traceparent
    cause = Cause(
        correlation_id=command.command_id, causation_id=command.command_id, traceparent=command.traceparent
    )
    tell_started(batch, account, attempt, cause)
    return Outcome(command_id=command.command_id, status="pending", location=attempt_url(attempt.attempt_id))


def attempt_url(attempt_id: str) -> str:
    """Where an attempt can be read."""
    return f"/api/v1/attempts/{attempt_id}"


def _refusal(command: Command, refused: Refused, account: Account | None) -> Outcome:
    errors = [FieldError(refused.pointer, refused.detail)] if refused.pointer else []
    return Outcome(
        command_id=command.command_id,
        status="rejected",
        http_status=refused.status,
        body=problem(
            refused.status,
            TITLES[refused.status],
            refused.detail,
            instance=status_url(command.command_id),
            errors=errors,
        ),
        token=token(account) if account is not None else None,
    )
