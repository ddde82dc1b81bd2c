"""What must hold after every fault, once the system has come to rest.

Checked against books that do not know of each other: the tables of each service, the ledger's raw bytes, the
gateway's own record, and the tests' record of what they sent.
"""

from base64 import b64decode
from collections import Counter, defaultdict
from typing import Any

import msgspec

from tests.support.oracles.accounting import check_books, check_journal
from tests.support.oracles.lease_state import Folded, fold
from tests.support.oracles.merkle import leaf, root
from tests.support.oracles.signed_note import opened
from tests.support.system.client import ELSEWHERE, Client, Fate, Sent
from tests.support.system.system import WORK_QUEUES, System
from tests.support.waiting import eventually, on_lanes

_AT_REST = """
SELECT (SELECT count(*) FROM lease.outbox_pending) AS lease_outbox,
       (SELECT count(*) FROM payment.outbox_pending) AS payment_outbox,
       (SELECT count(*) FROM lease.commands WHERE status = 'pending' AND original_id IS NULL)
           AS lease_commands,
       (SELECT count(*) FROM payment.commands WHERE status = 'pending' AND original_id IS NULL)
           AS payment_commands,
       (SELECT count(*) FROM payment.attempts WHERE status IN ('started', 'unknown')) AS in_flight,
       (SELECT count(*) FROM lease.outbox) + (SELECT count(*) FROM payment.outbox)
           - (SELECT count(*) FROM ledger.entries WHERE lease_id IN (SELECT lease_id FROM lease.leases))
           AS not_in_ledger,
       (SELECT count(*) FROM lease.leases l JOIN payment.accounts a USING (lease_id)
         WHERE l.payment_sequence <> a.event_sequence OR a.lease_sequence <> l.event_sequence)
           + (SELECT count(*) FROM lease.leases) - (SELECT count(*) FROM payment.accounts) AS not_projected
"""
_DIFFERENT_BYTES = """
WITH told AS (SELECT event_id, body FROM lease.outbox UNION ALL SELECT event_id, body FROM payment.outbox)
SELECT event_id FROM told FULL JOIN ledger.entries AS e USING (event_id)
 WHERE body IS DISTINCT FROM raw
   AND (lease_id IS NULL OR lease_id IN (SELECT lease_id FROM lease.leases))
"""
OPEN = ("scheduled", "due", "late")
_LEASES = "SELECT lease_id::text, status, balance, amount_paid, version FROM lease.leases"
_PAYMENTS = """
SELECT lease_id::text, payment_id::text, status, in_flight,
       principal + interest + fees + late_fees AS amount,
       paid_principal + paid_interest + paid_fees + paid_late_fees AS paid
  FROM payment.payments
"""
_HISTORY_GAPS = """
SELECT lease_id, version FROM lease.leases JOIN lease.history AS h USING (lease_id, version)
 WHERE version <> (SELECT count(*) FROM lease.history AS each WHERE each.lease_id = h.lease_id)
 UNION ALL
SELECT lease_id, version FROM lease.leases LEFT JOIN lease.history AS h USING (lease_id, version)
 WHERE h.lease_id IS NULL
"""
_ATTEMPTS = """
SELECT attempt_id::text, lease_id::text, payment_id::text, kind, status, amount, currency, gateway_reference,
       refunds::text, refunded
  FROM payment.attempts
"""


async def come_to_rest(system: System, within_s: float = 60.0) -> None:
    """Wait until nothing is under way any more: outboxes and queues empty, every command with its outcome."""

    async def at_rest() -> bool:
        try:
            left.clear()
            left.update((await system.rows(_AT_REST))[0])
            left.update(await system.depths(*WORK_QUEUES))
        except Exception as error:  # a server that is just coming back
            left["error"] = repr(error)
        return not any(left.values())

    left: dict[str, object] = {}
    try:
        await eventually(at_rest, "everything comes to rest", within_s)
    except AssertionError:
        raise AssertionError(f"still under way after {within_s} s: {left}") from None


async def check(system: System, client: Client) -> None:
    """Wait until the system is at rest, then hold all its books against each other."""
    await come_to_rest(system)
    dead = await system.depths(*(f"{queue}.dead" for queue in WORK_QUEUES))
    assert not any(dead.values()), dead
    folded = await _check_ledger(system, client)
    await _check_projections(system, folded)
    await _check_gateway(system, client, folded)
    await check_books(system, client, folded)
    for lease_id in list(folded)[:: max(1, len(folded) // 10)]:
        await _check_over_http(client, lease_id, folded[lease_id])


async def _check_ledger(system: System, client: Client) -> dict[str, Folded]:
    """Every seal verifies, sequences are gapless, and the events are byte for byte those told."""
    entries = await system.rows("SELECT seq, lease_id::text, raw, leaf_hash FROM ledger.entries ORDER BY seq")
    assert [entry["seq"] for entry in entries] == list(range(1, len(entries) + 1))
    assert all(leaf(entry["raw"]) == entry["leaf_hash"] for entry in entries)
    figures = (await client.ledger.get("/api/v1/audit/metrics")).json
    assert figures["last_seq"] == figures["tree_size"] == len(entries)
    assert figures["root_hash"] == root([entry["leaf_hash"] for entry in entries]).hex()
    vkey = (await client.ledger.get("/api/v1/audit/public-key")).body.decode().splitlines()[0]
    sealed = opened((await client.ledger.get("/api/v1/audit/checkpoint")).body.decode(), vkey)
    assert sealed[1] == str(len(entries))
    assert b64decode(sealed[2]).hex() == figures["root_hash"]
    assert await system.rows(_DIFFERENT_BYTES) == []
    ours = {row[0] for row in await system.rows("SELECT lease_id::text FROM lease.leases")}
    events: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for entry in entries:
        if entry["lease_id"] in ours:  # a test may have told the ledger of a lease nobody made
            events[entry["lease_id"]].append(msgspec.json.decode(entry["raw"]))
    assert events.keys() == ours
    folded = {lease_id: fold(theirs) for lease_id, theirs in events.items()}
    outstanding = sum(amounts["outstanding"] for amounts in figures["amounts"].values())
    assert outstanding == sum(each.balance for each in folded.values())
    kept = sum(amounts["collected"] - amounts["refunded"] for amounts in figures["amounts"].values())
    assert kept == sum(each.collected for each in folded.values())
    return folded


async def _check_projections(system: System, folded: dict[str, Folded]) -> None:
    """The projections of both services are what the ledger's events add up to."""
    for lease in await system.rows(_LEASES):
        state = folded[lease["lease_id"]]
        projected = (lease["status"], lease["balance"], lease["amount_paid"])
        assert projected == (state.status, state.balance, state.collected), lease
        assert (state.balance == 0) == (state.status in ("paid_off", "cancelled", "charged_off")), lease
        assert state.status != "cancelled" or state.collected == 0, lease
    payments = await system.rows(_PAYMENTS)
    assert len(payments) == sum(len(state.instalments) for state in folded.values())
    for payment in payments:
        told = folded[payment["lease_id"]].instalments[payment["payment_id"]]
        projected = (_told(payment["status"]), payment["paid"], payment["amount"])
        assert projected == (told.status, told.paid, told.amount), payment
        assert payment["in_flight"] is None, payment
    for attempt in await system.rows(_ATTEMPTS):
        assert folded[attempt["lease_id"]].ends[attempt["attempt_id"]] == attempt["status"], attempt
    assert not any(state.unsettled for state in folded.values())
    assert await system.rows(_HISTORY_GAPS) == []


async def _check_gateway(system: System, client: Client, folded: dict[str, Folded]) -> None:
    """The gateway has one charge or refund for each attempt that got there; the money is the ledger's.

    Refunds that a test has asked for behind the service's back are in the gateway's books only.
    """
    attempts = {attempt["attempt_id"]: attempt for attempt in await system.rows(_ATTEMPTS)}
    leases = sorted({attempt["lease_id"] for attempt in attempts.values()})

    async def record(lease_id: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        return await client.charges(lease_id=lease_id), await client.refunds(lease_id=lease_id)

    lists = await on_lanes(20, [lambda lease_id=lease_id: record(lease_id) for lease_id in leases])  # type: ignore[misc]
    charges = [charge for theirs, _ in lists for charge in theirs]
    refunds, elsewhere = [], Counter[str]()
    for refund in (refund for _, theirs in lists for refund in theirs):
        if refund["idempotency_key"].startswith(ELSEWHERE):
            elsewhere[refund["charge_id"]] += refund["amount"]
        else:
            refunds.append(refund)
    there = {key for key, attempt in attempts.items() if attempt["status"] in ("succeeded", "declined")}
    free = {key for key, attempt in attempts.items() if attempt["amount"] == 0}
    refunding = {key for key, attempt in attempts.items() if attempt["kind"] == "refund"}
    charging = {key for key, attempt in attempts.items() if attempt["kind"] in ("instalment", "payoff")}
    assert Counter(charge["idempotency_key"] for charge in charges) == Counter(there & charging - free)
    assert Counter(refund["idempotency_key"] for refund in refunds) == Counter(there & refunding)
    kept: Counter[str] = Counter()
    for moved in (*charges, *refunds):
        attempt = attempts[moved["idempotency_key"]]
        reference = moved["refund_id"] if "refund_id" in moved else moved["charge_id"]
        assert (moved["status"], reference) == (attempt["status"], attempt["gateway_reference"])
        assert (moved["amount"], moved["currency"]) == (attempt["amount"], attempt["currency"])
        assert moved["metadata"]["payment_id"] == attempt["payment_id"]
        if moved["status"] == "succeeded":
            kept[attempt["lease_id"]] += -moved["amount"] if "refund_id" in moved else moved["amount"]
    taken_back: Counter[tuple[str, str]] = Counter()
    for attempt in attempts.values():
        if attempt["refunds"] and attempt["status"] == "succeeded":
            taken_back[attempt["refunds"], attempt["kind"]] += attempt["amount"]
            if attempt["kind"] == "chargeback":  # no movement of its own in the gateway's record
                kept[attempt["lease_id"]] -= attempt["amount"]
    for key, attempt in attempts.items():
        both = taken_back[key, "refund"] + taken_back[key, "chargeback"]
        assert attempt["refunded"] == both <= attempt["amount"], attempt
    for charge in charges:
        ours = charge["amount_refunded"] - elsewhere[charge["charge_id"]]
        assert ours == taken_back[charge["idempotency_key"], "refund"], charge
        if charge["disputed"]:  # else a test has told of the chargeback in the gateway's place
            assert charge["disputed"] == taken_back[charge["idempotency_key"], "chargeback"], charge
    for lease_id, state in folded.items():
        assert kept[lease_id] == state.collected, lease_id


async def _check_over_http(client: Client, lease_id: str, state: Folded) -> None:
    """What the three services show of a lease is the same."""
    await check_journal(client, lease_id, state)
    lease = (await client.leases.get(f"/api/v1/leases/{lease_id}")).json
    assert (lease["status"], lease["balance"]) == (state.status, state.balance)
    payments = (await client.payments.get(f"/api/v1/leases/{lease_id}/payments")).json["items"]
    shown = {each["payment_id"]: (_told(each["status"]), each["amount_paid"]) for each in payments}
    assert shown == {key: (each.status, each.paid) for key, each in state.instalments.items()}
    trail = (await client.ledger.get(f"/api/v1/audit/leases/{lease_id}?limit=200")).json["items"]
    assert len(trail) == sum(state.last.values())
    point = {"seq": trail[-1]["seq"]}
    url = f"/api/v1/audit/leases/{lease_id}/state-at-point"
    rebuilt = (await client.ledger.post(url, point)).json["state"]
    assert (rebuilt["status"], rebuilt["balance"]) == (state.status, state.balance)
    told = {each["payment_id"]: (_told(each["status"]), each["amount_paid"]) for each in rebuilt["payments"]}
    asked = {each["payment_id"]: each["amount"] for each in rebuilt["payments"]}
    assert (told, asked) == (shown, {key: each.amount for key, each in state.instalments.items()})


def _told(status: str) -> str:
    """A payment's status as far as events tell of it: nobody tells that a day has come."""
    return "open" if status in OPEN else status


async def check_creations(system: System, sent: list[Sent]) -> None:
    """Each creation that was confirmed made one lease, each unknown one at most one, a refused one none."""
    made = await system.rows("SELECT customer_id, count(*) AS times FROM lease.leases GROUP BY customer_id")
    times = {row["customer_id"]: row["times"] for row in made}
    for command in sent:
        allowed = {Fate.OK: {1}, Fate.REJECTED: {0}, Fate.UNKNOWN: {0, 1}}[command.fate]
        assert times.get(command.body["customer_id"], 0) in allowed, command


async def check_attempts(system: System, sent: list[Sent]) -> None:
    """Each attempt that was answered was made once, each unknown one at most once.

    Every payment is to have had one command only.
    """
    query = "SELECT payment_id::text, count(*) AS times FROM payment.attempts"
    query += " WHERE kind = 'instalment' GROUP BY payment_id"
    made = await system.rows(query)
    times = {row["payment_id"]: row["times"] for row in made}
    for command in sent:
        allowed = {0, 1} if command.fate is Fate.UNKNOWN else {1}
        assert times.get(command.path.split("/")[4], 0) in allowed, command
