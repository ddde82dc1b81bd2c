"""The chapters in which money moves, or does not, or nobody knows for a while."""

import asyncio
from typing import Any

from demo.client import Answer, Client, Unexpected
from demo.lease_chapters import Story
from demo.presentation import Stage

PATIENCE_S = 90.0  # for the gateway to be asked about an attempt, and to answer
LOOK_EVERY_S = 0.25
LOOK_INTO_THE_GATEWAY_AFTER_S = 1.5


async def pay(client: Client, stage: Stage, story: Story) -> None:
    """An instalment is paid."""
    stage.chapter("Instalment 1 is paid")
    answer = await _attempt(client, story, 1, "pm_card_ok", expect=201)
    attempt = answer.body
    stage.say(
        f"{story.money(attempt['amount'])} collected; the gateway calls it {attempt['gateway_reference']}."
    )
    stage.equal("instalment 1 is paid", attempt["payment"]["status"], "paid")
    lease = await client.get("lease", f"/api/v1/leases/{story.lease_id}", headers=story.token)
    stage.equal(
        f"the lease's balance went down to {story.money(lease['balance'])}",
        lease["balance"],
        story.lease["total_payable"] - attempt["amount"],
    )


async def declined_then_paid(client: Client, stage: Stage, story: Story) -> None:
    """An issuer says no, says why, and another card works."""
    stage.chapter("Instalment 2: the card is declined, another one works")
    answer = await _attempt(client, story, 2, "pm_card_insufficient_funds", expect=402)
    decline = answer.body["decline"]
    stage.say(
        f"{answer.body['detail']} It is a [bold]{decline['class']}[/] decline and the advice is "
        f"[bold]{decline['advice']}[/]: a program can act on that without reading prose."
    )
    stage.equal("the advice for an empty account is to try again later", decline["advice"], "retry_later")
    payment = await client.get("payment", f"/api/v1/payments/{_payment_id(story, 2)}")
    stage.equal("nothing was collected, and the instalment is open again", payment["status"], "scheduled")
    answer = await _attempt(client, story, 2, "pm_card_ok", expect=201)
    stage.equal("the second card works", answer.body["payment"]["status"], "paid")
    stage.equal("two attempts are on record", answer.body["payment"]["attempts"], 2)


async def timeout_then_resolved(client: Client, stage: Stage, story: Story) -> None:
    """The gateway takes the money and never says so."""
    stage.chapter("Instalment 3: the gateway does not answer")
    stage.say(
        "The hardest case of all payments: the gateway takes the money, and its answer is lost. Paying again "
        "would charge twice, giving up would lose a payment. So the attempt becomes [bold]unknown[/]."
    )
    waiting = asyncio.create_task(
        _attempt(client, story, 3, "pm_timeout_then_ok", expect=202, Prefer="wait=30")
    )
    async with stage.waiting(
        "for the gateway's answer (the payment worker gives up after GATEWAY_TIMEOUT_S)"
    ):
        await asyncio.wait([waiting], timeout=LOOK_INTO_THE_GATEWAY_AFTER_S)
        stage.say(
            "Meanwhile, a look into the gateway's own record, of which nobody has told this system yet:"
        )
        charges = await _charges(client, payment_id=_payment_id(story, 3))
        stage.equal("the money has moved already", [each["status"] for each in charges], ["succeeded"])
        await _refused(client, stage, story, "while the first attempt is in flight")
        answer = await waiting
    attempt = answer.body
    stage.equal("the attempt is neither paid nor failed: it is unknown", attempt.get("status"), "unknown")
    await _refused(client, stage, story, "while the first attempt is unknown")
    async with stage.waiting("for the resolver to ask the gateway what became of the attempt (after 5 s)"):
        settled = await _until_settled(client, str(attempt["attempt_id"]))
    stage.equal("the gateway was asked, and the attempt has succeeded", settled["status"], "succeeded")
    stage.equal("instalment 3 is paid", settled["payment"]["status"], "paid")
    charges = await _charges(client, payment_id=_payment_id(story, 3))
    stage.equal(
        "the gateway has charged the customer once",
        [(each["status"], each["amount"]) for each in charges],
        [("succeeded", settled["amount"])],
    )


async def pay_off(client: Client, stage: Stage, story: Story) -> None:
    """All that is left is paid at once, and costs less."""
    stage.chapter("The rest is paid off early")
    before = await client.get("lease", f"/api/v1/leases/{story.lease_id}")
    path = f"/api/v1/leases/{story.lease_id}/payoff"
    answer = await client.call("payment", "POST", path, body={"payment_method": "pm_card_ok"}, expect=201)
    story.token = answer.token
    attempt = answer.body
    story.attempts.append(attempt["attempt_id"])
    parts = attempt["breakdown"]
    stage.table(
        ("part of the amount", story.lease["currency"]),
        [
            ("principal not paid yet", story.money(parts["principal"]).split()[0]),
            (
                "interest that the days up to today have earned",
                story.money(parts["accrued_interest"]).split()[0],
            ),
            ("fees", story.money(parts["fees"] + parts["late_fees"]).split()[0]),
            ("interest paid ahead, given back", f"−{story.money(parts['credits']).split()[0]}"),
            ("to be paid", story.money(attempt["amount"]).split()[0]),
        ],
        right=(1,),
    )
    stage.equal(
        "the parts add up to the amount",
        parts["principal"]
        + parts["accrued_interest"]
        + parts["fees"]
        + parts["late_fees"]
        - parts["credits"],
        attempt["amount"],
    )
    saved = before["balance"] - attempt["amount"]
    stage.check(f"paying early saves {story.money(saved)} of interest", saved > 0, saved)
    lease = await client.get("lease", f"/api/v1/leases/{story.lease_id}", headers=story.token)
    stage.equal(
        "the lease is paid off and nothing is owed", (lease["status"], lease["balance"]), ("paid_off", 0)
    )
    refused = await client.call("payment", "POST", path, body={"payment_method": "pm_card_ok"})
    stage.equal("it cannot be paid off twice", refused.status, 409)


async def _attempt(
    client: Client, story: Story, number: int, method: str, *, expect: int, **headers: str
) -> Answer:
    path = f"/api/v1/payments/{_payment_id(story, number)}/attempt"
    answer = await client.call(
        "payment", "POST", path, body={"payment_method": method}, headers=headers, expect=expect
    )
    story.attempts.append(answer.body["attempt_id"])
    story.token = answer.token
    return answer


async def _refused(client: Client, stage: Stage, story: Story, when: str) -> None:
    path = f"/api/v1/payments/{_payment_id(story, 3)}/attempt"
    answer = await client.call("payment", "POST", path, body={"payment_method": "pm_card_ok"})
    stage.equal(f"a second payment is refused with 409 {when}", answer.status, 409)


async def _until_settled(client: Client, attempt_id: str) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE_S
    while loop.time() < deadline:
        attempt: dict[str, Any] = await client.get("payment", f"/api/v1/attempts/{attempt_id}", quiet=True)
        if attempt["status"] not in ("started", "unknown"):
            return attempt
        await asyncio.sleep(LOOK_EVERY_S)
    raise Unexpected(f"the attempt {attempt_id} is still {attempt['status']} after {PATIENCE_S:.0f} s")


async def _charges(client: Client, *, payment_id: str) -> list[dict[str, Any]]:
    found = await client.get("gateway", f"/v1/charges?payment_id={payment_id}")
    return list(found["items"])


def _payment_id(story: Story, number: int) -> str:
    return str(story.lease["schedule"][number - 1]["payment_id"])
