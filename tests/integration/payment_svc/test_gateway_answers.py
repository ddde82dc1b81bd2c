"""With workers behind them, what the fronts answer is what their documents say, in every operation."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

import lease_svc.bootstrap
import ledger_svc.bootstrap
import payment_svc.bootstrap
from common.kernel.clock import utcnow
from common.kernel.ids import uuid7
from common.runtime.settings import Settings
from common.web import pagination, read_your_writes
from common.web.openapi import document
from common.web.problems import types
from gateway_sandbox.app import serving
from tests.support.builders import webhooks
from tests.support.builders.bad_values import NEW_LEASE
from tests.support.openapi import Document
from tests.support.servers.apis import LEDGER_KEY, ROUTES, WEBHOOK_SECRET, Answer, Fronts
from tests.support.servers.servers import Servers

pytestmark = pytest.mark.asyncio(loop_scope="session")

DOCUMENTS = {service: Document(json.loads(document(service, routes))) for service, routes in ROUTES.items()}


class Checked:
    """A client that holds every answer against the document, and remembers which operations have answered."""

    def __init__(self, fronts: Fronts) -> None:
        self.fronts = fronts
        self.seen: set[tuple[str, str, str, int]] = set()

    async def ask(self, service: str, method: str, target: str, body: Any = None, **headers: str) -> Answer:
        answer = await self.fronts.ask(service, method, target, body, **headers)
        path = target.partition("?")[0]
        media_type = answer.headers["content-type"].split(";")[0]
        its = DOCUMENTS[service]
        if "/export" in path:
            assert answer.status == 200
        elif media_type == "text/plain":
            its.check_answer(method, path, answer.status, media_type, answer.body.decode())
        else:
            its.check_answer(method, path, answer.status, media_type, answer.json)
        self.seen.add((service, method, its.template(path), answer.status))
        if answer.status >= 400:
            kind = types.BY_NAME[answer.json["type"].removeprefix("/problems/")]
            assert (answer.json["title"], answer.status) == (kind.title, kind.status)
        if "command-id" in answer.headers and "/webhooks/" not in path:  # those are only told "received"
            assert ("consistency-token" in answer.headers) or answer.json.get("status") == "pending"
        return answer


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def checked(servers: Servers, fronts: Fronts, tmp_path_factory: Any) -> AsyncIterator[Checked]:
    """A client, while the workers of all services and the sandbox gateway run in this process."""
    book: Path = tmp_path_factory.mktemp("gateway") / "gateway.db"
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(serving("127.0.0.1", 0, str(book), (0, 0)))
        for role, run in (
            ("lease_svc", lease_svc.bootstrap.worker),
            ("payment_svc", payment_svc.bootstrap.worker),
            ("ledger_writer", ledger_svc.bootstrap.writer),
        ):
            settings = Settings(
                amqp_url=servers.amqp_url,
                database_url=servers.dsn(role),
                gateway_url=gateway,
                gateway_timeout_s=0.5,
                collections_at="never",
                ledger_key=LEDGER_KEY.secret(),
            )
            await stack.enter_async_context(run(settings))
        yield Checked(fronts)


async def new_lease(checked: Checked, **changes: Any) -> tuple[dict[str, Any], str]:
    """A lease that all three services know of, and the token that says so."""
    answer = await checked.ask("lease", "POST", "/api/v1/leases", NEW_LEASE | changes, Prefer="wait=25")
    assert answer.status == 201, answer
    token = answer.headers["consistency-token"]
    lease_id = answer.json["lease_id"]
    for service, path in (
        ("payment", f"/api/v1/leases/{lease_id}/payments"),
        ("ledger", f"/api/v1/audit/leases/{lease_id}"),
    ):
        caught_up = await checked.ask(service, "GET", path, Consistency_Token=token, Prefer="wait=25")
        assert caught_up.status == 200, caught_up
    return answer.json, token


async def test_a_lease_and_its_payments(checked: Checked) -> None:
    """Create, read, pay with every outcome, pay off, look back: each answer fits its document."""
    lease, token = await new_lease(checked)
    lease_id, first = lease["lease_id"], lease["schedule"][0]["payment_id"]
    second = lease["schedule"][1]["payment_id"]
    assert (
        await checked.ask("lease", "GET", f"/api/v1/leases/{lease_id}", Consistency_Token=token)
    ).json == lease
    for query in ("", "?limit=1", "?customer_id=cus-42", "?status=active&limit=200"):
        assert (await checked.ask("lease", "GET", f"/api/v1/leases{query}")).json["items"]

    attempt = f"/api/v1/payments/{first}/attempt"
    paid = await checked.ask("payment", "POST", attempt, {"payment_method": "pm_card_ok", "amount": 100})
    assert paid.status == 201
    declined = await checked.ask("payment", "POST", attempt, {"payment_method": "pm_card_lost"})
    assert (declined.status, declined.json["decline"]["class"]) == (402, "hard")
    failed = await checked.ask("payment", "POST", attempt, {"payment_method": "pm_gateway_down"})
    assert (failed.status, failed.headers["retry-after"]) == (502, "1")
    too_much = await checked.ask(
        "payment", "POST", attempt, {"payment_method": "pm_card_ok", "amount": 10**9}
    )
    assert "/amount" in too_much.problem(422).pointers
    assert (await checked.ask("payment", "POST", attempt, {"payment_method": "pm_card_ok"})).status == 201
    assert (await checked.ask("payment", "POST", attempt, {"payment_method": "pm_card_ok"})).status == 409
    other = f"/api/v1/payments/{second}/attempt"
    unknown = await checked.ask("payment", "POST", other, {"payment_method": "pm_timeout_then_ok"})
    assert (unknown.status, unknown.json["status"]) == (202, "unknown")

    for path in (
        f"/api/v1/payments/{first}",
        f"/api/v1/payments/{first}/attempts",
        f"/api/v1/payments/{second}",
    ):
        assert (await checked.ask("payment", "GET", path)).status == 200
    for attempt_id in (paid.json["attempt_id"], declined.json["attempt_id"], unknown.json["attempt_id"]):
        assert (await checked.ask("payment", "GET", f"/api/v1/attempts/{attempt_id}")).status == 200

    refund = f"/api/v1/attempts/{paid.json['attempt_id']}/refund"
    back = await checked.ask("payment", "POST", refund, {"amount": 40, "reason": "returned"})
    assert (back.status, back.json["kind"], back.json["payment"]["amount_due"]) == (201, "refund", 40)
    too_much = await checked.ask("payment", "POST", refund, {"amount": 61, "reason": "returned"})
    assert "/amount" in too_much.problem(422).pointers
    rest = await checked.ask("payment", "POST", refund, {"reason": "returned"})
    assert (rest.status, rest.json["amount"]) == (201, 60)
    assert (await checked.ask("payment", "POST", refund, {"reason": "returned"})).status == 409
    refund = f"/api/v1/attempts/{declined.json['attempt_id']}/refund"
    assert (await checked.ask("payment", "POST", refund, {"reason": "returned"})).status == 409
    refund = "/api/v1/attempts/01890a5d-ac96-774b-8bce-b302099a8057/refund"
    assert (await checked.ask("payment", "POST", refund, {"reason": "returned"})).status == 404
    assert (await checked.ask("payment", "GET", f"/api/v1/attempts/{back.json['attempt_id']}")).status == 200

    reference = paid.json["gateway_reference"]
    for notice, status in (
        (webhooks.event("customer.created", {}), 200),
        (webhooks.disputed(reference, 1), 200),  # nothing is left of it: an operator's
        (webhooks.disputed("ch_nobodys", 1), 503),
        (webhooks.disputed("ch_nobodys", 1, age_s=90_000), 200),
        (webhooks.settled(paid.json, reference), 200),
        (b"[]", 400),
    ):
        signed = webhooks.signature(notice, WEBHOOK_SECRET)
        told = await checked.ask("payment", "POST", webhooks.PATH, notice, Stripe_Signature=signed)
        assert told.status == status
        assert (await checked.ask("payment", "POST", webhooks.PATH, notice)).status == 401

    closed, _ = await new_lease(checked)
    payoff = f"/api/v1/leases/{closed['lease_id']}/payoff"
    body = {"payment_method": "pm_card_ok"}
    refused = await checked.ask("payment", "POST", payoff, body)  # it starts on a later day
    assert refused.status in (201, 422)
    started, _ = await new_lease(checked, start_date="2026-11-01", first_due_date="2026-12-01")
    payoff = f"/api/v1/leases/{started['lease_id']}/payoff"
    assert (await checked.ask("payment", "POST", payoff, {"payment_method": "pm_card_expired"})).status == 402
    done = await checked.ask("payment", "POST", payoff, body)
    assert (done.status, done.json["kind"]) == (201, "payoff")
    assert (await checked.ask("payment", "POST", payoff, body)).status == 409
    token = done.headers["consistency-token"]
    seen = await checked.ask(
        "lease", "GET", f"/api/v1/leases/{started['lease_id']}", Consistency_Token=token, Prefer="wait=25"
    )
    assert (seen.json["status"], seen.json["balance"]) == ("paid_off", 0)
    history = await checked.ask("lease", "GET", f"/api/v1/leases/{started['lease_id']}/history")
    assert [item["version"] for item in history.json["items"]] == [1, 2, 3]


async def test_autopay(checked: Checked) -> None:
    """Taken up with another method; refused where none is named, the field is wrong, or nothing is left."""
    started = {"start_date": "2026-11-01", "first_due_date": "2026-12-01", "autopay": True, "term": 1}
    lease, _ = await new_lease(checked, **started, payment_method="pm_card_lost")
    path = f"/api/v1/leases/{lease['lease_id']}/autopay"
    payment = f"/api/v1/payments/{lease['schedule'][0]['payment_id']}"
    lost = await checked.ask("payment", "POST", f"{payment}/attempt", {"payment_method": "pm_card_lost"})
    stopped = (await checked.ask("payment", "GET", payment)).json["autopay_stopped"]
    assert (stopped["reason"], stopped["attempt_id"]) == ("hard_decline", lost.json["attempt_id"])
    all_of_it = await checked.ask("payment", "GET", f"/api/v1/leases/{lease['lease_id']}/payments")
    assert (all_of_it.json["autopay"], all_of_it.json["autopay_stopped"]) == (True, stopped)
    shown = {"lease_id": lease["lease_id"], "autopay": True, "payment_method": "pm_card_lost"}
    seen = await checked.ask(
        "lease", "GET", f"/api/v1/leases/{lease['lease_id']}",
        Consistency_Token=lost.headers["consistency-token"], Prefer="wait=25",
    )  # fmt: skip
    assert {name: seen.json[name] for name in (*shown, "autopay_stopped")} == shown | {
        "autopay_stopped": stopped
    }
    for body, pointers in (
        ({}, {"/autopay"}),
        ({"autopay": "yes"}, {"/autopay"}),
        ({"autopay": True, "payment_method": "no token!"}, {"/payment_method"}),
        ({"autopay": True}, {"/payment_method"}),
        ({"autopay": True, "method": "pm_card_ok"}, {"/method"}),
    ):
        assert (await checked.ask("payment", "POST", path, body)).problem(422).pointers == pointers
    body, key = {"autopay": True, "payment_method": "pm_card_ok"}, uuid7()
    done = await checked.ask("payment", "POST", path, body, Idempotency_Key=key)
    assert done.status == 200
    assert done.json == shown | {"payment_method": "pm_card_ok", "autopay_stopped": None}
    again = await checked.ask("payment", "POST", path, body, Idempotency_Key=key)
    assert (again.body, again.headers["idempotency-replayed"]) == (done.body, "true")
    seen = await checked.ask(
        "lease", "GET", f"/api/v1/leases/{lease['lease_id']}",
        Consistency_Token=done.headers["consistency-token"], Prefer="wait=25",
    )  # fmt: skip
    assert {name: seen.json[name] for name in done.json} == done.json
    listed = await checked.ask("lease", "GET", f"/api/v1/leases?customer_id={lease['customer_id']}")
    assert lease["lease_id"] in {each["lease_id"] for each in listed.json["items"]}
    history = await checked.ask("lease", "GET", f"/api/v1/leases/{lease['lease_id']}/history")
    changes = [item for item in history.json["items"] if item["type"] == "lease.autopay_changed"]
    assert [item["data"]["reason"] for item in changes] == ["hard_decline", "requested"]
    unknown = "/api/v1/leases/01890a5d-ac96-774b-8bce-b302099a8057/autopay"
    assert (await checked.ask("payment", "POST", unknown, body)).problem(404)
    await checked.ask("payment", "POST", f"{payment}/attempt", {"payment_method": "pm_card_ok"})
    assert (await checked.ask("payment", "POST", path, body)).problem(409)


async def test_payoff_quotes(checked: Checked, monkeypatch: pytest.MonkeyPatch) -> None:
    """Estimate, quote, one whose day is over, one that is paid: each answer fits its document."""
    today = utcnow().date()
    lease, _ = await new_lease(checked, start_date="2026-11-01", first_due_date="2026-12-01")
    base = f"/api/v1/leases/{lease['lease_id']}"
    estimate = await checked.ask("payment", "GET", f"{base}/payoff-quote?as_of={today}")
    early = await checked.ask("payment", "GET", f"{base}/payoff-quote?as_of=2026-10-31")
    assert early.problem(422).pointers == {"/as_of"}
    asked = {"as_of": today.isoformat()}
    key = uuid7()
    quote = await checked.ask("payment", "POST", f"{base}/payoff-quotes", asked, Idempotency_Key=key)
    assert quote.status == 201
    assert {name: quote.json[name] for name in estimate.json} == estimate.json
    gone = await checked.ask("payment", "POST", f"{base}/payoff-quotes", {"as_of": "2026-11-02"})
    assert gone.problem(422).pointers == {"/as_of"}

    body = {"payment_method": "pm_card_ok", "quote_id": quote.json["quote_id"]}
    with monkeypatch.context() as later:
        for module in ("application.command_handlers", "entrypoints.http.payoff_routes"):
            later.setattr(f"payment_svc.{module}.utcnow", lambda: utcnow() + timedelta(days=1))
        again = await checked.ask("payment", "POST", f"{base}/payoff-quotes", asked, Idempotency_Key=key)
        assert (again.status, again.body) == (201, quote.body)  # a key's answer outlives the day
        expired = await checked.ask("payment", "POST", f"{base}/payoff", body)
        assert (expired.status, "has expired" in expired.json["detail"]) == (409, True)
    nobodys = body | {"quote_id": "01890a5d-ac96-774b-8bce-b302099a8057"}
    unknown = await checked.ask("payment", "POST", f"{base}/payoff", nobodys)
    assert unknown.problem(422).pointers == {"/quote_id"}
    paid = await checked.ask("payment", "POST", f"{base}/payoff", body)
    assert (paid.status, paid.json["amount"]) == (201, quote.json["amount"])
    for method, path, given in (
        ("POST", "payoff", body),
        ("POST", "payoff-quotes", asked),
        ("GET", "payoff-quote", None),
    ):
        assert (await checked.ask("payment", method, f"{base}/{path}", given)).status == 409


async def test_closing(checked: Checked) -> None:
    """Cancelled, charged off, refused: each answer fits its document, and every status is one to list by."""
    why = {"reason": "returned unused"}
    lease, _ = await new_lease(checked)
    url = f"/api/v1/leases/{lease['lease_id']}"
    cancelled = await checked.ask("lease", "POST", f"{url}/cancel", why)
    assert (cancelled.status, cancelled.json["status"]) == (200, "cancelled")
    assert (await checked.ask("lease", "POST", f"{url}/cancel", why)).status == 409
    assert (await checked.ask("lease", "POST", f"{url}/charge-off", why)).status == 409
    lease, _ = await new_lease(checked)
    url = f"/api/v1/leases/{lease['lease_id']}"
    charged_off = await checked.ask("lease", "POST", f"{url}/charge-off", why)
    assert (charged_off.status, charged_off.json["status"]) == (200, "charged_off")
    for status in ("active", "delinquent", "paid_off", "cancelled", "charged_off"):
        listed = await checked.ask("lease", "GET", f"/api/v1/leases?status={status}")
        assert {each["status"] for each in listed.json["items"]} <= {status}
    token = charged_off.headers["consistency-token"]
    for service, rest in (
        ("payment", f"{url}/payments"),
        ("ledger", f"/api/v1/audit{url.removeprefix('/api/v1')}/timeline"),
    ):
        seen = await checked.ask(service, "GET", rest, Consistency_Token=token, Prefer="wait=25")
        assert seen.status == 200
    attempt = f"/api/v1/payments/{lease['schedule'][0]['payment_id']}/attempt"
    body = {"payment_method": "pm_card_ok"}
    assert (await checked.ask("payment", "POST", attempt, body)).status == 409


async def test_commands(checked: Checked) -> None:
    """Pending, replayed, refused for its key, done: each answer fits its document."""
    key = uuid7()
    first = await checked.ask(
        "lease", "POST", "/api/v1/leases", NEW_LEASE, Idempotency_Key=key, Prefer="wait=25"
    )
    again = await checked.ask("lease", "POST", "/api/v1/leases", NEW_LEASE, Idempotency_Key=key)
    assert (again.status, again.body, again.headers["idempotency-replayed"]) == (201, first.body, "true")
    other = NEW_LEASE | {"term": 13}
    refused = await checked.ask("lease", "POST", "/api/v1/leases", other, Idempotency_Key=key)
    assert refused.status == 422
    pending = await checked.ask("lease", "POST", "/api/v1/leases", NEW_LEASE, Prefer="respond-async")
    status = await checked.ask("lease", "GET", pending.json["status_url"])
    assert status.json["status"] in ("pending", "succeeded")
    unmakable = NEW_LEASE | {"principal": 5, "annual_rate": "0"}
    rejected = await checked.ask("lease", "POST", "/api/v1/leases", unmakable, Prefer="wait=25")
    assert "/term" in rejected.problem(422).pointers
    done = await checked.ask("lease", "GET", rejected.json["instance"])
    assert (done.json["status"], done.json["http_status"], done.json["outcome"]) == (
        "rejected",
        422,
        rejected.json,
    )
    missing = await checked.ask(
        "payment",
        "POST",
        "/api/v1/payments/01890a5d-ac96-774b-8bce-b302099a8057/attempt",
        {"payment_method": "x"},
    )
    assert missing.status == 404
    looked_up = await checked.ask("payment", "GET", missing.json["instance"])
    assert (looked_up.json["http_status"], looked_up.json["outcome"]) == (404, missing.json)


async def test_rejections_have_a_token_that_every_service_takes(checked: Checked) -> None:
    """404, 409, 422 and a reused key: each outcome names its command and has a token, now and asked again."""
    lease, _ = await new_lease(checked)
    attempt = f"/api/v1/payments/{lease['schedule'][0]['payment_id']}/attempt"
    missing, key = "01890a5d-ac96-774b-8bce-b302099a8057", uuid7()
    reason, method = {"reason": "returned"}, {"payment_method": "pm_card_ok"}
    rejected = {
        ("lease", "/api/v1/leases", 422): NEW_LEASE | {"principal": 5, "annual_rate": "0"},
        ("lease", f"/api/v1/leases/{missing}/cancel", 404): reason,
        ("lease", f"/api/v1/leases/{missing}/charge-off", 404): reason,
        ("payment", f"/api/v1/payments/{missing}/attempt", 404): method,
        ("payment", f"/api/v1/leases/{missing}/payoff", 404): method,
        ("payment", f"/api/v1/leases/{missing}/payoff-quotes", 404): {"as_of": str(utcnow().date())},
        ("payment", f"/api/v1/attempts/{missing}/refund", 404): reason,
        ("payment", attempt, 422): method | {"amount": 10**9},
        ("payment", f"/api/v1/leases/{lease['lease_id']}/payoff", 422): method | {"quote_id": missing},
    }
    reads = {"lease": "/api/v1/leases", "payment": attempt + "s", "ledger": "/api/v1/audit/metrics"}
    for (service, path, status), body in rejected.items():
        answer = await checked.ask(service, "POST", path, body, Idempotency_Key=key, Prefer="wait=25")
        assert answer.status == status, answer
        replayed = await checked.ask(service, "POST", path, body, Idempotency_Key=key)
        command_id, token = answer.headers["command-id"], answer.headers["consistency-token"]
        asked = await checked.ask(service, "GET", f"/api/v1/commands/{command_id}")
        assert asked.json["outcome"] == answer.json
        assert answer.json["instance"] == f"/api/v1/commands/{command_id}"
        for again in (replayed, asked):
            assert again.headers["consistency-token"] == token
        reused = await checked.ask(service, "POST", path, {**body, **_changed(body)}, Idempotency_Key=key)
        assert (reused.status, reused.json["type"]) == (422, "/problems/idempotency-key-reused")
        assert read_your_writes.read_token(reused.headers["consistency-token"])
        assert reused.headers["command-id"] == command_id
        for reader, target in reads.items():
            found = await checked.ask(reader, "GET", target, Consistency_Token=token, Prefer="wait=0")
            assert found.status == 200, (path, reader)
        key = uuid7()


def _changed(body: dict[str, Any]) -> dict[str, Any]:
    """The same body, but for one field."""
    other = {"reason": "other", "payment_method": "pm_card_lost", "customer_id": "b", "as_of": "2100-01-01"}
    return {name: value for name, value in other.items() if name in body}


async def test_a_token_beyond_what_its_source_has_told(checked: Checked) -> None:
    """The source itself knows that it has not given it: 422 at once."""
    lease, _ = await new_lease(checked)
    lease_id = lease["lease_id"]
    reads = {
        "lease": (f"/api/v1/leases/{lease_id}", "/lease-svc"),
        "payment": (f"/api/v1/leases/{lease_id}/payments", "/payment-svc"),
    }
    for service, (path, source) in reads.items():
        given = read_your_writes.token(read_your_writes.Position(source, 999, lease_id))
        answer = await checked.ask(service, "GET", path, Consistency_Token=given)
        assert answer.problem(422).pointers == {"/Consistency-Token"}
    last = read_your_writes.token(read_your_writes.Position("/lease-svc", 1, lease_id))
    assert (await checked.ask("lease", "GET", reads["lease"][0], Consistency_Token=last)).json == lease


async def test_collections(checked: Checked) -> None:
    """A run, before any of its answers' fields is other than nothing and after; and one that never was."""
    run = "/api/v1/collections/run"
    nothing_due = await checked.ask("payment", "POST", run, {"as_of": "1999-12-31"}, Prefer="wait=25")
    assert (nothing_due.status, nothing_due.json["leases"]) == (200, 0)
    lease, _ = await new_lease(
        checked, start_date="2000-01-01", first_due_date="2000-02-01", term=2, autopay=True
    )
    asked = {"as_of": "2000-02-29"}
    dry = await checked.ask("payment", "POST", run, asked | {"dry_run": True}, Prefer="wait=25")
    assert (dry.status, dry.json["run_id"], dry.json["charges"][0]["count"]) == (200, None, 1)
    assert (await checked.ask("payment", "GET", dry.headers["location"])).json["outcome"] == dry.json
    done = await checked.ask("payment", "POST", run, asked, Prefer="wait=25")
    assert (done.status, done.json["succeeded"], done.json["late_fees"]) == (200, 1, 0)
    url = done.headers["location"]
    assert (await checked.ask("payment", "GET", url)).json["status"] == "completed"
    waits = await checked.ask("payment", "POST", run, {"as_of": "2000-03-01"}, Prefer="respond-async")
    assert waits.status == 202
    missing = await checked.ask("payment", "GET", f"/api/v1/collections/runs/{lease['lease_id']}")
    assert missing.status == 404
    assert (await checked.ask("payment", "POST", run, {"as_of": "1969-12-31"})).status == 422
    assert (await checked.ask("payment", "POST", run, {"as_of": "2062-11-28"})).status == 422
    payments = f"/api/v1/leases/{lease['lease_id']}/payments"
    assert (await checked.ask("payment", "GET", payments)).json["items"][0]["status"] == "paid"


async def test_audit(checked: Checked) -> None:
    """Every operation of the ledger, with and without exact bytes; points at the ends of the calendar."""
    lease, _ = await new_lease(checked)
    base = f"/api/v1/audit/leases/{lease['lease_id']}"
    trail = await checked.ask("ledger", "GET", f"{base}?raw=true&limit=1")
    [entry] = trail.json["items"]
    before = pagination.write(f"journal of {lease['lease_id']}", str(entry["seq"] - 1))
    for path in (
        base,
        f"{base}/timeline",
        f"{base}/journal",
        f"{base}/journal?limit=1&cursor={before}",
        "/api/v1/audit/trial-balance",
        f"/api/v1/audit/trial-balance?seq={entry['seq']}",
        "/api/v1/audit/metrics",
        "/api/v1/audit/anomalies?status=open&evidence=true",
        "/api/v1/audit/events?limit=5",
        "/api/v1/audit/events?type=lease.created&raw=true&after_seq=0",
        f"/api/v1/audit/events/{entry['event_id']}?raw=1",
        *(f"{base}/export?format={form}" for form in ("json", "ndjson", "csv")),
        *(f"/api/v1/audit/export?format={form}" for form in ("json", "ndjson", "csv")),
        "/api/v1/audit/checkpoint",
        "/api/v1/audit/public-key",
        f"/api/v1/audit/proofs/inclusion?event_id={entry['event_id']}",
        "/api/v1/audit/proofs/consistency?first=1",
    ):
        assert (await checked.ask("ledger", "GET", path)).status == 200, path
    points = {
        "9999-12-31T23:59:59.999999Z": 200,
        "9999-12-31T23:59:59-12:00": None,
        "2999-01-01T00:00:00+14:00": 200,
        "0001-01-01T00:00:00Z": 404,
        "0001-01-01T00:00:00+14:00": None,
    }
    for as_of, expected in points.items():
        for basis in ("occurred", "recorded"):
            answer = await checked.ask(
                "ledger", "POST", f"{base}/state-at-point", {"as_of": as_of, "basis": basis}
            )
            assert answer.status in ((expected,) if expected else (200, 404, 422)), (as_of, answer)
    for seq, expected in ((entry["seq"], 200), (0, 404), (2**62, 200)):
        answer = await checked.ask("ledger", "POST", f"{base}/state-at-point", {"seq": seq})
        assert answer.status == expected
    nobody = "01890a5d-ac96-774b-8bce-b302099a8057"
    for rest in ("", "/timeline", "/journal"):
        assert (await checked.ask("ledger", "GET", f"/api/v1/audit/leases/{nobody}{rest}")).status == 404


async def test_every_operation_was_asked(checked: Checked) -> None:
    """None of the operations was forgotten above."""
    asked = {(service, method, path) for service, method, path, status in checked.seen if status < 300}
    assert asked == {
        (service, route.method, route.path) for service, routes in ROUTES.items() for route in routes
    }
