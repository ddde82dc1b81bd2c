"""Message type → function, and the unit of work around them.

A command that moves money ends in two steps: here the attempt is persisted as `started`; what the gateway
says is recorded by settlement.py, in a transaction of its own.
"""

from collections.abc import Callable, Sequence

import msgspec

from common.clock import utcnow
from common.db import Connection
from common.envelope import Command, Event, Outcome
from common.worker import Poison, SequenceGap
from payment_svc import attempt as domain
from payment_svc import closing, quote_store, store
from payment_svc.attempt import Account, Attempt, Closed, Refused
from payment_svc.batch import Batch, Cause
from payment_svc.commands import AttemptPayment, PayOffLease, QuotePayoff
from payment_svc.events import AttemptStarted, LeaseCreated
from payment_svc.quote import start_quoted_payoff
from payment_svc.quoting import decode_quote, quote_payoff
from payment_svc.refusal import refusal

decode_attempt = msgspec.json.Decoder(AttemptPayment).decode
decode_payoff = msgspec.json.Decoder(PayOffLease).decode
decode_created = msgspec.json.Decoder(LeaseCreated).decode


def attempt_payment(batch: Batch, command: Command, asked: AttemptPayment) -> Outcome:
    """AttemptPayment: pending until the gateway has answered, or refused as things stand."""
    payment = batch.payments.get(asked.payment_id)
    if payment is None:
        return refusal(command, Refused(404, "There is no such payment."), None)
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
        return refusal(command, refused, account)
    batch.touch(account, [payment])
    return _started(batch, command, account, attempt)


def pay_off_lease(batch: Batch, command: Command, asked: PayOffLease) -> Outcome:
    """PayOffLease: pending until the gateway has answered, or refused as things stand."""
    account = batch.accounts.get(asked.lease_id)
    if account is None:
        return refusal(command, Refused(404, "There is no such lease."), None)
    payments = batch.payments_of(asked.lease_id)
    names = (asked.attempt_id, command.command_id, asked.payment_method)
    try:
        if asked.quote_id is None:
            attempt = domain.start_payoff(account, payments, *names, batch.now.date(), batch.now)
        else:
            quote = batch.quotes.get(asked.quote_id)
            attempt = start_quoted_payoff(account, payments, quote, *names, batch.now)
    except Refused as refused:
        return refusal(command, refused, account)
    if asked.quote_id is not None:
        batch.claimed.append(batch.quotes[asked.quote_id])
    return _started(batch, command, account, attempt)


Asked = AttemptPayment | PayOffLease | QuotePayoff
COMMANDS: dict[str, tuple[Callable[[msgspec.Raw], Asked], Callable[[Batch, Command, Asked], Outcome]]] = {
    "AttemptPayment": (decode_attempt, attempt_payment),  # type: ignore[dict-item]
    "PayOffLease": (decode_payoff, pay_off_lease),  # type: ignore[dict-item]
    "QuotePayoff": (decode_quote, quote_payoff),  # type: ignore[dict-item]
}


class News:
    """What a batch of the lease service's events brings here."""

    def __init__(self) -> None:
        self.created: list[LeaseCreated] = []
        self.closed: dict[str, Closed] = {}


def lease_created(news: News, event: Event) -> None:
    """An account with its payments."""
    news.created.append(decode_created(event.data))


def lease_closed(news: News, event: Event) -> None:
    """Nothing more is collected."""
    news.closed[event.subject] = closing.HOW[event.type]


def no_change(_news: News, _event: Event) -> None:
    """What was paid is known here first."""


EVENTS: dict[str, Callable[[News, Event], None]] = {
    "lease.created": lease_created,
    "lease.paid_off": no_change,
    "lease.cancelled": lease_closed,
    "lease.charged_off": lease_closed,
}


class PaymentUnit:
    """The payment service's unit of work."""

    async def carry_out(
        self, connection: Connection, commands: Sequence[Command]
    ) -> tuple[list[Outcome], list[Event]]:
        """Decide on a batch of commands and write what they change."""
        asked = [_decode(command) for command in commands]
        payment_ids = [each.payment_id for each in asked if isinstance(each, AttemptPayment)]
        payoff_leases = [each.lease_id for each in asked if isinstance(each, PayOffLease | QuotePayoff)]
        quote_ids = [each.quote_id for each in asked if isinstance(each, PayOffLease) and each.quote_id]
        leases = set(payoff_leases)
        if payment_ids:
            leases.update(
                row[0] for row in await connection.fetch(store.queries.leases_of_payments, payment_ids)
            )
        batch = await load(connection, leases, payment_ids=payment_ids, payoff_leases=payoff_leases)
        batch.quotes = await quote_store.get(connection, quote_ids)  # read under the accounts' locks
        outcomes = [
            COMMANDS[command.type][1](batch, command, each)
            for command, each in zip(commands, asked, strict=True)
        ]
        await save(connection, batch)
        return outcomes, batch.events

    async def project(self, connection: Connection, events: Sequence[Event]) -> list[Event]:
        """Apply the lease service's events: new leases become accounts with their payments, until closed."""
        accounts = await store.lock_accounts(connection, list({event.subject for event in events}))
        positions = {lease_id: account.lease_sequence for lease_id, account in accounts.items()}
        news = News()
        for event in events:
            if event.type not in EVENTS:
                raise Poison(f"unknown event {event.type}")
            position = positions.get(event.subject, 0)
            if event.sequence <= position:
                continue  # a repeat
            if event.sequence > position + 1:
                raise SequenceGap(f"{event.subject}: {event.sequence} after {position}")
            EVENTS[event.type](news, event)
            positions[event.subject] = event.sequence
        await store.insert_leases(connection, news.created, positions)
        moved = [
            account for account in accounts.values() if positions[account.lease_id] > account.lease_sequence
        ]
        for account in moved:
            account.lease_sequence = positions[account.lease_id]
        open_until_now = await store.payments(connection, lease_ids=list(news.closed)) if news.closed else []
        await store.update(connection, moved, closing.cancel_open(open_until_now))
        await store.close(connection, news.closed)
        return []


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
    await quote_store.insert(connection, batch.quoted)
    await quote_store.claim(connection, batch.claimed)
    await quote_store.free(connection, batch.freed)
    await store.update(
        connection, list(batch.touched_accounts.values()), list(batch.touched_payments.values())
    )


def _decode(command: Command) -> Asked:
    if command.type not in COMMANDS:
        raise Poison(f"unknown command {command.type}")
    return COMMANDS[command.type][0](command.data)


def _started(batch: Batch, command: Command, account: Account, attempt: Attempt) -> Outcome:
    attempt.traceparent = command.traceparent
    batch.started.append(attempt)
    data = AttemptStarted(
        attempt_id=attempt.attempt_id,
        payment_id=attempt.payment_id,
        number=attempt.number,
        lease_id=attempt.lease_id,
        kind=attempt.kind,
        amount=attempt.amount,
        currency=attempt.currency,
        payment_method=attempt.payment_method,
    )
    cause = Cause(
        correlation_id=command.command_id, causation_id=command.command_id, traceparent=command.traceparent
    )
    batch.tell(account, "payment.attempt_started", data, cause)
    return Outcome(command_id=command.command_id, status="pending", location=attempt_url(attempt.attempt_id))


def attempt_url(attempt_id: str) -> str:
    """Where an attempt can be read."""
    return f"/api/v1/attempts/{attempt_id}"
