"""The route of the webhooks at a front without a worker: whose they are is looked at before what they say."""

import json
import time
from typing import Any

import pytest
from structlog.testing import capture_logs

from common.kernel.ids import uuid7
from tests.support.builders import webhooks
from tests.support.builders.bad_values import NEVER_RIGHT, WRONG_BODIES
from tests.support.builders.webhooks import PATH, signature
from tests.support.servers.apis import WEBHOOK_SECRET, Answer, Fronts

pytestmark = pytest.mark.asyncio(loop_scope="session")

NOBODYS = webhooks.event("customer.created", {"id": "cus_1"})
DISPUTE: dict[str, Any] = json.loads(webhooks.disputed("ch_1", 100))


async def send(fronts: Fronts, body: bytes, **headers: str) -> Answer:
    """Send a body with a good signature, unless the headers have another."""
    headers.setdefault("Stripe_Signature", signature(body, WEBHOOK_SECRET))
    return await fronts.ask("payment", "POST", PATH, body, **headers)


async def test_unknown_types_are_received(fronts: Fronts) -> None:
    """What is of no concern here is 200 and changes nothing; so are charges of somebody else."""
    elsewhere = {"attempt_id": "order-17", "amount": 100, "currency": "USD"}
    won = json.dumps(DISPUTE | {"type": "charge.dispute.closed"}).encode()
    inquiry = webhooks.disputed("ch_1", 100, status="warning_needs_response")
    async with fronts.unmoved():
        for body in (
            NOBODYS,
            webhooks.settled(elsewhere, "pi_1"),
            won,
            inquiry,
            webhooks.disputed("ch_1", 0),
        ):
            answer = await send(fronts, body)
            assert (answer.status, answer.json) == (200, {"received": True})


async def test_whose_they_are(fronts: Fronts) -> None:
    """Unsigned, signed with another secret, for another body, too early or too late: 401 with a challenge."""
    body = json.dumps(DISPUTE).encode()
    good = signature(body, WEBHOOK_SECRET)
    signatures = [
        "",
        "nonsense",
        "t=1",
        good.replace("v1=", "v0="),
        good.replace("t=", "t=1"),
        good + "0",
        good.upper(),
        f"{good},t=1",
        signature(body, "another"),
        signature(body + b" ", WEBHOOK_SECRET),
        signature(body, WEBHOOK_SECRET, age_s=301),
        signature(body, WEBHOOK_SECRET, age_s=-302),
        good + "," + "x" * 2_000,
    ]
    async with fronts.unmoved():
        for each in signatures:
            answer = (await send(fronts, body, Stripe_Signature=each)).problem(401)
            assert answer.headers["www-authenticate"] == 'Stripe-Signature realm="webhooks"'
        head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        for lines in (f"Stripe-Signature: {good}\r\n" * 2, "Stripe-Signature: t=\xff,v1=\xfe\r\n"):
            sent = f"{head}{lines}Content-Length: {len(body)}\r\n\r\n".encode("latin-1") + body
            (await fronts.send("payment", sent)).problem(400, 401)


async def test_nothing_is_parsed_before(fronts: Fronts) -> None:
    """Garbage without a signature is 401 like anything else; with one it is 400, and over the limit 413."""
    async with fronts.unmoved():
        for what, body, statuses in WRONG_BODIES:
            expected = 413 if statuses == (413,) else 401
            (await send(fronts, body, Stripe_Signature="t=1,v1=" + "0" * 64)).problem(expected)
            answer = await send(fronts, body)
            assert answer.status == (413 if expected == 413 else 400), what
            answer.problem(400, 413)
            assert len(answer.body) < 1_000


async def test_wrong_values(fronts: Fronts) -> None:
    """Signed events that are none: 400, and nothing is published."""
    dispute = DISPUTE["data"]["object"]
    wrong: list[Any] = [
        DISPUTE | {"created": value} for value in NEVER_RIGHT if not isinstance(value, int | float)
    ]
    for name in ("id", "amount", "currency", "charge", "reason"):
        for value in (*NEVER_RIGHT, None, -1, "", "a\nb", "ü"):
            if value == 1.0 and name == "amount":
                continue
            wrong.append(DISPUTE | {"data": {"object": dispute | {name: value}}})
        wrong.append(DISPUTE | {"data": {"object": {key: dispute[key] for key in dispute if key != name}}})
    wrong += [DISPUTE | {"data": value} for value in (None, [], {}, "x")]
    let_pass = []
    async with fronts.unmoved():
        for thing in wrong:
            body = json.dumps(thing).encode()
            answer = await send(fronts, body)
            if answer.status != 400:
                let_pass.append((body[:300], answer.status))
    assert not let_pass


async def test_other_refusals(fronts: Fronts) -> None:
    """The conventions of all routes: media type, query, method."""
    (await send(fronts, NOBODYS, Content_Type="text/plain")).problem(415)
    signed = signature(NOBODYS, WEBHOOK_SECRET)
    for query in ("unknown=1", "limit=5"):
        answer = await fronts.ask("payment", "POST", f"{PATH}?{query}", NOBODYS, Stripe_Signature=signed)
        answer.problem(422)
    (await fronts.ask("payment", "GET", PATH)).problem(405)


async def test_no_outcome_in_time(fronts: Fronts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody carries the command out: 503, so that it is sent again; keys and preferences are not heeded."""
    monkeypatch.setattr("common.web.command_endpoint.DEFAULT_WAIT_S", 0.2)
    attempt = {"attempt_id": uuid7(), "amount": 100, "currency": "USD"}
    for body in (webhooks.disputed("ch_1", 100), webhooks.settled(attempt, "pi_1")):
        for _ in range(2):
            started = time.monotonic()
            answer = await send(fronts, body, Prefer="respond-async", Idempotency_Key="one")
            answer.problem(503)
            assert answer.headers["retry-after"] == "5"
            assert 0.2 <= time.monotonic() - started < 5


async def test_refunds_made_elsewhere(fronts: Fronts) -> None:
    """Nothing changes; a total that the books here do not have is logged as an error."""
    async with fronts.unmoved():
        with capture_logs() as logs:
            assert (await send(fronts, webhooks.refunded("ch_nobodys", 100))).status == 200
    assert [each["event"] for each in logs if each["log_level"] == "error"] == ["refund.unknown_here"]


async def test_money_that_comes_back_to_the_gateway(fronts: Fronts) -> None:
    """A dispute that is won, a refund that fails later: nothing changes, an error with all ids is logged."""
    attempt_id = "01890a5d-ac96-774b-8bce-b302099a8057"
    dispute = {"id": "dp_7", "amount": 100, "currency": "usd", "charge": "ch_7", "reason": "fraudulent"}
    won = webhooks.event("charge.dispute.funds_reinstated", dispute | {"status": "won"})
    refund = {"id": "re_7", "amount": 100, "currency": "usd", "status": "failed"}
    failed = webhooks.event("refund.failed", refund | {"metadata": {"attempt_id": attempt_id}})
    async with fronts.unmoved():
        with capture_logs() as logs:
            for body in (won, failed):
                assert (await send(fronts, body)).status == 200
    reinstated, came_back = [each for each in logs if each["log_level"] == "error"]
    assert (reinstated["event"], reinstated["dispute_id"], reinstated["gateway_reference"]) == (
        "chargeback.reinstated",
        "dp_7",
        "ch_7",
    )
    assert (came_back["event"], came_back["refund_reference"], came_back["attempt_id"]) == (
        "refund.failed_later",
        "re_7",
        attempt_id,
    )
