"""What a notice of how a charge ended makes of an attempt: it settles, and never takes a state back."""

import json
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from common.messaging.envelope import Command, Outcome
from payment_svc.application.gateway import Charged, ChargeResult, Declined, NoAnswer, NotReached
from payment_svc.application.gateway_notices import note_settlement
from payment_svc.application.settlement import settle
from payment_svc.application.unit_of_work import Batch
from payment_svc.contracts.commands import NoteSettlement
from payment_svc.domain.attempt import Attempt
from tests.unit.payment_svc.test_attempt import LEASE, NOW, account, payments, start, start_payoff


def begun(*results: ChargeResult, payoff: bool = False) -> tuple[Batch, Attempt]:
    """An attempt on the first instalment, or a payoff, of which the gateway has said these things."""
    of, both = account(), payments()
    attempt = start_payoff(of, both) if payoff else start(of, both[0])
    batch = Batch({LEASE: of}, both, NOW)
    for result in results:
        settle(batch, attempt, result)
    batch.noted[attempt.attempt_id] = attempt
    batch.events.clear()
    return batch, attempt


def note(batch: Batch, attempt: Attempt, code: str | None = None, **changes: Any) -> Outcome:
    fields: dict[str, Any] = {
        "attempt_id": attempt.attempt_id,
        "amount": attempt.amount,
        "currency": attempt.currency,
        "status": "declined" if code else "succeeded",
        "reference": "ch_1",
        "code": code,
    }
    command = Command(command_id="n1", type="NoteSettlement", submitted_at=NOW, data=msgspec.Raw(b"{}"))
    return note_settlement(batch, command, NoteSettlement(**fields | changes))


@pytest.mark.parametrize("payoff", [False, True])
@pytest.mark.parametrize("before", [(), (NoAnswer(reason="timeout"),)])
@pytest.mark.parametrize("code", [None, "insufficient_funds"])
def test_in_flight(payoff: bool, before: tuple[ChargeResult, ...], code: str | None) -> None:
    """An attempt that is started or unknown is settled, and its own command has its outcome."""
    batch, attempt = begun(*before, payoff=payoff)
    outcome = note(batch, attempt, code)
    status = "declined" if code else "succeeded"
    assert (outcome.http_status, attempt.status, attempt.gateway_reference) == (200, status, "ch_1")
    kind = "payoff" if payoff else "payment"
    assert [event.type for event in batch.events] == [
        *(["payment.resolved"] if before else []),
        f"{kind}.{status}",
    ]
    [completed] = batch.completed
    assert (completed.command_id, completed.http_status) == (attempt.command_id, 402 if code else 201)
    assert json.loads(bytes(outcome.body))["status"] == status


@pytest.mark.parametrize(
    ("before", "code", "disagree"),
    [
        (Charged(reference="ch_1"), None, False),
        (Charged(reference="ch_1"), "lost_card", False),
        (Charged(reference="ch_2"), None, True),
        (Declined(code="lost_card", reference="ch_1"), "lost_card", False),
        (Declined(code="lost_card", reference="ch_1"), None, True),
        (NotReached(reason="refused"), None, True),
        (NotReached(reason="refused"), "lost_card", False),
    ],
)
def test_settled(before: ChargeResult, code: str | None, disagree: bool) -> None:
    """What is settled stays so; that the gateway has money nobody here knows of is logged as an error."""
    batch, attempt = begun(before)
    was = msgspec.structs.asdict(attempt)
    with capture_logs() as logs:
        assert note(batch, attempt, code).http_status == 200
    assert msgspec.structs.asdict(attempt) == was
    assert (batch.events, batch.completed) == ([], [])
    assert [each["event"] for each in logs] == (["settlement.books_disagree"] if disagree else [])


@pytest.mark.parametrize("changes", [{"amount": 1}, {"currency": "EUR"}])
def test_another_charge(changes: dict[str, Any]) -> None:
    """An amount or currency that is not the attempt's: 422 with the field, and nothing changes."""
    batch, attempt = begun()
    outcome = note(batch, attempt, **changes)
    [error] = json.loads(bytes(outcome.body))["errors"]
    assert (outcome.http_status, error["pointer"]) == (422, f"/{next(iter(changes))}")
    assert (attempt.status, batch.events) == ("started", [])


def test_no_such_charge() -> None:
    """404, also where the id is a refund's: that is no charge."""
    batch, attempt = begun()
    attempt.refunds = "a0"
    assert note(batch, attempt).http_status == 404
    assert note(batch, attempt, attempt_id="a2").http_status == 404
