"""The Stripe adapter against a server that speaks the documented shapes, and against ones that speak none.

What matters, as in the sandbox's client, is the line between "certainly nothing happened" and "nobody knows".
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from payment_svc.adapters.gateways.stripe.gateway import StripeGateway
from payment_svc.application.gateway import Charged, ChargeRequest, Declined, NoAnswer, NotReached
from tests.support.fakes.hostile_gateway import UNCERTAIN, answer, hostile, says
from tests.support.fakes.stripe_server import API_KEY, StripeServer, serving

TIMEOUT_S = 0.3
REQUEST = ChargeRequest(
    idempotency_key="0197-key",
    amount=13162,
    currency="USD",
    payment_method="pm_card_visa",
    lease_id="lea-1",
    payment_id="pay-1",
    attempt_id="att-1",
)
INTENT = {
    "id": "pi_1",
    "amount": 13162,
    "amount_received": 13162,
    "currency": "usd",
    "status": "succeeded",
    "metadata": {"idempotency_key": "0197-key"},
}
ERROR = {"type": "card_error", "code": "card_declined", "decline_code": "lost_card"}
REQUEST_ID = b"Request-Id: req_7\r\n"


def request(**changes: object) -> ChargeRequest:
    return msgspec.structs.replace(REQUEST, **changes)


@asynccontextmanager
async def adapter(
    url: str, timeout_s: float = TIMEOUT_S, api_key: str = API_KEY
) -> AsyncIterator[StripeGateway]:
    gateway = StripeGateway(url, api_key, timeout_s=timeout_s, max_in_flight=10)
    try:
        yield gateway
    finally:
        await gateway.close()


@pytest.fixture
async def both() -> AsyncIterator[tuple[StripeServer, StripeGateway]]:
    async with serving() as (server, url), adapter(url + "/") as gateway:
        yield server, gateway


Both = tuple[StripeServer, StripeGateway]


async def test_charged_once_per_key(both: Both) -> None:
    """A charge, its repetition and its look-up are one payment intent, which says whose it is."""
    server, gateway = both
    charged = Charged(reference="pi_1")
    assert await gateway.charge(REQUEST) == charged == await gateway.charge(REQUEST)
    server.index()
    assert await gateway.find(REQUEST.idempotency_key) == charged
    assert [intent["metadata"] for intent in server.intents.values()] == [
        {"idempotency_key": "0197-key", "attempt_id": "att-1", "lease_id": "lea-1", "payment_id": "pay-1"}
    ]


async def test_key_of_another_charge(both: Both) -> None:
    """A key that comes with other parameters tells nothing of what became of the first charge."""
    server, gateway = both
    await gateway.charge(REQUEST)
    assert await gateway.charge(request(amount=5000)) == NoAnswer(
        reason="status 400: idempotency_error", outage=False
    )
    assert len(server.intents) == 1


@pytest.mark.parametrize(
    ("method", "code"),
    [
        ("pm_card_chargeDeclined", "generic_decline"),
        ("pm_card_chargeDeclinedInsufficientFunds", "insufficient_funds"),
        ("pm_card_chargeDeclinedLostCard", "lost_card"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card"),
        ("pm_card_authenticationRequired", "authentication_required"),
    ],
)
async def test_declined(both: Both, method: str, code: str) -> None:
    """The issuer's code where there is one, else the API's; repeated and looked up the same."""
    server, gateway = both
    declined = Declined(code=code, reference="pi_1")
    asked = request(payment_method=method)
    assert await gateway.charge(asked) == declined == await gateway.charge(asked)
    server.index()
    assert await gateway.find(REQUEST.idempotency_key) == declined


@pytest.mark.parametrize(
    ("currency", "amount", "sent"),
    [
        ("USD", 5000, "5000"),
        ("JPY", 500, "500"),
        ("KWD", 5120, "5120"),
        ("UGX", 5, "500"),
        ("ISK", 5, "500"),
        ("MGA", 500, "5"),
    ],
)
async def test_amounts(both: Both, currency: str, amount: int, sent: str) -> None:
    """Amounts go out in Stripe's units, and come back as what was asked for."""
    server, gateway = both
    assert await gateway.charge(request(currency=currency, amount=amount)) == Charged(reference="pi_1")
    assert (server.requests[0]["amount"], server.requests[0]["currency"]) == (sent, currency.lower())


@pytest.mark.parametrize(("currency", "amount"), [("KWD", 5124), ("MGA", 550)])
async def test_amounts_that_cannot_be_sent(both: Both, currency: str, amount: int) -> None:
    """What Stripe has no number for is not rounded: nothing is sent, and no outage is seen in it."""
    server, gateway = both
    result = await gateway.charge(request(currency=currency, amount=amount))
    assert isinstance(result, NotReached)
    assert not result.outage
    assert server.requests == []


async def test_saved_card_is_charged_with_its_customer(both: Both) -> None:
    """`cus_…-pm_…` names both; without the customer Stripe refuses, which is a decline of the method."""
    server, gateway = both
    assert await gateway.charge(request(payment_method="cus_1-pm_saved")) == Charged(reference="pi_1")
    assert (server.requests[0]["customer"], server.requests[0]["payment_method"]) == ("cus_1", "pm_saved")
    refused = await gateway.charge(request(payment_method="pm_saved", idempotency_key="k2"))
    assert refused == Declined(code="invalid_payment_method", reference="req_1")


async def test_payoff_has_no_payment(both: Both) -> None:
    """A payoff goes without a payment_id, rather than with an empty one."""
    server, gateway = both
    await gateway.charge(request(payment_id=None))
    assert "metadata[payment_id]" not in server.requests[0]


async def test_unknown_payment_method_is_declined(both: Both) -> None:
    """What Stripe does not know cannot be charged; the request is what can be referred to."""
    _, gateway = both
    result = await gateway.charge(request(payment_method="pm_card_ok"))
    assert result == Declined(code="invalid_payment_method", reference="req_1")


async def test_refused_requests_were_not_carried_out(both: Both) -> None:
    """A parameter that Stripe refuses: nothing happened, which says nothing against Stripe's health."""
    server, gateway = both
    result = await gateway.charge(request(amount=49))
    assert result == NotReached(reason="refused with 400: amount_too_small amount", outage=False)
    assert server.intents == {}


async def test_wrong_key() -> None:
    """Without a valid key nothing is charged and nothing can be looked up; the key shows nowhere."""
    async with serving() as (_, url), adapter(url, api_key="sk_live_SECRET") as gateway:
        charged, found = await gateway.charge(REQUEST), await gateway.find("0197-key")
    assert charged == NotReached(reason="refused with 401", outage=False)
    assert isinstance(found, NoAnswer)
    assert "SECRET" not in f"{charged}{found}{gateway!r}"


@pytest.mark.parametrize("trouble", ["500 after the charge", "cut", "slow"])
async def test_charged_without_an_answer(both: Both, trouble: str) -> None:
    """The money moved and nobody said so: unknown, until the search shows it."""
    server, gateway = both
    server.trouble = trouble
    assert isinstance(await gateway.charge(REQUEST), NoAnswer)
    server.trouble = None
    lagging = await gateway.find("0197-key")
    assert lagging == NoAnswer(reason="the search does not show it (yet)", outage=False)
    server.index()
    assert await gateway.find("0197-key") == Charged(reference="pi_1")
    assert len(server.intents) == 1


async def test_rate_limits(both: Both) -> None:
    """A request that the rate limiter turned away was not carried out; of one that met a lock, who knows."""
    server, gateway = both
    server.trouble = "rate limit"
    assert await gateway.charge(REQUEST) == NotReached(reason="rate_limit")
    server.trouble = "lock timeout"
    assert await gateway.charge(REQUEST) == NoAnswer(reason="status 429 lock_timeout")


async def test_key_in_use(both: Both) -> None:
    """A duplicate that comes while the first is at work (409) does not know how that will end."""
    server, gateway = both
    server.trouble = "slow"
    first = asyncio.create_task(gateway.charge(REQUEST))
    await asyncio.sleep(0.1)
    assert await gateway.charge(REQUEST) == NoAnswer(reason="status 409 to a charge")
    await first
    assert len(server.intents) == 1


async def test_processing(both: Both) -> None:
    """A charge that is still at work is unknown, and no sign of an outage."""
    server, gateway = both
    server.trouble = "processing"
    result = await gateway.charge(REQUEST)
    assert result == NoAnswer(reason="the payment intent is processing", outage=False)
    server.index()
    assert await gateway.find("0197-key") == result


async def test_search_finds_odd_keys_and_only_those(both: Both) -> None:
    """Quotes and backslashes do not break the query; a key that differs in case is another one."""
    server, gateway = both
    odd = r"it's a \ key & 'more' %20"
    await gateway.charge(request(idempotency_key=odd))
    await gateway.charge(request(idempotency_key="KEY"))
    server.index()
    assert await gateway.find(odd) == Charged(reference="pi_1")
    assert await gateway.find("KEY") == Charged(reference="pi_2")
    assert isinstance(await gateway.find("key"), NoAnswer)


async def test_two_of_one_key_is_no_answer() -> None:
    """Should a key ever have led to two charges, neither is taken for the answer."""
    twice = answer(200, {"data": [INTENT, {**INTENT, "id": "pi_2"}]})
    async with hostile(says(twice)) as url, adapter(url) as gateway:
        assert isinstance(await gateway.find("0197-key"), NoAnswer)


async def test_certainly_not_reached() -> None:
    """A refused connection and a name that does not resolve: nothing was sent."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound but not listening: refused
        for url in (f"http://127.0.0.1:{unused.getsockname()[1]}", "http://stripe.invalid"):
            async with adapter(url) as gateway:
                assert isinstance(await gateway.charge(REQUEST), NotReached)
                assert isinstance(await gateway.find("0197-key"), NoAnswer)


@pytest.mark.parametrize("name", UNCERTAIN)
async def test_without_a_certain_answer(name: str) -> None:
    """What no Stripe would say is NoAnswer with a reason, for a charge and for a look-up."""
    async with hostile(UNCERTAIN[name]) as url, adapter(url) as gateway:
        for result in (await gateway.charge(REQUEST), await gateway.find("0197-key")):
            assert isinstance(result, NoAnswer)
            assert 0 < len(result.reason) <= 200


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, INTENT | {"amount": 1, "amount_received": 1}),
        (200, INTENT | {"currency": "eur"}),
        (200, INTENT | {"metadata": {}}),
        (200, INTENT | {"metadata": {"idempotency_key": "another"}}),
        (200, INTENT | {"amount_received": 100}),
        (200, INTENT | {"status": "requires_payment_method"}),
        (200, INTENT | {"status": "requires_capture"}),
        (200, INTENT | {"status": "unheard of"}),
        (200, INTENT | {"id": ""}),
        (201, INTENT),
        (402, {"error": ERROR | {"payment_intent": INTENT}}),
        (402, {"error": ERROR | {"payment_intent": INTENT | {"status": "canceled", "amount": 1}}}),
        (402, {"error": ERROR}),
        (402, {"error": ERROR | {"decline_code": "x" * 65}}),
        (402, {"error": "card_declined"}),
        (400, {"error": {"type": "invalid_request_error", "payment_intent": INTENT}}),
        (400, {"error": {"type": "api_error"}}),
        (403, b"<html>a proxy</html>"),
        (404, {"error": {"message": "a proxy"}}),
        (429, {"error": {"type": "invalid_request_error"}}),
        (500, {"error": {"type": "api_error"}}),
    ],
)
async def test_answers_that_settle_nothing(status: int, body: object) -> None:
    """Answers about another charge, contradictions, and refusals that may not be Stripe's: NoAnswer."""
    async with hostile(says(answer(status, body))) as url, adapter(url) as gateway:
        assert isinstance(await gateway.charge(REQUEST), NoAnswer)


@pytest.mark.parametrize(
    ("status", "body", "result"),
    [
        (
            200,
            INTENT | {"status": "requires_action"},
            Declined(code="authentication_required", reference="pi_1"),
        ),
        (200, INTENT | {"status": "canceled"}, Declined(code="payment_canceled", reference="pi_1")),
        (402, {"error": ERROR}, Declined(code="lost_card", reference="req_7")),
        (402, {"error": {"type": "card_error"}}, Declined(code="card_declined", reference="req_7")),
        (
            402,
            {"error": ERROR | {"payment_intent": INTENT | {"status": "requires_payment_method"}}},
            Declined(code="lost_card", reference="pi_1"),
        ),
    ],
)
async def test_rarer_declines(status: int, body: object, result: Declined) -> None:
    """No money has moved and none will; what there is serves as code and as reference."""
    async with hostile(says(answer(status, body, REQUEST_ID))) as url, adapter(url) as gateway:
        assert await gateway.charge(REQUEST) == result
