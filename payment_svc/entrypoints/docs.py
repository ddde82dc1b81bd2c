"""What the generated pages tell of this service: its front, its events, and an example of each."""

from datetime import UTC, date, datetime
from typing import Any, cast

import msgspec

from common.docgen.pages import Documented, table
from common.kernel.ids import payment_id
from common.messaging import topology
from common.messaging.envelope import Command, Event, encode
from common.web.command_endpoint import CommandEndpoint
from common.web.server import build_app
from payment_svc.application import (
    autopay_commands,
    command_handlers,
    quote_commands,
    refund_commands,
    settlement,
)
from payment_svc.application.collection_run import Counts, Run, run_id_of, work_through
from payment_svc.application.gateway import Charged, ChargeResult, Declined, NoAnswer, NotReached
from payment_svc.application.unit_of_work import Batch
from payment_svc.bootstrap import TITLE, routes
from payment_svc.contracts.commands import (
    AttemptPayment,
    PayOffLease,
    QuotePayoff,
    RecordChargeback,
    RefundAttempt,
    SetAutopay,
)
from payment_svc.contracts.events import CATALOGUE
from payment_svc.domain.allocation import Allocation
from payment_svc.domain.attempt import Account, Payment
from payment_svc.domain.declines import TABLE

LEASE_ID = "01982f3a-6c00-7000-8000-00000000a000"
NOW = datetime(2027, 1, 16, 14, 5, tzinfo=UTC)
ATTEMPT_IDS = ("01982f3a-6c00-7000-8000-0000000000c1", "01982f3a-6c00-7000-8000-0000000000c2")
PRINCIPAL = 120_000
# Due date, principal, interest, fees, and the principal left: the schedule of the lease service's example.
SCHEDULE = (
    (date(2027, 1, 1), 39_603, 1_200, 2_500, 80_397),
    (date(2027, 2, 1), 39_999, 804, 0, 40_398),
    (date(2027, 3, 1), 40_398, 404, 0, 0),
)

_DECLINES = """\
# Decline codes

What a declined payment's `decline` means. `class` is `soft` where the same card may well work later, `hard`
where it will not; `advice` says what to do: `retry_later` (the same payment method, another day),
`update_instrument` (ask the customer for another), `do_not_retry` (not until somebody has looked into it). A
code that is not in this table is `hard`, `do_not_retry`. The table is `payment_svc/domain/decline_codes.csv`.

Sources: *Stripe decline codes* (<https://docs.stripe.com/declines/codes>) and *error codes*
(<https://docs.stripe.com/error-codes>) name the code; *ISO 8583 response* is the issuer's two characters on
the card networks (data element 39); *Visa category* is 1 never approve, 2 not now, 3 wrong data, 4 no
particular reason; *Mastercard advice* is the merchant advice code; *sandbox* is this project's own gateway;
*this project* is what it concludes by itself.

"""


def documented() -> Documented:
    """This service for the generator."""
    nothing = cast(Any, None)  # the routes are asked for, never called
    front = CommandEndpoint(topology.PAYMENT_COMMANDS, nothing, nothing, nothing)
    app = build_app(TITLE, routes(nothing, front), {})
    return Documented(name="payment", app=app, catalogue=CATALOGUE, examples=examples(), pages=pages())


def pages() -> dict[str, str]:
    """Tables that are data in this service and of interest to others."""
    head = ("code", "class", "advice", "meaning", "source")
    rows = [(f"`{r.code}`", r.class_, f"`{r.advice}`", r.meaning, r.source) for r in TABLE.values()]
    return {"decline-codes.md": _DECLINES + table(head, rows)}


def examples() -> dict[str, Event]:
    """One of each type, told by the code that tells real ones; the lease is the lease service's example."""
    paid, lost = Charged(reference="ch_9f2c"), NoAnswer(reason="TimeoutError")
    declined = Declined(code="insufficient_funds", reference="ch_7d01")
    told = [
        *_collect("pm_card_ok", paid),
        *_collect("pm_card_insufficient_funds", declined),
        *_collect("pm_gateway_down", NotReached(reason="gateway_unavailable")),
        *_collect("pm_timeout_then_ok", lost, paid),
        *_pay_off("pm_card_insufficient_funds", declined),
        *_pay_off("pm_card_ok", paid),
        *_quote(),
        *_take_back("refund"),
        *_take_back("chargeback"),
        *_change_autopay(),
        *_run_collections(declined),
    ]
    first: dict[str, Event] = {}
    for event in told:
        first.setdefault(event.type, event)
    return {type_: _settled_ids(first[type_], number) for number, type_ in enumerate(CATALOGUE, 1)}


def _collect(method: str, *answers: ChargeResult) -> list[Event]:
    """What is told when instalment 1 is collected and the gateway says these things, one after the other."""
    batch = _batch()
    asked = AttemptPayment(
        attempt_id=ATTEMPT_IDS[0],
        payment_id=payment_id(LEASE_ID, 1),
        payment_method=method,
        amount=None,
    )
    command_handlers.attempt_payment(batch, _command("AttemptPayment"), asked)
    return _answered(batch, answers)


def _pay_off(method: str, *answers: ChargeResult) -> list[Event]:
    """The same for an early payoff."""
    batch = _batch()
    asked = PayOffLease(attempt_id=ATTEMPT_IDS[1], lease_id=LEASE_ID, payment_method=method)
    command_handlers.pay_off_lease(batch, _command("PayOffLease"), asked)
    return _answered(batch, answers)


def _quote() -> list[Event]:
    """What is told when a payoff is quoted."""
    batch = _batch()
    quote_id = "01982f3a-6c00-7000-8000-0000000000c3"
    asked = QuotePayoff(quote_id=quote_id, lease_id=LEASE_ID, as_of=NOW.date())
    quote_commands.quote_payoff(batch, _command("QuotePayoff"), asked)
    return batch.events


def _take_back(kind: str) -> list[Event]:
    """What is told when a part of an early payoff is given or taken back."""
    batch = _batch()
    payoff_id = "01982f3a-6c00-7000-8000-0000000000c2"
    asked = PayOffLease(attempt_id=payoff_id, lease_id=LEASE_ID, payment_method="pm_card_ok")
    command_handlers.pay_off_lease(batch, _command("PayOffLease"), asked)
    _answered(batch, (Charged(reference="ch_9f2c"),))
    paid = batch.started.pop()
    batch.originals[payoff_id] = paid
    told = len(batch.events)
    if kind == "chargeback":
        notice = RecordChargeback(
            notice_id="dp_51aa", gateway_reference=paid.gateway_reference, amount=50_000, reason="fraudulent"
        )
        refund_commands.record_chargeback(batch, _command("RecordChargeback"), notice)
        [event] = batch.events[told:]
        fields = msgspec.json.decode(event.data) | {"attempt_id": "01982f3a-6c00-7000-8000-0000000000c5"}
        return [msgspec.structs.replace(event, data=msgspec.Raw(encode(fields)))]
    refund = RefundAttempt(
        attempt_id="01982f3a-6c00-7000-8000-0000000000c4",
        refunds=payoff_id,
        amount=50_000,
        reason="paid twice, once by bank transfer",
    )
    command_handlers.refund_attempt(batch, _command("RefundAttempt"), refund)
    return _answered(batch, (Charged(reference="re_4b11"),))[told:]


def _answered(batch: Batch, answers: tuple[ChargeResult, ...]) -> list[Event]:
    for answer in answers:
        settlement.settle(batch, batch.started[0], answer)
    return batch.events


def _change_autopay() -> list[Event]:
    """Told when the card of a lease on autopay was declined for good, and then another is named."""
    batch = _batch()
    batch.accounts[LEASE_ID].autopay = True
    asked = AttemptPayment(
        attempt_id=ATTEMPT_IDS[0],
        payment_id=payment_id(LEASE_ID, 1),
        payment_method="pm_card_ok",
        amount=None,
    )
    command_handlers.attempt_payment(batch, _command("AttemptPayment"), asked)
    _answered(batch, (Declined(code="lost_card", reference="ch_7d01"),))
    named = SetAutopay(lease_id=LEASE_ID, autopay=True, payment_method="pm_other")
    autopay_commands.set_autopay(batch, _command("SetAutopay"), named)
    return batch.events


def _run_collections(declined: ChargeResult) -> list[Event]:
    """The lease as if on autopay: declined on the due date and six days on, beyond the grace; then paid."""
    batch = _batch()
    account, payments = batch.accounts[LEASE_ID], batch.payments_of(LEASE_ID)
    account.autopay = True
    for day, answer in ((1, declined), (7, declined), (8, Charged(reference="ch_9f2c"))):
        as_of = account.next_look_on = date(2027, 1, day)
        while account.next_look_on is not None and account.next_look_on <= as_of:
            reached = [payment for payment in payments if payment.due_date <= as_of and payment.open]
            work_through(batch, _run(as_of), account, reached, SCHEDULE[1][0])
            for attempt in [each for each in batch.started if each.in_flight]:
                settlement.settle(batch, attempt, answer)
    return batch.events


def _run(as_of: date) -> Run:
    return Run(
        run_id=run_id_of(as_of),
        as_of=as_of,
        status="running",
        command_id="01982f3a-6c00-7000-8000-0000000000d2",
        traceparent=None,
        started_at=NOW,
        completed_at=None,
        counts=Counts(),
    )


def _batch() -> Batch:
    account = Account(
        lease_id=LEASE_ID,
        currency="USD",
        principal=PRINCIPAL,
        annual_rate="0.12",
        day_count="30/360",
        start_date=date(2026, 12, 1),
        payment_method="pm_card_ok",
        grace_days=5,
        late_fee=1_500,
    )
    payments = [
        Payment(
            payment_id=payment_id(LEASE_ID, number),
            lease_id=LEASE_ID,
            number=number,
            due_date=due_date,
            owed=Allocation(fees=fees, interest=interest, principal=principal),
            paid=Allocation(),
            principal_balance=left,
            status="scheduled",
            in_flight=None,
            attempts=0,
            next_retry_at=None,
            last_attempt_id=None,
        )
        for number, (due_date, principal, interest, fees, left) in enumerate(SCHEDULE, 1)
    ]
    return Batch({LEASE_ID: account}, payments, NOW)


def _command(type_: str) -> Command:
    return Command(
        command_id="01982f3a-6c00-7000-8000-0000000000d2",
        type=type_,
        submitted_at=NOW,
        data=msgspec.Raw(b"{}"),
    )


def _settled_ids(event: Event, number: int) -> Event:
    """The same event with ids that do not change from one making of the page to the next."""
    data = msgspec.json.decode(event.data)
    if "attempt_id" in data and data["attempt_id"] not in ATTEMPT_IDS:  # a run makes its own
        data["attempt_id"] = ATTEMPT_IDS[0]
    return msgspec.structs.replace(
        event,
        id=f"01982f3a-6c00-7000-8000-000000000{240 + number:03x}",
        causationid=event.correlationid,
        data=msgspec.Raw(encode(data)),
    )
