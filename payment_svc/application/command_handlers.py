"""Message type → function, and the unit of work around them.

A command that moves money ends in two steps: here the attempt is persisted as `started`; what the gateway
says is recorded by settlement.py, in a transaction of its own.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

import msgspec

from common.errors import SequenceGap, UnprocessableMessage
from common.kernel.clock import utcnow
from common.messaging import command_inbox
from common.messaging.envelope import Command, Event, Outcome
from common.messaging.tolerant_reader import UnknownEventType
from common.postgres.pool import Connection
from payment_svc.adapters.postgres import account_repository, collection_run_repository, quote_repository
from payment_svc.application import collection_run_commands, gateway_notices, refund_commands
from payment_svc.application.autopay_commands import decode_autopay, set_autopay
from payment_svc.application.collection_run import tell_started
from payment_svc.application.event_handlers import News, handler
from payment_svc.application.quote_commands import decode_quote, quote_payoff
from payment_svc.application.refund_commands import decode_chargeback, decode_refund, record_chargeback
from payment_svc.application.rejections import refusal
from payment_svc.application.representations import attempt_url
from payment_svc.application.unit_of_work import Batch, MessageContext
from payment_svc.application.workers import automatic_refund_worker
from payment_svc.contracts.commands import (
    AttemptPayment,
    NoteSettlement,
    PayOffLease,
    QuotePayoff,
    RecordChargeback,
    RefundAttempt,
    RunCollections,
    SetAutopay,
)
from payment_svc.domain import attempt as domain
from payment_svc.domain import lease_closing
from payment_svc.domain.attempt import Account, Attempt, Refused
from payment_svc.domain.payoff_quote import start_quoted_payoff

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
    begun = refund_commands.start_refund(batch, command, asked)
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
    "RunCollections": (collection_run_commands.decode_run, collection_run_commands.run_collections),  # type: ignore[dict-item]
    "NoteSettlement": (gateway_notices.decode_note, gateway_notices.note_settlement),  # type: ignore[dict-item]
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
                row[0]
                for row in await connection.fetch(account_repository.queries.leases_of_payments, payment_ids)
            )
        originals = await refund_commands.originals(connection, asked)
        leases.update(original.lease_id for original in originals)
        noted = await gateway_notices.attempts(connection, asked)
        leases.update(attempt.lease_id for attempt in noted)
        payment_ids += [attempt.payment_id for attempt in noted if attempt.payment_id]
        payoff_leases += [attempt.lease_id for attempt in noted if attempt.payment_id is None]
        batch = await load(
            connection,
            leases,
            payment_ids=payment_ids,
            payoff_leases=payoff_leases,
            ending=[attempt.lease_id for attempt in noted],
            originals=originals,
            notices=refund_commands.notices(asked),
        )
        batch.quotes = await quote_repository.get(connection, quote_ids)  # read under the accounts' locks
        await collection_run_commands.open_runs(connection, batch, commands, asked, sandbox=self._sandbox)
        batch.noted = await gateway_notices.under_lock(connection, batch, noted)
        outcomes: dict[int, Outcome] = {}
        # What the gateway tells of comes last: nothing begins in the same batch on what it settles.
        for place in sorted(range(len(asked)), key=lambda place: isinstance(asked[place], NoteSettlement)):
            command = commands[place]
            outcomes[place] = COMMANDS[command.type][1](batch, command, asked[place])
        await save(connection, batch)
        await command_inbox.complete(connection, batch.completed)
        return [outcomes[place] for place in range(len(asked))], batch.events

    async def project(self, connection: Connection, events: Sequence[Event]) -> list[Event]:
        """Apply the lease service's events: new leases become accounts with their payments, until closed."""
        accounts = await account_repository.lock_accounts(
            connection, list({event.subject for event in events})
        )
        before = {lease_id: account.lease_sequence for lease_id, account in accounts.items()}
        positions = dict(before)
        news = News()
        batch = Batch(accounts, [], utcnow())
        for event in events:
            try:
                handle = handler(event)
            except UnknownEventType as error:
                raise UnprocessableMessage(str(error)) from None
            position = positions.get(event.subject, 0)
            if event.sequence <= position:
                continue  # a repeat
            if event.sequence > position + 1:
                raise SequenceGap(f"{event.subject}: {event.sequence} after {position}")
            positions[event.subject] = event.sequence
            if handle is not None:
                handle(news, event)
            if event.subject in accounts:
                accounts[event.subject].lease_sequence = event.sequence
        await account_repository.insert_leases(connection, news.created, positions)
        moved = [accounts[lease_id] for lease_id in before if positions[lease_id] > before[lease_id]]
        for lease_id in news.closed:
            if lease_id in accounts:
                lease_closing.forget(accounts[lease_id])
        open_until_now = (
            await account_repository.payments(connection, lease_ids=list(news.closed)) if news.closed else []
        )
        await account_repository.update(connection, moved, lease_closing.cancel_open(open_until_now))
        await account_repository.close(connection, news.closed)
        for lease_id in news.closed.keys() & accounts.keys():
            accounts[lease_id].closed = news.closed[lease_id]
        await automatic_refund_worker.give_back(connection, batch, news.closed)
        return batch.events


async def load(
    connection: Connection,
    leases: set[str],
    *,
    payment_ids: Sequence[str] = (),
    payoff_leases: Sequence[str] = (),
    ending: Sequence[str] = (),
    originals: Sequence[Attempt] = (),
    notices: Sequence[str] = (),
) -> Batch:
    """Lock the accounts of `leases`, then read the payments asked for: singly, and all of `payoff_leases`.

    `ending`: leases of which attempts may end; of those with autopay, also what may have waited for it. Of a
    delinquent lease all are read: what is paid may cure it. `originals`: attempts whose money is to be taken
    back; they are read again, with all payments of their leases: the money may be on others than the one it
    was
    collected for.
    """
    if not leases:
        return Batch({}, [], utcnow())
    accounts = await account_repository.lock_accounts(connection, list(leases))
    known, given = await _whose_money(connection, accounts, originals) if originals else ({}, {})
    whole = {*payoff_leases, *(each.lease_id for each in originals)}
    whole |= {each.lease_id for each in accounts.values() if each.delinquent}
    waiting = [accounts[each] for each in set(ending) & accounts.keys() if accounts[each].autopay]
    payments = await account_repository.payments(
        connection, ids=list(payment_ids), lease_ids=list(whole), reached=waiting
    )
    batch = Batch(accounts, payments, utcnow())
    batch.originals, batch.given = known, given
    if notices:
        batch.notices = await account_repository.charged_back(connection, notices)
    return batch


async def _whose_money(
    connection: Connection, accounts: Mapping[str, Account], originals: Sequence[Attempt]
) -> tuple[dict[str, Attempt], dict[str, Attempt]]:
    """By id: attempts whose money may be taken back, with payoffs that stand; and what those gave back."""
    standing = [each.payoff_standing for each in accounts.values() if each.payoff_standing]
    ids = [*(each.attempt_id for each in originals), *standing]
    known = {each.attempt_id: each for each in await account_repository.attempts(connection, ids=ids)}
    owing = [each for each in standing if known[each].refund_due]
    if not owing:
        return known, {}
    refunds, whose = await account_repository.given(connection, owing)
    return (
        {each.attempt_id: each for each in whose} | known,
        {each.attempt_id: each for each in refunds},
    )


async def save(connection: Connection, batch: Batch) -> None:
    """Write what the batch has changed; its events are the caller's to append."""
    # What has ended makes room for what begins: one attempt at a time is the table's rule too. A chargeback
    # begins and ends at once.
    begun = {attempt.attempt_id for attempt in batch.started}
    await account_repository.update_attempts(
        connection, [each for each in batch.settled if each.attempt_id not in begun]
    )
    await account_repository.insert_attempts(connection, batch.started)
    await account_repository.update_attempts(
        connection, [each for each in batch.settled if each.attempt_id in begun]
    )
    await account_repository.update_payoffs(connection, batch.settled)
    await quote_repository.insert(connection, batch.quoted)
    await quote_repository.claim(connection, batch.claimed)
    await quote_repository.free(connection, batch.freed)
    await account_repository.update_refunded(connection, list(batch.taken_back.values()))
    await account_repository.update_owed(connection, list(batch.owing.values()))
    await account_repository.update(
        connection, list(batch.touched_accounts.values()), list(batch.touched_payments.values())
    )
    await collection_run_repository.insert_waiters(connection, batch.waiting)
    await automatic_refund_worker.put_off(connection, batch)
    await automatic_refund_worker.give_back(connection, batch)
    await automatic_refund_worker.give_due(connection, batch)


def _decode(command: Command) -> Asked:
    if command.type not in COMMANDS:
        raise UnprocessableMessage(f"unknown command {command.type}")
    return COMMANDS[command.type][0](command.data)


def _started(batch: Batch, command: Command, account: Account, attempt: Attempt) -> Outcome:
    attempt.traceparent = command.traceparent
    attempt.next_check_at = batch.now + ABANDONED
    context = MessageContext(
        correlation_id=command.command_id, causation_id=command.command_id, traceparent=command.traceparent
    )
    tell_started(batch, account, attempt, context)
    return Outcome(command_id=command.command_id, status="pending", location=attempt_url(attempt.attempt_id))
