"""Message type → function, and the unit of work around them.

A command that moves money ends in two steps: here the attempt is persisted as `started`; what the gateway
says is recorded by settlement.py, in a transaction of its own.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

import msgspec

from common import inbox
from common.clock import utcnow
from common.db import Connection
from common.envelope import Command, Event, Outcome
from common.worker import Poison, SequenceGap
from payment_svc import attempt as domain
from payment_svc import closing, noting, quote_store, refunding, returns, run_store, running, store
from payment_svc.attempt import Account, Attempt, Refused
from payment_svc.autopay import decode_autopay, set_autopay
from payment_svc.batch import Batch, Cause
from payment_svc.commands import (
    AttemptPayment,
    NoteSettlement,
    PayOffLease,
    QuotePayoff,
    RecordChargeback,
    RefundAttempt,
    RunCollections,
    SetAutopay,
)
from payment_svc.news import EVENTS, News
from payment_svc.quote import start_quoted_payoff
from payment_svc.quoting import decode_quote, quote_payoff
from payment_svc.refunding import decode_chargeback, decode_refund, record_chargeback
from payment_svc.refusal import refusal
from payment_svc.render import attempt_url
from payment_svc.runs import tell_started

# A command that was lost with its broker must not leave an attempt behind for ever.
ABANDONED = timedelta(minutes=10)

decode_attempt = msgspec.json.Decoder(AttemptPayment).decode
decode_payoff = msgspec.json.Decoder(PayOffLease).decode


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


def refund_attempt(batch: Batch, command: Command, asked: RefundAttempt) -> Outcome:
    """RefundAttempt: pending until the gateway has answered, or refused as things stand."""
    begun = refunding.start_refund(batch, command, asked)
    if isinstance(begun, Outcome):
        return begun
    return _started(batch, command, batch.accounts[begun.lease_id], begun)


Asked = (
    AttemptPayment
    | PayOffLease
    | QuotePayoff
    | RefundAttempt
    | RecordChargeback
    | NoteSettlement
    | RunCollections
    | SetAutopay
)
COMMANDS: dict[str, tuple[Callable[[msgspec.Raw], Asked], Callable[[Batch, Command, Asked], Outcome]]] = {
    "AttemptPayment": (decode_attempt, attempt_payment),  # type: ignore[dict-item]
    "PayOffLease": (decode_payoff, pay_off_lease),  # type: ignore[dict-item]
    "QuotePayoff": (decode_quote, quote_payoff),  # type: ignore[dict-item]
    "RefundAttempt": (decode_refund, refund_attempt),  # type: ignore[dict-item]
    "RecordChargeback": (decode_chargeback, record_chargeback),  # type: ignore[dict-item]
    "SetAutopay": (decode_autopay, set_autopay),  # type: ignore[dict-item]
    "RunCollections": (running.decode_run, running.run_collections),  # type: ignore[dict-item]
    "NoteSettlement": (noting.decode_note, noting.note_settlement),  # type: ignore[dict-item]
}


class PaymentUnit:
    """The payment service's unit of work."""

    def __init__(self, *, sandbox: bool = False) -> None:
        """`sandbox`: the gateway moves no real money, so collections may run for days to come."""
        self._sandbox = sandbox

    async def carry_out(
        self, connection: Connection, commands: Sequence[Command]
    ) -> tuple[list[Outcome], list[Event]]:
        """Decide on a batch of commands and write what they change."""
        asked = [_decode(command) for command in commands]
        payment_ids = [each.payment_id for each in asked if isinstance(each, AttemptPayment)]
        payoff_leases = [
            each.lease_id for each in asked if isinstance(each, PayOffLease | QuotePayoff | SetAutopay)
        ]
        quote_ids = [each.quote_id for each in asked if isinstance(each, PayOffLease) and each.quote_id]
        leases = set(payoff_leases)
        if payment_ids:
            leases.update(
                row[0] for row in await connection.fetch(store.queries.leases_of_payments, payment_ids)
            )
        originals = await refunding.originals(connection, asked)
        leases.update(original.lease_id for original in originals)
        noted = await noting.attempts(connection, asked)
        leases.update(attempt.lease_id for attempt in noted)
        payment_ids += [attempt.payment_id for attempt in noted if attempt.payment_id]
        payoff_leases += [attempt.lease_id for attempt in noted if attempt.payment_id is None]
        batch = await load(
            connection,
            leases,
            payment_ids=payment_ids,
            payoff_leases=payoff_leases,
            originals=originals,
            notices=refunding.notices(asked),
        )
        batch.quotes = await quote_store.get(connection, quote_ids)  # read under the accounts' locks
        await running.open_runs(connection, batch, commands, asked, sandbox=self._sandbox)
        batch.noted = await noting.under_lock(connection, batch, noted)
        outcomes: dict[int, Outcome] = {}
        # What the gateway tells of comes last: nothing begins in the same batch on what it settles.
        for place in sorted(range(len(asked)), key=lambda place: isinstance(asked[place], NoteSettlement)):
            command = commands[place]
            outcomes[place] = COMMANDS[command.type][1](batch, command, asked[place])
        await save(connection, batch)
        await inbox.complete(connection, batch.completed)
        return [outcomes[place] for place in range(len(asked))], batch.events

    async def project(self, connection: Connection, events: Sequence[Event]) -> list[Event]:
        """Apply the lease service's events: new leases become accounts with their payments, until closed."""
        accounts = await store.lock_accounts(connection, list({event.subject for event in events}))
        before = {lease_id: account.lease_sequence for lease_id, account in accounts.items()}
        positions = dict(before)
        news = News()
        batch = Batch(accounts, [], utcnow())
        for event in events:
            if event.type not in EVENTS:
                raise Poison(f"unknown event {event.type}")
            position = positions.get(event.subject, 0)
            if event.sequence <= position:
                continue  # a repeat
            if event.sequence > position + 1:
                raise SequenceGap(f"{event.subject}: {event.sequence} after {position}")
            positions[event.subject] = event.sequence
            EVENTS[event.type](news, event)
            if event.subject in accounts:
                accounts[event.subject].lease_sequence = event.sequence
        await store.insert_leases(connection, news.created, positions)
        moved = [accounts[lease_id] for lease_id in before if positions[lease_id] > before[lease_id]]
        for lease_id in news.closed:
            if lease_id in accounts:
                closing.forget(accounts[lease_id])
        open_until_now = await store.payments(connection, lease_ids=list(news.closed)) if news.closed else []
        await store.update(connection, moved, closing.cancel_open(open_until_now))
        await store.close(connection, news.closed)
        for lease_id in news.closed.keys() & accounts.keys():
            accounts[lease_id].closed = news.closed[lease_id]
        await returns.give_back(connection, batch, news.closed)
        return batch.events


async def load(
    connection: Connection,
    leases: set[str],
    *,
    payment_ids: Sequence[str] = (),
    payoff_leases: Sequence[str] = (),
    originals: Sequence[Attempt] = (),
    notices: Sequence[str] = (),
) -> Batch:
    """Lock the accounts of `leases`, then read the payments asked for: singly, and all of `payoff_leases`.

    `originals`: attempts whose money is to be taken back; they are read again, with what they have paid.
    Of a delinquent lease all are read: what is paid may cure it.
    """
    if not leases:
        return Batch({}, [], utcnow())
    accounts = await store.lock_accounts(connection, list(leases))
    known, given = await _whose_money(connection, accounts, originals) if originals else ({}, {})
    singly = {*payment_ids, *(each.payment_id for each in originals if each.payment_id)}
    whole = {*payoff_leases, *(each.lease_id for each in originals if not each.payment_id)}
    whole.update(each.lease_id for each in known.values() if each.payoff and each.payoff.of_nothing)
    whole |= {each.lease_id for each in accounts.values() if each.delinquent}
    payments = await store.payments(connection, ids=list(singly), lease_ids=list(whole)) if accounts else []
    batch = Batch(accounts, payments, utcnow())
    batch.originals, batch.given = known, given
    if notices:
        batch.notices = await store.charged_back(connection, notices)
    return batch


async def _whose_money(
    connection: Connection, accounts: Mapping[str, Account], originals: Sequence[Attempt]
) -> tuple[dict[str, Attempt], dict[str, Attempt]]:
    """By id: attempts whose money may be taken back, with payoffs that stand; and what those gave back."""
    standing = [each.payoff_standing for each in accounts.values() if each.payoff_standing]
    ids = [*(each.attempt_id for each in originals), *standing]
    known = {each.attempt_id: each for each in await store.attempts(connection, ids=ids)}
    owing = [each for each in standing if known[each].refund_due]
    if not owing:
        return known, {}
    refunds, whose = await store.given(connection, owing)
    return (
        {each.attempt_id: each for each in whose} | known,
        {each.attempt_id: each for each in refunds},
    )


async def save(connection: Connection, batch: Batch) -> None:
    """Write what the batch has changed; its events are the caller's to append."""
    # What has ended makes room for what begins: one attempt at a time is the table's rule too. A chargeback
    # begins and ends at once.
    begun = {attempt.attempt_id for attempt in batch.started}
    await store.update_attempts(connection, [each for each in batch.settled if each.attempt_id not in begun])
    await store.insert_attempts(connection, batch.started)
    await store.update_attempts(connection, [each for each in batch.settled if each.attempt_id in begun])
    await store.update_payoffs(connection, batch.settled)
    await quote_store.insert(connection, batch.quoted)
    await quote_store.claim(connection, batch.claimed)
    await quote_store.free(connection, batch.freed)
    await store.update_refunded(connection, list(batch.taken_back.values()))
    await store.update_owed(connection, list(batch.owing.values()))
    await store.update(
        connection, list(batch.touched_accounts.values()), list(batch.touched_payments.values())
    )
    await run_store.insert_waiters(connection, batch.waiting)
    await returns.put_off(connection, batch)
    await returns.give_back(connection, batch)
    await returns.give_due(connection, batch)


def _decode(command: Command) -> Asked:
    if command.type not in COMMANDS:
        raise Poison(f"unknown command {command.type}")
    return COMMANDS[command.type][0](command.data)


def _started(batch: Batch, command: Command, account: Account, attempt: Attempt) -> Outcome:
    attempt.traceparent = command.traceparent
    attempt.next_check_at = batch.now + ABANDONED
    cause = Cause(
        correlation_id=command.command_id, causation_id=command.command_id, traceparent=command.traceparent
    )
    tell_started(batch, account, attempt, cause)
    return Outcome(command_id=command.command_id, status="pending", location=attempt_url(attempt.attempt_id))
