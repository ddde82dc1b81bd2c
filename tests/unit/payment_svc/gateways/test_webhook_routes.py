"""The webhooks' route where no secret is configured, and what it makes of a command's outcome."""

import json
from typing import Any, cast

import msgspec
import pytest
from aiohttp.test_utils import TestClient, TestServer
from structlog.testing import capture_logs

from common.messaging.envelope import Outcome
from common.web.server import build_app
from payment_svc.entrypoints.http.webhook_routes import WebhookApi
from tests.support.builders import webhooks

SECRET = "whsec_of_the_tests"


class Commands:
    """Gives every command the same outcome, and remembers it."""

    def __init__(self, status: int = 201) -> None:
        self.status = status
        self.asked: list[Any] = []

    async def carry_out(self, _request: Any, _type: str, data: Any) -> Outcome | None:
        self.asked.append(data)
        body = msgspec.Raw(b"{}")
        ended = "succeeded" if self.status < 400 else "rejected"
        return Outcome(command_id="c1", status=ended, http_status=self.status, body=body)


async def send(body: bytes, commands: Commands, secret: str = SECRET, times: int = 1) -> int:
    front = WebhookApi(cast(Any, None), cast(Any, commands), secret)
    async with TestClient(TestServer(build_app("test", front.routes(), {}))) as client:
        for _ in range(times):
            headers = {
                "Content-Type": "application/json",
                "Stripe-Signature": webhooks.signature(body, secret or SECRET),
            }
            response = await client.post(webhooks.PATH, data=body, headers=headers)
            await response.read()
    return response.status


async def test_no_secret() -> None:
    """Everything is refused, and it is said once why."""
    commands = Commands()
    with capture_logs() as logs:
        assert await send(webhooks.disputed("ch_1", 1), commands, secret="", times=3) == 401
    assert [each["event"] for each in logs] == ["webhook.no_secret"]
    assert commands.asked == []


@pytest.mark.parametrize(
    ("outcome", "age_s", "status", "logged"),
    [
        (201, 0, 200, 0),
        (409, 0, 503, 0),
        (500, 0, 503, 0),
        (422, 0, 200, 1),
        (404, 0, 503, 0),
        (404, 90_000, 200, 1),
    ],
)
async def test_chargebacks(outcome: int, age_s: int, status: int, logged: int) -> None:
    """200 where nothing is left to be told, 503 where it is to be told again; the dispute tells a repeat."""
    commands = Commands(outcome)
    body = webhooks.disputed("ch_1", 700, age_s=age_s)
    with capture_logs() as logs:
        assert await send(body, commands) == status
    assert [each["event"] for each in logs] == ["webhook.books_disagree"] * logged
    [asked] = commands.asked
    assert (asked.gateway_reference, asked.amount, asked.currency) == ("ch_1", 700, "USD")
    assert asked.notice_id == json.loads(body)["data"]["object"]["id"]


@pytest.mark.parametrize(("outcome", "status"), [(200, 200), (404, 200), (422, 200), (500, 503)])
async def test_settlements(outcome: int, status: int) -> None:
    """A charge that is not known here, or another one than told, will not be by repeating."""
    attempt = {"attempt_id": "01890A5D-ac96-774b-8bce-b302099a8057", "amount": 100, "currency": "ISK"}
    commands = Commands(outcome)
    body = webhooks.settled(attempt, "pi_1", "lost_card", amount=10_000)
    assert await send(body, commands) == status
    [asked] = commands.asked
    assert asked.attempt_id == attempt["attempt_id"].lower()
    assert (asked.amount, asked.currency, asked.status, asked.code) == (100, "ISK", "declined", "lost_card")


CARD = "4242.4242-4242 4242"
INTENT = {"amount": 1, "currency": "USD", "attempt_id": "01890a5d-ac96-774b-8bce-b302099a8057"}


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (webhooks.disputed("ch_1", 700, reason=CARD), "/data/object"),
        (webhooks.disputed("4242424242424242", 700), "/data/object"),
        (webhooks.disputed("ch_1", 700, id="4242424242424242"), "/data/object"),
        (webhooks.disputed("ch_1", 700).replace(b'"id": "evt_', b'"id": "4242424242424242,'), "/id"),
        (webhooks.settled(INTENT, "pi_1", CARD), "/data/object"),
        (webhooks.settled(INTENT, "4242424242424242"), "/data/object"),
        (webhooks.refunded("4242424242424242", 1), "/data/object"),
    ],
)
async def test_card_numbers(body: bytes, where: str) -> None:
    """A notice that holds one is 422: nothing of it becomes a command or is logged, whichever field it is."""
    commands = Commands()
    front = WebhookApi(cast(Any, None), cast(Any, commands), SECRET)
    with capture_logs() as logs:
        async with TestClient(TestServer(build_app("test", front.routes(), {}))) as client:
            signed = {
                "Content-Type": "application/json",
                "Stripe-Signature": webhooks.signature(body, SECRET),
            }
            answer = await client.post(webhooks.PATH, data=body, headers=signed)
            problem = await answer.json()
    assert (answer.status, [error["pointer"] for error in problem["errors"]]) == (422, [where])
    assert [each["event"] for each in logs] == ["webhook.card_number"]
    assert "4242" not in str(problem) + str(logs)
    assert commands.asked == []


async def test_what_is_not_read_of_a_notice() -> None:
    """Fields that are neither stored nor told on may hold what they like: the chargeback is recorded."""
    commands = Commands()
    assert await send(webhooks.disputed("ch_1", 700, network_reference=CARD), commands) == 200
    assert len(commands.asked) == 1
