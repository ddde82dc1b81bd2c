"""Ids in any case of letters, and times of any offset and precision, mean what they say."""

from datetime import timedelta
from typing import Any

import pytest

from common.kernel.clock import instant, rfc3339, utcnow
from common.kernel.ids import uuid7
from tests.integration.payment_svc.test_gateway_answers import Checked, checked, new_lease
from tests.support.builders.bad_values import OLD_V7
from tests.support.builders.requests import WITH_ID, Case, named, sample, target
from tests.support.servers.apis import Fronts

pytestmark = pytest.mark.asyncio(loop_scope="session")

__all__ = ["checked"]  # the fixture


async def state(checked: Checked, lease_id: str, as_of: str, basis: str = "occurred") -> Any:
    body = {"as_of": as_of, "basis": basis}
    return await checked.ask("ledger", "POST", f"/api/v1/audit/leases/{lease_id}/state-at-point", body)


def begun_today() -> dict[str, str]:
    """Terms of a lease that can be paid off today."""
    today = utcnow().date()
    return {"start_date": str(today), "first_due_date": str(today + timedelta(days=28))}


async def test_a_time_is_never_rounded_up(checked: Checked) -> None:
    """Half a microsecond before creation there is no lease: 404; from then on there is, in any spelling."""
    lease, _ = await new_lease(checked)
    lease_id, created = lease["lease_id"], lease["created_at"]
    [entry] = (await checked.ask("ledger", "GET", f"/api/v1/audit/leases/{lease_id}")).json["items"]
    for basis, at in (("occurred", created), ("recorded", entry["recorded_at"])):
        micros = instant(at)
        before = rfc3339(micros.replace(microsecond=(micros.microsecond - 1) % 10**6))
        if micros.microsecond == 0:
            continue  # the microsecond before has another second
        for nearly in ("5", "9", "999999999999"):
            answer = await state(checked, lease_id, f"{before[:-1]}{nearly}Z", basis)
            assert answer.status == 404, answer
        for same in (at, f"{at[:-1]}9Z", f"{at[:-1]}0000+00:00", at.replace("T", "t").replace("Z", "z")):
            answer = await state(checked, lease_id, same, basis)
            assert (answer.status, answer.json["as_of"]) == (200, at)


async def test_a_leap_second(checked: Checked) -> None:
    """Second 60 is the next minute's second 0; second 61 is none."""
    lease, _ = await new_lease(checked)
    answer = await state(checked, lease["lease_id"], "2998-12-31T23:59:60Z")
    assert (answer.status, answer.json["as_of"]) == (200, "2999-01-01T00:00:00.000000Z")
    assert (await state(checked, lease["lease_id"], "2016-12-31T23:59:60Z")).status == 404
    assert (await state(checked, lease["lease_id"], "2998-12-31T23:59:61Z")).problem(422).pointers == {
        "/as_of"
    }


async def test_ids_in_capitals(checked: Checked) -> None:
    """A lease is found under its id in capitals by every read, and its answers show the id as it is."""
    lease, token = await new_lease(checked, **begun_today())
    lease_id, payment_id = lease["lease_id"], lease["schedule"][0]["payment_id"]
    body = {"payment_method": "pm_card_ok", "amount": 100}
    paid = await checked.ask("payment", "POST", f"/api/v1/payments/{payment_id.upper()}/attempt", body)
    assert (paid.status, paid.json["payment_id"]) == (201, payment_id)
    token = paid.headers["consistency-token"]
    [event, *_] = (await checked.ask("ledger", "GET", f"/api/v1/audit/leases/{lease_id}")).json["items"]
    size = event["seq"]  # the ledger grows on
    for service, path, identifier in (
        ("lease", "/api/v1/leases/{}", lease_id),
        ("lease", "/api/v1/leases/{}/history", lease_id),
        ("payment", "/api/v1/leases/{}/payments", lease_id),
        ("payment", "/api/v1/payments/{}", payment_id),
        ("payment", "/api/v1/payments/{}/attempts", payment_id),
        ("payment", "/api/v1/attempts/{}", paid.json["attempt_id"]),
        ("payment", "/api/v1/leases/{}/payoff-quote", lease_id),
        ("ledger", "/api/v1/audit/leases/{}", lease_id),
        ("ledger", "/api/v1/audit/leases/{}/timeline", lease_id),
        ("ledger", "/api/v1/audit/leases/{}/journal", lease_id),
        ("ledger", "/api/v1/audit/events/{}", event["event_id"]),
        ("ledger", "/api/v1/audit/proofs/inclusion?event_id={}&tree_size={size}", event["event_id"]),
    ):
        asking = {"Consistency_Token": token, "Prefer": "wait=25"}
        lower = await checked.ask(service, "GET", path.format(identifier, size=size), **asking)
        upper = await checked.ask(service, "GET", path.format(identifier.upper(), size=size), **asking)
        assert lower.status == 200, lower
        assert (upper.status, upper.json) == (200, lower.json)


async def test_the_same_request_in_capitals(checked: Checked) -> None:
    """With one Idempotency-Key: a payoff with its lease and its quote in capitals is the same request."""
    lease, _ = await new_lease(checked, **begun_today())
    lease_id, key = lease["lease_id"], uuid7()
    quote = f"/api/v1/leases/{lease_id}/payoff-quotes"
    quoted = await checked.ask("payment", "POST", quote, {"as_of": str(utcnow().date())})
    assert quoted.status == 201, quoted
    body = {"payment_method": "pm_card_ok", "quote_id": quoted.json["quote_id"]}
    first = await checked.ask(
        "payment", "POST", f"/api/v1/leases/{lease_id}/payoff", body, Idempotency_Key=key
    )
    assert first.status == 201, first
    capitals = body | {"quote_id": body["quote_id"].upper()}
    again = await checked.ask(
        "payment", "POST", f"/api/v1/leases/{lease_id.upper()}/payoff", capitals, Idempotency_Key=key
    )
    assert (again.status, again.json, again.headers["idempotency-replayed"]) == (201, first.json, "true")
    other = body | {"payment_method": "PM_CARD_OK"}
    answer = await checked.ask(
        "payment", "POST", f"/api/v1/leases/{lease_id}/payoff", other, Idempotency_Key=key
    )
    assert answer.status == 422


@pytest.mark.parametrize("case", WITH_ID, ids=named)
async def test_nobodys_id_in_capitals(fronts: Fronts, case: Case) -> None:
    """At every operation with an id in its path, capitals change nothing about the answer's status."""
    service, route = case
    body = sample(case) if route.body else None
    statuses = set()
    for identifier in (OLD_V7, OLD_V7.upper()):
        answer = await fronts.ask(
            service, route.method, target(route, identifier), body, Prefer="respond-async"
        )
        statuses.add(answer.status)
    assert len(statuses) == 1
    assert statuses & {202, 404}
