"""The ledger over HTTP: what an auditor is told of a lease, and can check without trusting anybody."""

import asyncio
import base64
import csv
import hashlib
import io
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.builders.lease_terms import days_ago, terms
from tests.support.oracles.accounting import balances
from tests.support.oracles.merkle import leaf, root
from tests.support.oracles.signed_note import opened
from tests.support.system.client import Answer, Client
from tests.support.system.system import System
from tests.support.waiting import eventually


@pytest.fixture
async def lived(client: Client) -> dict[str, Any]:
    """A lease with a life: paid in part, declined, gateway down, paid off. The ledger has all of it."""
    lease, answer = await client.create(terms(start_date=days_ago(40)))
    url = f"/api/v1/leases/{lease['lease_id']}"
    await client.payments.get(f"{url}/payments", **answer.token)
    first = lease["schedule"][0]["payment_id"]
    await client.attempt(first, amount=500)
    await client.attempt(first, "pm_card_expired")
    await client.attempt(first, "pm_gateway_down")
    paid_off = await client.payments.post(f"{url}/payoff", {"payment_method": "pm_card_ok"})
    assert paid_off.status == 201
    read = await client.leases.get(url, **paid_off.token)
    assert read.json["status"] == "paid_off"

    async def closed() -> bool:
        trail = (await client.ledger.get(f"/api/v1/audit/leases/{lease['lease_id']}?limit=200")).json
        return any(entry["type"] == "lease.paid_off" for entry in trail.get("items", []))

    await eventually(closed, "the ledger has the lease's end")
    found: dict[str, Any] = read.json
    return found


TOLD = [
    "lease.created",
    "payment.attempt_started",
    "payment.succeeded",
    "payment.attempt_started",
    "payment.declined",
    "payment.attempt_started",
    "payment.failed",
    "payment.attempt_started",
    "payoff.succeeded",
    "lease.paid_off",
]


async def _trail(client: Client, lease_id: str, query: str = "limit=200") -> list[dict[str, Any]]:
    answer = await client.ledger.get(f"/api/v1/audit/leases/{lease_id}?{query}")
    assert answer.status == 200
    items: list[dict[str, Any]] = answer.json["items"]
    return items


async def test_trail(client: Client, lived: dict[str, Any]) -> None:
    """The trail has every event once, in order, gapless for each source, in pages; each can be read alone."""
    path = f"/api/v1/audit/leases/{lived['lease_id']}"
    entries: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = (await client.ledger.get(f"{path}?limit=3{cursor}")).json
        assert page["lease_id"] == lived["lease_id"]
        entries += page["items"]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert [entry["type"] for entry in entries] == TOLD
    assert [entry["seq"] for entry in entries] == sorted({entry["seq"] for entry in entries})
    for source in ("/lease-svc", "/payment-svc"):
        sequences = [entry["sequence"] for entry in entries if entry["source"] == source]
        assert sequences == list(range(1, len(sequences) + 1))
    for entry in entries:
        assert entry["occurred_at"] <= entry["recorded_at"]
        assert (await client.ledger.get(f"/api/v1/audit/events/{entry['event_id']}")).json == entry
    assert entries[0]["data"]["schedule"] == lived["schedule"]
    assert entries == await _trail(client, lived["lease_id"])


async def test_whole_ledger_is_gapless(client: Client, lived: dict[str, Any]) -> None:
    """Page after page, the whole ledger counts 1, 2, 3 …, and every leaf hash is that of the raw bytes."""
    seqs: list[int] = []
    leaves: list[bytes] = []
    while True:
        path = f"/api/v1/audit/events?limit=200&raw=true&after_seq={len(seqs)}"
        page = (await client.ledger.get(path)).json
        for entry in page["items"]:
            seqs.append(entry["seq"])
            leaves.append(leaf(base64.b64decode(entry["raw"])))
            assert leaves[-1].hex() == entry["leaf_hash"]
        if page["next_cursor"] is None:
            break
    assert seqs == list(range(1, len(seqs) + 1))
    figures = (await client.ledger.get("/api/v1/audit/metrics")).json
    assert figures["last_seq"] == figures["tree_size"] == len(seqs)
    assert figures["root_hash"] == root(leaves).hex()
    path = "/api/v1/audit/events?type=lease.paid_off&limit=200"
    filtered = (await client.ledger.get(path)).json["items"]
    assert {entry["type"] for entry in filtered} == {"lease.paid_off"}
    assert lived["lease_id"] in [entry["data"]["lease_id"] for entry in filtered]


async def test_timeline(client: Client, lived: dict[str, Any]) -> None:
    """The timeline tells each event in words, with the balance after it."""
    items = (await client.ledger.get(f"/api/v1/audit/leases/{lived['lease_id']}/timeline")).json["items"]
    assert [item["type"] for item in items] == TOLD
    assert all(item["title"] and item["summary"] for item in items)
    total = lived["total_payable"]
    balances = [item["balance_after"] for item in items]
    assert balances == [total, total, *[total - 500] * 6, 0, 0]
    assert items[2]["amount"] == 500


async def test_state_at_every_point(client: Client, lived: dict[str, Any]) -> None:
    """The state after each entry is the same by seq and by time, and 404 before the first."""
    url = f"/api/v1/audit/leases/{lived['lease_id']}/state-at-point"
    entries = await _trail(client, lived["lease_id"])
    total, first = lived["total_payable"], lived["schedule"][0]
    expected = [("scheduled", 0), ("processing", 0), ("scheduled", 500)]
    expected += [("processing", 500), ("scheduled", 500)] * 2 + [("scheduled", 500)]
    for applied, (entry, (status, paid)) in enumerate(zip(entries, expected, strict=False), start=1):
        state = await client.ledger.post(url, {"seq": entry["seq"]})
        assert (state.json["seq"], state.json["events_applied"]) == (entry["seq"], applied)
        shown = state.json["state"]
        assert (shown["status"], shown["balance"], shown["amount_paid"]) == ("active", total - paid, paid)
        payment = shown["payments"][0]
        assert (payment["payment_id"], payment["amount"]) == (first["payment_id"], first["amount"])
        assert (payment["status"], payment["amount_paid"]) == (status, paid)
        for basis, time in (("occurred", "occurred_at"), ("recorded", "recorded_at")):
            by_time = (await client.ledger.post(url, {"as_of": entry[time], "basis": basis})).json
            # What was recorded together, or told at the same moment, counts together.
            assert by_time["events_applied"] >= applied
            if by_time["events_applied"] == applied:
                assert by_time["state"] == shown
                assert (by_time["as_of"], by_time["basis"]) == (entry[time], basis)
    end = (await client.ledger.post(url, {"seq": entries[-1]["seq"]})).json["state"]
    assert (end["status"], end["balance"], end["amount_paid"]) == ("paid_off", 0, lived["amount_paid"])
    listed = (await client.payments.get(f"/api/v1/leases/{lived['lease_id']}/payments")).json["items"]
    assert [(p["status"], p["amount_paid"]) for p in end["payments"]] == [
        (p["status"], p["amount_paid"]) for p in listed
    ]
    for before in ({"seq": entries[0]["seq"] - 1}, {"as_of": "2000-01-01T00:00:00Z"}):
        assert (await client.ledger.post(url, before)).status == 404


async def test_export_holds_the_exact_bytes(client: Client, lived: dict[str, Any]) -> None:
    """In JSON and NDJSON alike: the leaf hashes verify, and the bytes are the events told."""
    url = f"/api/v1/audit/leases/{lived['lease_id']}/export"
    as_json = await client.ledger.get(f"{url}?format=json")
    whole = as_json.json
    as_lines = await client.ledger.get(f"{url}?format=ndjson")
    head, *rows, tail = [msgspec.json.decode(line) for line in as_lines.body.splitlines()]
    for answer, form in ((as_json, "json"), (as_lines, "ndjson")):
        name = f'filename="lease-{lived["lease_id"]}.{form}"'
        assert answer.headers["Content-Disposition"] == f"attachment; {name}"
    assert rows == whole["entries"]
    assert tail["count"] == whole["count"] == len(rows)
    assert head["lease_id"] == whole["lease_id"] == lived["lease_id"]
    for row, entry in zip(rows, await _trail(client, lived["lease_id"], "limit=200&raw=true"), strict=True):
        raw = base64.b64decode(row["raw"])
        assert hashlib.sha256(b"\x00" + raw).hexdigest() == row["leaf_hash"] == entry["leaf_hash"]
        event = msgspec.json.decode(raw)
        assert event == row["event"]
        assert (event["id"], event["subject"]) == (entry["event_id"], lived["lease_id"])
        assert (event["data"], row["raw"]) == (entry["data"], entry["raw"])


async def test_exports_verify_offline(client: Client, lived: dict[str, Any], tmp_path: Path) -> None:
    """`python -m ledger_svc verify` has files and the public key alone: it finds the truth, and a lie."""

    async def keep(name: str, path: str) -> bytes:
        body = (await client.ledger.get(f"/api/v1/audit/{path}")).body
        (tmp_path / name).write_bytes(body)
        return body

    await keep("key", "public-key")
    first = (await keep("earlier", "checkpoint")).split(b"\n")[1].decode()
    _, later = await client.create(terms())
    await client.ledger.get("/api/v1/audit/metrics", **later.token)
    exported = await keep("lease.json", f"leases/{lived['lease_id']}/export")
    second = msgspec.json.decode(exported)["tree_size"]
    await keep("proof", f"proofs/consistency?first={first}&second={second}")
    history = ("--against", "earlier", "--consistency", "proof")
    code, lease = await verify(tmp_path, "lease.json", *history)
    assert (code, lease["problems"]) == (0, [])
    assert (lease["lease"]["status"], lease["lease"]["balance"]) == ("paid_off", 0)
    assert lease["lease"]["amount_paid"] == lived["amount_paid"]
    await keep("ledger.ndjson", "export?format=ndjson")
    code, ledger = await verify(tmp_path, "ledger.ndjson", "--against", "earlier")
    assert (code, ledger["problems"]) == (0, [])
    assert int(first) < second <= ledger["entries"] == ledger["tree_size"]
    (tmp_path / "forged.json").write_bytes(exported.replace(b'"amount":500', b'"amount":600'))
    code, forged = await verify(tmp_path, "forged.json")
    assert (code, {each["check"] for each in forged["problems"]}) == (1, {"shown"})


async def verify(folder: Path, *arguments: str) -> tuple[int | None, dict[str, Any]]:
    """Exit code and report of the offline verifier, given the key in that folder."""
    paths = [each if each.startswith("--") else str(folder / each) for each in arguments]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ledger_svc", "verify", "--json", "--key", str(folder / "key"), *paths),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    return process.returncode, msgspec.json.decode(out)


async def test_export_for_spreadsheets(client: Client, lived: dict[str, Any]) -> None:
    """CSV has a row for each entry, with the same hashes."""
    answer = await client.ledger.get(f"/api/v1/audit/leases/{lived['lease_id']}/export?format=csv")
    assert answer.headers["Content-Type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.body.decode(), newline="")))
    entries = await _trail(client, lived["lease_id"])
    assert [(row["seq"], row["type"], row["leaf_hash"]) for row in rows] == [
        (str(entry["seq"]), entry["type"], entry["leaf_hash"]) for entry in entries
    ]
    assert [msgspec.json.decode(row["data"]) for row in rows] == [entry["data"] for entry in entries]


async def test_metrics_move_with_what_happens(client: Client, system: System) -> None:
    """One lease, one payment and one decline move the figures by exactly that, in their own currency."""
    before = (await client.ledger.get("/api/v1/audit/metrics")).json
    lease, created = await client.create(terms(currency="KWD"))
    await client.payments.get(f"/api/v1/leases/{lease['lease_id']}/payments", **created.token)
    payment_id = lease["schedule"][0]["payment_id"]
    await client.attempt(payment_id, "pm_card_lost")
    paid = await client.attempt(payment_id, amount=700)
    after = (await client.ledger.get("/api/v1/audit/metrics", **paid.token)).json
    assert after["leases_total"] == before["leases_total"] + 1
    assert after["events_total"] == before["events_total"] + 5 == after["last_seq"]
    for outcome, more in (("succeeded", 1), ("declined", 1), ("unknown", 0)):
        assert after["payments"][outcome] == before["payments"][outcome] + more
    names = ("billed", "collected", "refunded", "outstanding", "no_longer_owed")
    kept = before["amounts"].get("KWD", dict.fromkeys(names, 0))
    assert after["amounts"]["KWD"] == {
        "billed": kept["billed"] + lease["balance"],
        "collected": kept["collected"] + 700,
        "refunded": 0,
        "outstanding": kept["outstanding"] + lease["balance"] - 700,
        "no_longer_owed": kept["no_longer_owed"],
    }
    sums = after["payments"]
    rate = sums["succeeded"] / (sums["succeeded"] + sums["declined"])
    assert sums["success_rate"] == pytest.approx(rate, abs=1e-6)
    by_type = await system.rows("SELECT type, count(*) FROM ledger.entries GROUP BY type")
    assert after["events_by_type"] == dict(by_type)
    assert 0 <= after["ingest_lag_ms"] < 10_000


async def test_double_entry(client: Client) -> None:
    """A life with refunds, in a currency of its own: paid in part, paid off, given back, and charged off."""
    fees = [{"code": "origination", "amount": 2500}]
    lease, answer = await client.create(terms(start_date=days_ago(40), currency="CHF", fees=fees))
    url = f"/api/v1/leases/{lease['lease_id']}"
    await client.payments.get(f"{url}/payments", **answer.token)
    part = await client.attempt(lease["schedule"][0]["payment_id"], amount=2600)
    payoff = await client.payments.post(f"{url}/payoff", {"payment_method": "pm_card_ok"})
    assert payoff.status == 201

    async def chf(answer: Answer) -> dict[str, int]:
        found = await client.ledger.get("/api/v1/audit/trial-balance", **answer.token)
        return {
            account: balance
            for account, balance in balances(found.json["balances"]["CHF"]).items()
            if balance
        }

    cash = 2600 + payoff.json["amount"]
    assert await chf(payoff) == {
        "cash": cash,
        "funding": -60000,
        "income:fees": -2500,
        "income:interest": -(cash - 60000 - 2500),
    }
    assert (await client.refund(payoff.json["attempt_id"])).status == 201
    refund = await client.refund(part.json["attempt_id"], 300)
    assert await chf(refund) == {  # the interest of 100 and 200 of the fees
        "cash": 2300,
        "receivable:principal": 60000,
        "receivable:fees": 200,
        "funding": -60000,
        "income:fees": -2500,
    }
    await client.leases.get(url, **refund.token)
    closed = await client.leases.post(f"{url}/charge-off", {"reason": "insolvent"})
    assert closed.status == 200
    assert await chf(closed) == {
        "cash": 2300,
        "funding": -60000,
        "income:fees": -2500,
        "loss:charge_off": 60200,
    }


async def test_the_key_is_rotated(client: Client, system: System, lived: dict[str, Any]) -> None:
    """With a new key the ledger goes on from the same tree; the old checkpoint verifies with the old key."""
    audit = "/api/v1/audit"
    [old_key] = (await client.ledger.get(f"{audit}/public-key")).body.decode().splitlines()
    old = (await client.ledger.get(f"{audit}/checkpoint")).body.decode()
    await asyncio.to_thread(system.stack.rotate_ledger_key)
    _, created = await client.create(terms())
    new_key, kept = (await client.ledger.get(f"{audit}/public-key")).body.decode().splitlines()
    assert kept == old_key != new_key
    new = (await client.ledger.get(f"{audit}/checkpoint", **created.token)).body.decode()
    (origin, first, first_root), (same, second, second_root) = opened(old, old_key), opened(new, new_key)
    assert origin == same == old_key.split("+")[0]
    assert int(first) < int(second)
    again = await client.ledger.get(f"{audit}/checkpoint?size={first}")
    assert again.body.decode() == old
    proof = await client.ledger.get(f"{audit}/proofs/consistency?first={first}&second={second}")
    for field, told in (("first_root", first_root), ("second_root", second_root)):
        assert bytes.fromhex(proof.json[field]) == base64.b64decode(told)


async def test_reads_at_once(client: Client, lived: dict[str, Any]) -> None:
    """Many exports and timelines at once give what one gives."""
    urls = [f"/api/v1/audit/leases/{lived['lease_id']}/{what}" for what in ("timeline", "export?format=csv")]
    answers = await asyncio.gather(*(client.ledger.get(url) for url in urls * 20))
    assert len({answer.body for answer in answers}) == 2
