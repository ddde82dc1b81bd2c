"""Refunds through the Stripe adapter, against a server that speaks the documented shapes."""

from __future__ import annotations

import msgspec
import pytest

from payment_svc.application.gateway import Charged, Declined, NoAnswer, NotReached, RefundRequest
from tests.integration.payment_svc.test_stripe_gateway import REQUEST, Both, adapter, both
from tests.support.fakes.hostile_gateway import answer, hostile, says

__all__ = ["both"]  # a fixture

REFUND = RefundRequest(
    idempotency_key="0198-key",
    reference="pi_1",
    amount=5000,
    currency="USD",
    lease_id="lea-1",
    payment_id="pay-1",
    attempt_id="att-2",
)


def refund(**changes: object) -> RefundRequest:
    return msgspec.structs.replace(REFUND, **changes)


async def test_given_back_once_per_key(both: Both) -> None:
    """A refund, its repetition and its look-up are one, which says whose it is."""
    server, gateway = both
    await gateway.charge(REQUEST)
    done = Charged(reference="re_1")
    assert await gateway.refund(REFUND) == done == await gateway.refund(REFUND)
    assert await gateway.find_refund(REFUND.idempotency_key, "pi_1") == done
    assert await gateway.find_refund("another-key", "pi_1") is None
    [kept] = server.refunds
    assert (kept["amount"], kept["metadata"]["attempt_id"]) == (5000, "att-2")


async def test_never_more_than_was_charged(both: Both) -> None:
    """Stripe refuses what is more than is left: a decline, for good, and no outage."""
    server, gateway = both
    await gateway.charge(REQUEST)
    assert await gateway.refund(refund(amount=13163)) == Declined(code="refund_too_large", reference="req_1")
    assert await gateway.refund(refund(amount=13162, idempotency_key="k2")) == Charged(reference="re_1")
    assert await gateway.refund(refund(idempotency_key="k3")) == Declined(
        code="charge_already_refunded", reference="req_1"
    )
    assert sum(each["amount"] for each in server.refunds) == 13162


@pytest.mark.parametrize(
    ("trouble", "result"),
    [
        ("processing", NoAnswer(reason="the refund is pending", outage=False)),
        ("failed", Declined(code="lost_or_stolen_card", reference="re_1")),
        ("rate limit", NotReached(reason="rate_limit")),
    ],
)
async def test_trouble(both: Both, trouble: str, result: object) -> None:
    """Pending: to be asked about; failed: declined; not taken: may be repeated."""
    server, gateway = both
    await gateway.charge(REQUEST)
    server.trouble = trouble
    assert await gateway.refund(REFUND) == result


async def test_cut_off(both: Both) -> None:
    """Nobody knows; the look-up tells that it was given back, once."""
    server, gateway = both
    await gateway.charge(REQUEST)
    server.trouble = "cut"
    assert isinstance(await gateway.refund(REFUND), NoAnswer)
    server.trouble = None
    assert await gateway.find_refund(REFUND.idempotency_key, "pi_1") == Charged(reference="re_1")
    assert len(server.refunds) == 1


async def test_what_was_not_asked(both: Both) -> None:
    """No such charge, an amount that Stripe cannot hold: certainly nothing; another's answer: unknown."""
    _, gateway = both
    missing = await gateway.refund(refund(reference="pi_9"))
    assert isinstance(missing, NotReached)
    assert not missing.outage
    odd = await gateway.refund(refund(amount=1001, currency="KWD"))
    assert isinstance(odd, NotReached)
    other = b'{"id": "re_1", "amount": 1, "currency": "usd", "status": "succeeded", "metadata": {}}'
    async with hostile(says(answer(200, other))) as url, adapter(url) as alone:
        assert await alone.refund(REFUND) == NoAnswer(reason="the answer is about another refund")
