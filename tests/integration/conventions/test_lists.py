"""Every list of every service: the `next_cursor` it gives, it takes, and its pages are the whole of it."""

import base64
import itertools
import json
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from common.kernel.clock import utcnow
from common.kernel.ids import uuid7
from ledger_svc.log.anomalies import queries
from tests.integration.payment_svc.test_gateway_answers import DOCUMENTS, Checked, checked, new_lease
from tests.support.servers.database import owner
from tests.support.servers.servers import Servers

pytestmark = pytest.mark.asyncio(loop_scope="session")

__all__ = ["checked"]  # the fixture

# The query besides the cursor (only what this test has made, where there is such a filter), and what tells
# items from each other.
WALKED: dict[tuple[str, str], tuple[str, str]] = {
    ("lease", "/api/v1/leases"): ("customer_id={customer_id}", "lease_id"),
    ("lease", "/api/v1/leases/{lease_id}/history"): ("", "version"),
    ("payment", "/api/v1/payments/{payment_id}/attempts"): ("", "attempt_id"),
    ("ledger", "/api/v1/audit/leases/{lease_id}"): ("raw=true", "seq"),
    ("ledger", "/api/v1/audit/leases/{lease_id}/journal"): ("", "seq"),
    ("ledger", "/api/v1/audit/events"): ("lease_id={lease_id}", "seq"),
    ("ledger", "/api/v1/audit/anomalies"): ("status=open", "anomaly_id"),
}


def shown(service: str, path: str) -> dict[str, Any]:
    """The schema of what a GET answers with 200."""
    content = DOCUMENTS[service].operation("GET", path)["responses"].get("200", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema", {})
    name = schema.get("$ref", "").rpartition("/")[2]
    return dict(DOCUMENTS[service].content["components"]["schemas"].get(name, {}))


def queried(service: str, path: str) -> set[str]:
    parameters = DOCUMENTS[service].operation("GET", path)["parameters"]
    return {each["name"] for each in parameters if each["in"] == "query"}


async def test_every_list_is_here() -> None:
    """What answers with a `next_cursor` takes `cursor` and `limit`, nothing else does, and all are walked."""
    giving, taking = set(), set()
    for service, its in DOCUMENTS.items():
        for path, operations in its.content["paths"].items():
            if "get" not in operations:
                continue
            if "next_cursor" in shown(service, path).get("properties", {}):
                giving.add((service, path))
            if queried(service, path) & {"cursor", "limit"}:
                assert queried(service, path) >= {"cursor", "limit"}
                taking.add((service, path))
    assert giving == taking == WALKED.keys()


@pytest_asyncio.fixture(loop_scope="session")
async def made(checked: Checked, servers: Servers) -> dict[str, str]:
    """Some items for every list."""
    customer_id = f"cus-{uuid7()}"
    leases = [(await new_lease(checked, customer_id=customer_id))[0] for _ in range(3)]
    lease = leases[1]
    payment_id = lease["schedule"][0]["payment_id"]
    for method, amount in (("pm_card_ok", 1000), ("pm_card_insufficient_funds", 1000), ("pm_card_ok", 2000)):
        body = {"payment_method": method, "amount": amount}
        answer = await checked.ask("payment", "POST", f"/api/v1/payments/{payment_id}/attempt", body)
        assert answer.status in (201, 402)
        token = answer.headers["consistency-token"]
    for service, path in (
        ("lease", "/api/v1/leases"),
        ("ledger", f"/api/v1/audit/leases/{lease['lease_id']}"),
    ):
        caught_up = await checked.ask(service, "GET", path, Consistency_Token=token, Prefer="wait=25")
        assert caught_up.status == 200
    async with owner(servers) as connection:
        await raise_anomalies(connection, 3)
    return {"customer_id": customer_id, "lease_id": lease["lease_id"], "payment_id": payment_id}


async def everywhere(checked: Checked, token: str, lease_id: str) -> None:
    """Wait until all services know what the token tells of."""
    for service, path in (("lease", f"/leases/{lease_id}"), ("ledger", f"/audit/leases/{lease_id}")):
        asking = {"Consistency_Token": token, "Prefer": "wait=25"}
        assert (await checked.ask(service, "GET", f"/api/v1{path}", **asking)).status == 200


async def raise_anomalies(connection: asyncpg.Connection, count: int) -> None:
    await connection.execute("SET search_path = ledger")
    nothing = [None] * count
    places = [uuid7() for _ in range(count)]
    await connection.execute(
        queries.raise_anomalies,
        ["malformed"] * count,
        places,
        [utcnow()] * count,
        ["x"] * count,
        *([nothing] * 9),
        [1] * count,
        nothing,
        [b"x"] * count,
    )


async def add(checked: Checked, made: dict[str, str], servers: Servers) -> None:
    """One more item in every list."""
    await new_lease(checked, customer_id=made["customer_id"])
    body = {"payment_method": "pm_card_ok", "amount": 500}
    answer = await checked.ask("payment", "POST", f"/api/v1/payments/{made['payment_id']}/attempt", body)
    assert answer.status == 201
    await everywhere(checked, answer.headers["consistency-token"], made["lease_id"])
    async with owner(servers) as connection:
        await raise_anomalies(connection, 1)


async def test_page_after_page(checked: Checked, made: dict[str, str], servers: Servers) -> None:
    """One item at a time, to the end: each once, in the list's order, though rows are added on the way."""
    whole: dict[tuple[str, str], list[Any]] = {}
    walked: dict[tuple[str, str], list[Any]] = {}
    cursors: dict[tuple[str, str], str | None] = {}
    targets = {each: f"{each[1]}?{query}".format_map(made) for each, (query, _) in WALKED.items()}
    for each, target in targets.items():
        key = WALKED[each][1]
        page = (await checked.ask(each[0], "GET", f"{target}&limit=200")).json
        assert page["next_cursor"] is None, target
        whole[each] = [item[key] for item in page["items"]]
        assert len(whole[each]) >= 2, target
        first = (await checked.ask(each[0], "GET", f"{target}&limit=1")).json
        walked[each], cursors[each] = [item[key] for item in first["items"]], first["next_cursor"]
    for one, another in itertools.permutations(cursors, 2):
        answer = await checked.ask(another[0], "GET", f"{targets[another]}&cursor={cursors[one]}")
        assert answer.problem(422).pointers == {"/cursor"}
    await add(checked, made, servers)
    for each, target in targets.items():
        key = WALKED[each][1]
        while cursors[each] is not None:
            page = (await checked.ask(each[0], "GET", f"{target}&limit=1&cursor={cursors[each]}")).json
            assert len(page["items"]) == 1
            walked[each].append(page["items"][0][key])
            cursors[each] = page["next_cursor"]
        assert walked[each][: len(whole[each])] == whole[each], target
        assert len(set(walked[each])) == len(walked[each])


async def test_a_cursor_is_of_one_lease(checked: Checked, made: dict[str, str]) -> None:
    """The cursor of one lease's list is none of the same list of another."""
    leases = f"/api/v1/leases?customer_id={made['customer_id']}&limit=1"
    [other] = (await checked.ask("lease", "GET", leases)).json["items"]
    for service, path in WALKED:
        if "{lease_id}" not in path:
            continue
        given = (await checked.ask(service, "GET", f"{path}?limit=1".format_map(made))).json["next_cursor"]
        there = f"{path}?cursor={given}".replace("{lease_id}", other["lease_id"])
        assert (await checked.ask(service, "GET", there)).problem(422).pointers == {"/cursor"}


async def test_events_from_a_seq_and_from_a_cursor(checked: Checked, made: dict[str, str]) -> None:
    """`after_seq` begins anywhere, the cursor goes on with the same filters; both at once is 422 on both."""
    target = "/api/v1/audit/events?type=payment.succeeded&lease_id={lease_id}".format_map(made)
    everything = (await checked.ask("ledger", "GET", f"{target}&after_seq=0")).json["items"]
    assert [item["type"] for item in everything] == ["payment.succeeded"] * 2
    assert {item["data"]["lease_id"] for item in everything} <= {made["lease_id"]}
    first = (await checked.ask("ledger", "GET", f"{target}&limit=1")).json
    rest = (await checked.ask("ledger", "GET", f"{target}&cursor={first['next_cursor']}")).json
    assert first["items"] + rest["items"] == everything
    after = (await checked.ask("ledger", "GET", f"{target}&after_seq={first['items'][0]['seq']}")).json
    assert after == rest
    both = await checked.ask("ledger", "GET", f"{target}&after_seq=0&cursor={first['next_cursor']}")
    assert both.problem(422).pointers == {"/after_seq", "/cursor"}
    unknown = await checked.ask("ledger", "GET", f"/api/v1/audit/events?correlation_id={uuid7()}")
    assert unknown.json == {"items": [], "next_cursor": None}
    upper = target.replace(made["lease_id"], made["lease_id"].upper())
    assert (await checked.ask("ledger", "GET", upper)).json["items"] == everything


async def test_events_of_a_correlation(checked: Checked, made: dict[str, str]) -> None:
    """All that came of one command, page by page, alone and with the other filters; any case of letters."""
    lease = "/api/v1/audit/events?raw=true&lease_id={lease_id}".format_map(made)
    entries = (await checked.ask("ledger", "GET", lease)).json["items"]
    told = {each["seq"]: json.loads(base64.b64decode(each["raw"]))["correlationid"] for each in entries}
    wanted = told[entries[-1]["seq"]]
    its = [each for each in entries if told[each["seq"]] == wanted]
    assert 1 < len(its) < len(entries)
    for target in (
        f"/api/v1/audit/events?raw=true&correlation_id={wanted}",
        f"/api/v1/audit/events?raw=true&correlation_id={wanted.upper()}",
        f"{lease}&correlation_id={wanted}",
    ):
        assert (await checked.ask("ledger", "GET", target)).json["items"] == its
        walked, cursor = [], ""
        while cursor is not None:
            page = (await checked.ask("ledger", "GET", f"{target}&limit=1{cursor}")).json
            walked += page["items"]
            cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
        assert walked == its
        after = await checked.ask("ledger", "GET", f"{target}&after_seq={its[0]['seq']}")
        assert after.json["items"] == its[1:]
        type_ = its[0]["type"]
        typed = (await checked.ask("ledger", "GET", f"{target}&type={type_}")).json["items"]
        assert typed == [each for each in its if each["type"] == type_]
    wrong = await checked.ask("ledger", "GET", "/api/v1/audit/events?correlation_id=x")
    assert wrong.problem(422).pointers == {"/correlation_id"}
