"""The OpenAPI documents: sound, complete, and of one mind with the contract's own examples."""

import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from common.web.openapi import document
from common.web.problems import types
from tests.support.openapi import Document
from tests.support.servers.apis import ROUTES

UUID = "01890a5d-ac96-774b-8bce-b302099a8057"

NEW_LEASE: dict[str, Any] = {
    "customer_id": "cus-42", "currency": "USD", "principal": 120000, "annual_rate": "0.1200", "term": 12,
    "frequency": "monthly", "start_date": "2026-12-01", "first_due_date": "2027-01-01", "day_count": "30/360",
    "fees": [{"code": "origination", "amount": 2500}], "payment_method": "pm_card_ok", "autopay": False,
    "late_fee": {"grace_days": 5, "amount": 1500}, "metadata": {"store": "17"},
}  # fmt: skip
LEASE: dict[str, Any] = {
    "lease_id": UUID, "status": "active", "version": 1, "customer_id": "cus-42", "currency": "USD",
    "principal": 120000, "annual_rate": "0.1200", "term": 12, "frequency": "monthly", "day_count": "30/360",
    "start_date": "2026-12-01", "first_due_date": "2027-01-01", "maturity_date": "2027-12-01",
    "instalment": 10662, "total_interest": 7942, "total_fees": 2500, "total_payable": 130442,
    "amount_paid": 0, "balance": 130442, "next_due_date": "2027-01-01", "payments_made": 0, "autopay": False,
    "payment_method": "pm_card_ok", "autopay_stopped": None, "metadata": {"store": "17"},
    "fees": [{"code": "origination", "amount": 2500}], "late_fee": {"grace_days": 5, "amount": 1500},
    "created_at": "2026-11-23T08:00:00.000000Z", "updated_at": "2026-11-23T08:00:00.000000Z",
    "schedule": [{"number": 1, "payment_id": UUID, "due_date": "2027-01-01", "amount": 13162,
                  "principal": 9462, "interest": 1200, "fees": 2500, "principal_balance": 110538}],
}  # fmt: skip
STOPPED = {"reason": "hard_decline", "since": "2026-11-23T08:00:00.000000Z", "attempt_id": UUID}
PAYMENT: dict[str, Any] = {
    "payment_id": UUID, "lease_id": UUID, "number": 1, "due_date": "2027-01-01", "currency": "USD",
    "amount": 13162, "amount_paid": 0, "amount_due": 13162, "status": "scheduled", "attempts": 0,
    "next_retry_at": None, "last_attempt_id": None, "autopay_stopped": None,
}  # fmt: skip
ATTEMPT: dict[str, Any] = {
    "attempt_id": UUID, "payment_id": UUID, "lease_id": UUID, "kind": "instalment", "amount": 5000,
    "currency": "USD", "payment_method": "pm_card_ok", "status": "declined",
    "decline": {"code": "insufficient_funds", "class": "soft", "advice": "retry_later", "retry_at": None},
    "gateway_reference": "ch_1", "created_at": "2026-11-23T08:00:00.000000Z", "settled_at": None,
    "payment": PAYMENT, "breakdown": None, "quote_id": None, "amount_refunded": 0, "refunds": None,
    "reason": None,
}  # fmt: skip
ESTIMATE: dict[str, Any] = {
    "lease_id": UUID, "as_of": "2027-01-16", "amount": 124102, "currency": "USD", "interest_saved": 806,
    "breakdown": {"principal": 120000, "accrued_interest": 1602, "fees": 2500, "late_fees": 0, "credits": 0},
}  # fmt: skip
QUOTE = ESTIMATE | {"quote_id": UUID, "expires_at": "2027-01-17T00:00:00.000000Z"}
ENTRY: dict[str, Any] = {
    "seq": 1, "event_id": UUID, "type": "lease.created", "source": "/lease-svc", "sequence": 1,
    "occurred_at": "2026-11-23T08:00:00.000000Z", "recorded_at": "2026-11-23T08:00:00.000000Z",
    "data": {"lease_id": UUID}, "leaf_hash": "ab" * 32,
}  # fmt: skip
PROBLEM = {
    "type": "/problems/validation", "title": "Validation failed", "status": 422, "instance": "/api/v1/leases",
    "detail": "The request is not valid: /term.", "errors": [{"pointer": "/term", "detail": "is required"}],
}  # fmt: skip
PENDING = {
    "command_id": UUID, "status": "pending", "status_url": f"/api/v1/commands/{UUID}", "resource_url": "/",
}  # fmt: skip
STATUS = {
    "command_id": UUID, "status": "pending", "http_status": None, "outcome": None,
    "submitted_at": "2026-11-23T08:00:00.000000Z", "completed_at": None,
}  # fmt: skip

# (service, method, path, status, example); status 0: the request's body
CONTRACT: list[tuple[str, str, str, int, Any]] = [
    ("lease", "POST", "/api/v1/leases", 0, NEW_LEASE),
    ("lease", "POST", "/api/v1/leases", 201, LEASE),
    ("lease", "POST", "/api/v1/leases", 202, PENDING),
    ("lease", "POST", "/api/v1/leases", 422, PROBLEM),
    ("lease", "POST", "/api/v1/leases", 503, PROBLEM),
    ("lease", "GET", "/api/v1/leases/{lease_id}", 200, LEASE),
    ("lease", "GET", "/api/v1/leases/{lease_id}", 404, PROBLEM),
    ("lease", "GET", "/api/v1/leases", 200, {"items": [LEASE], "next_cursor": None}),
    ("lease", "GET", "/api/v1/commands/{command_id}", 200, STATUS),
    (
        "lease",
        "GET",
        "/api/v1/commands/{command_id}",
        200,
        STATUS | {"status": "succeeded", "outcome": LEASE, "http_status": 201},
    ),
    (
        "ledger",
        "GET",
        "/api/v1/audit/proofs/inclusion",
        200,
        {"leaf_index": 0, "tree_size": 2, "leaf_hash": "ab" * 32, "root_hash": "cd" * 32, "path": ["0" * 64]},
    ),
    (
        "ledger",
        "GET",
        "/api/v1/audit/proofs/consistency",
        200,
        {"first": 1, "second": 2, "first_root": "ab" * 32, "second_root": "cd" * 32, "path": ["ef" * 32]},
    ),
    (
        "payment",
        "GET",
        "/api/v1/leases/{lease_id}/payments",
        200,
        {
            "lease_id": UUID,
            "currency": "USD",
            "autopay": True,
            "payment_method": "pm_card_lost",
            "autopay_stopped": STOPPED,
            "items": [PAYMENT],
        },
    ),
    ("payment", "GET", "/api/v1/payments/{payment_id}", 200, PAYMENT),
    ("payment", "GET", "/api/v1/payments/{payment_id}", 200, PAYMENT | {"autopay_stopped": STOPPED}),
    ("payment", "POST", "/api/v1/leases/{lease_id}/autopay", 0, {"autopay": True, "payment_method": "pm_1"}),
    (
        "payment",
        "POST",
        "/api/v1/leases/{lease_id}/autopay",
        200,
        {"lease_id": UUID, "autopay": True, "payment_method": "pm_1", "autopay_stopped": None},
    ),
    (
        "payment",
        "POST",
        "/api/v1/payments/{payment_id}/attempt",
        0,
        {"payment_method": "pm_card_ok", "amount": 5000},
    ),
    ("payment", "POST", "/api/v1/payments/{payment_id}/attempt", 0, {"payment_method": "pm_card_ok"}),
    ("payment", "POST", "/api/v1/payments/{payment_id}/attempt", 201, ATTEMPT),
    (
        "payment",
        "POST",
        "/api/v1/payments/{payment_id}/attempt",
        402,
        PROBLEM | {"attempt_id": UUID, "decline": ATTEMPT["decline"]},
    ),
    ("payment", "POST", "/api/v1/payments/{payment_id}/attempt", 409, PROBLEM),
    ("payment", "POST", "/api/v1/payments/{payment_id}/attempt", 502, PROBLEM | {"attempt_id": UUID}),
    ("payment", "GET", "/api/v1/attempts/{attempt_id}", 200, ATTEMPT),
    (
        "payment",
        "POST",
        "/api/v1/attempts/{attempt_id}/refund",
        0,
        {"amount": 500, "reason": "returned"},
    ),
    (
        "payment",
        "POST",
        "/api/v1/attempts/{attempt_id}/refund",
        201,
        ATTEMPT
        | {"kind": "refund", "refunds": UUID, "reason": "returned", "status": "succeeded", "decline": None},
    ),
    ("payment", "POST", "/api/v1/leases/{lease_id}/payoff", 0, {"payment_method": "pm_card_ok"}),
    (
        "payment",
        "POST",
        "/api/v1/leases/{lease_id}/payoff",
        0,
        {"payment_method": "pm_card_ok", "quote_id": UUID},
    ),
    ("payment", "POST", "/api/v1/leases/{lease_id}/payoff", 409, PROBLEM),
    ("payment", "POST", "/api/v1/leases/{lease_id}/payoff", 422, PROBLEM),
    ("payment", "GET", "/api/v1/leases/{lease_id}/payoff-quote", 200, ESTIMATE),
    ("payment", "GET", "/api/v1/leases/{lease_id}/payoff-quote", 409, PROBLEM),
    ("payment", "POST", "/api/v1/leases/{lease_id}/payoff-quotes", 0, {"as_of": "2027-01-16"}),
    ("payment", "POST", "/api/v1/leases/{lease_id}/payoff-quotes", 201, QUOTE),
    ("payment", "POST", "/api/v1/leases/{lease_id}/payoff-quotes", 422, PROBLEM),
    (
        "ledger",
        "GET",
        "/api/v1/audit/leases/{lease_id}",
        200,
        {"lease_id": UUID, "items": [ENTRY], "next_cursor": None},
    ),
    ("ledger", "GET", "/api/v1/audit/events/{event_id}", 200, ENTRY | {"raw": "e30="}),
    (
        "ledger",
        "POST",
        "/api/v1/audit/leases/{lease_id}/state-at-point",
        0,
        {"as_of": "2026-12-01T00:00:00Z"},
    ),
    ("ledger", "POST", "/api/v1/audit/leases/{lease_id}/state-at-point", 0, {"seq": 7, "basis": "recorded"}),
]


def read(service: str) -> Document:
    return Document(json.loads(document(service, ROUTES[service])))


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for member in value.values():
            yield from references(member)
    elif isinstance(value, list):
        for member in value:
            yield from references(member)


@pytest.mark.parametrize("service", ROUTES)
def test_every_route_is_documented(service: str) -> None:
    """Paths and methods of the document are those of the router, no more and no fewer."""
    told = {
        (method.upper(), path) for path, item in read(service).content["paths"].items() for method in item
    }
    assert told == {(route.method, route.path) for route in ROUTES[service]}


@pytest.mark.parametrize("service", ROUTES)
def test_the_document_is_sound(service: str) -> None:
    """What OpenAPI 3.1 demands: references lead somewhere, schemas are schemas, ids and names are unique."""
    content = read(service).content
    assert re.fullmatch(r"3\.1\.\d+", content["openapi"])
    assert content["info"]["title"]
    assert content["info"]["version"]
    for reference in references(content):
        of, name = reference.removeprefix("#/components/").split("/")
        assert name in content["components"][of]
    for name, schema in content["components"]["schemas"].items():
        assert re.fullmatch(r"[A-Za-z0-9._-]+", name)
        jsonschema.Draft202012Validator.check_schema(schema)
    operations = [(path, item[method]) for path, item in content["paths"].items() for method in item]
    ids = [operation["operationId"] for _, operation in operations]
    assert len(ids) == len(set(ids))
    for path, operation in operations:
        assert operation["summary"]
        names = [(each["in"], each["name"]) for each in operation["parameters"]]
        assert len(names) == len(set(names))
        in_path = {name for where, name in names if where == "path"}
        assert in_path == set(re.findall(r"{(\w+)}", path))
        for each in operation["parameters"]:
            jsonschema.Draft202012Validator.check_schema(each["schema"])
            assert each["in"] != "path" or each["required"] is True
        assert operation["responses"]
        for status, answer in operation["responses"].items():
            assert re.fullmatch(r"[1-5]\d\d", status)
            assert answer["description"]


@pytest.mark.parametrize("service", ROUTES)
def test_problems_are_documented(service: str) -> None:
    """Every operation tells of bad input; those with a body and commands of what only they answer."""
    content = read(service)
    for route in ROUTES[service]:
        answers = content.operation(route.method, route.path)["responses"]
        expected = {"422", "503"}
        expected |= {"400", "408", "413", "415"} if route.body else set()
        expected |= {"202"} if route.command else set()
        expected |= {"404"} if "{" in route.path and route.method == "GET" else set()
        assert expected <= set(answers), route.path
        for status in set(answers) - {str(status) for status in route.answers}:
            if int(status) >= 400:
                assert list(answers[status]["content"]) == ["application/problem+json"]
                assert all(
                    kind.uri in answers[status]["description"] for kind in types.of_status(int(status))
                )


@pytest.mark.parametrize("service", ROUTES)
def test_commands_tell_of_their_headers(service: str) -> None:
    """Idempotency-Key and Prefer on commands, Consistency-Token on reads."""
    content = read(service)
    for route in ROUTES[service]:
        headers = {
            each["name"]
            for each in content.operation(route.method, route.path)["parameters"]
            if each["in"] == "header"
        }
        if route.command:
            assert headers >= {"Idempotency-Key", "Prefer"}
            for answer in content.operation(route.method, route.path)["responses"].values():
                assert answer["headers"].keys() == {"Command-Id", "Consistency-Token"}
        elif route.takes is not None:
            assert headers == set(route.headers)
        elif "/commands/" not in route.path:
            assert "Consistency-Token" in headers


@pytest.mark.parametrize(("service", "method", "path", "status", "example"), CONTRACT)
def test_examples_of_the_contract(service: str, method: str, path: str, status: int, example: Any) -> None:
    """What clients were promised is what the document says."""
    content = read(service)
    if status:
        media_type = "application/json" if status < 400 else "application/problem+json"
        content.check_answer(method, path, status, media_type, example)
    else:
        content.body(method, path).validate(example)


def test_bodies_are_closed() -> None:
    """The document says that unknown fields are refused, at any depth."""
    for service, routes in ROUTES.items():
        content = read(service)
        for route in routes:
            if route.body is not None:
                with pytest.raises(jsonschema.ValidationError):
                    content.body(route.method, route.path).validate({"status": "paid_off"})
    for at in ("fees", "late_fee"):
        wrong = {
            "fees": [{"code": "a", "amount": 1, "x": 1}],
            "late_fee": {"grace_days": 1, "amount": 1, "x": 1},
        }
        with pytest.raises(jsonschema.ValidationError):
            read("lease").body("POST", "/api/v1/leases").validate(NEW_LEASE | {at: wrong[at]})
