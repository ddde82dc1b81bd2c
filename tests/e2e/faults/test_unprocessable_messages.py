"""Messages that can never be processed: they are put aside, and everything else goes on."""

import json
from collections.abc import AsyncIterator
from typing import Any

import aio_pika
import pytest

from common.kernel.ids import uuid7
from tests.support.builders.lease_terms import terms
from tests.support.oracles.invariants import check, come_to_rest
from tests.support.system.client import Client
from tests.support.system.system import System
from tests.support.waiting import eventually

EVENT = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
NOW = "2026-01-01T00:00:00.000000Z"


def _command(type_: str, data: Any, **changes: Any) -> bytes:
    whole = {"command_id": uuid7(), "type": type_, "submitted_at": NOW, "data": data} | changes
    return json.dumps(whole).encode()


def _event(type_: str, data: Any, **changes: Any) -> bytes:
    whole = {
        "specversion": "1.0",
        "id": uuid7(),
        "source": "/lease-svc" if type_.startswith("lease.") else "/payment-svc",
        "type": type_,
        "subject": uuid7(),
        "time": NOW,
        "datacontenttype": "application/json",
        "sequence": 1,
        "correlationid": uuid7(),
        "causationid": uuid7(),
        "data": data,
    } | changes
    return json.dumps(whole).encode()


@pytest.fixture
async def broker(system: System) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
    """A channel to publish on, with confirms."""
    connection = await system.broker()
    async with connection:
        yield await connection.channel(publisher_confirms=True)


async def _publish(
    channel: aio_pika.abc.AbstractChannel, exchange: str, key: str, body: bytes, content_type: str = EVENT
) -> None:
    target = await channel.get_exchange(exchange, ensure=False)
    await target.publish(aio_pika.Message(body, content_type=content_type, message_id=uuid7()), key)


async def _dead(
    system: System, channel: aio_pika.abc.AbstractChannel, queue: str, expected: int
) -> list[bytes]:
    """The bodies of a queue's dead letters, once that many have come; they are taken away."""

    async def come() -> bool:
        return (await system.depths(f"{queue}.dead"))[f"{queue}.dead"] >= expected

    await eventually(come, f"{expected} dead letters of {queue}")
    found: list[bytes] = []
    dead = await channel.get_queue(f"{queue}.dead")
    while message := await dead.get(fail=False, no_ack=True):
        found.append(message.body)
    return found


async def _goes_on(client: Client) -> None:
    """A lease is made and paid, and every service knows of it."""
    lease, created = await client.create(terms())
    url = f"/leases/{lease['lease_id']}"
    assert (await client.payments.get(f"/api/v1{url}/payments", **created.token)).status == 200
    paid = await client.attempt(lease["schedule"][0]["payment_id"])
    assert paid.status == 201
    assert (await client.leases.get(f"/api/v1{url}", **paid.token)).json["payments_made"] == 1
    assert (await client.ledger.get(f"/api/v1/audit{url}", **paid.token)).status == 200


@pytest.mark.parametrize("queue", ["lease.commands", "payment.commands"])
async def test_commands(
    system: System, client: Client, broker: aio_pika.abc.AbstractChannel, queue: str
) -> None:
    """Commands that are garbage, half, or of no known type end as dead letters; those around them do not."""
    type_ = "CreateLease" if queue.startswith("lease") else "AttemptPayment"
    poison = [
        b"",
        b"\xff\xfe garbage \x00",
        b"[" * 100_000,
        b"null",
        b'{"command_id": 1}',
        _command("DropAllTables", {}),
        _command(type_, {}),
        _command(type_, None),
        _command(type_, {}, command_id="no uuid"),
        _command(type_, {"attempt_id": "x", "payment_id": "x", "payment_method": "x", "amount": -1}),
    ]
    for body in poison:
        await _publish(broker, "commands", queue, body, "application/json")
        await client.leases.send("/api/v1/leases", terms(), Prefer="respond-async")
    await _goes_on(client)
    assert sorted(await _dead(system, broker, queue, len(poison))) == sorted(poison)
    await check(system, client)


@pytest.mark.parametrize(
    ("queue", "type_"),
    [("payment.lease-events", "lease.created"), ("lease.payment-events", "payment.succeeded")],
)
async def test_events(
    system: System, client: Client, broker: aio_pika.abc.AbstractChannel, queue: str, type_: str
) -> None:
    """Events that are none end as dead letters of the projection; it goes on, and so does the ledger."""
    poison = [
        b"",
        b"\xff\xfe garbage \x00",
        b"[" * 100_000,
        b'{"specversion": "1.0"}',
        _event(type_, {}, specversion="0.3"),
        _event(type_, {}, subject="no uuid"),
        _event(type_, {"lease_id": 1}),
        _event(type_, {}, sequence=2**31),
        _event(type_, {}, sequence=2**70),
    ]
    for body in poison:
        await _publish(broker, "events", type_, body)
        await client.leases.send("/api/v1/leases", terms(), Prefer="respond-async")
    await _goes_on(client)
    dead = await _dead(system, broker, queue, len(poison))
    assert set(dead) <= set(poison)
    await check(system, client)


async def test_events_that_only_the_ledger_could_choke_on(
    system: System, client: Client, broker: aio_pika.abc.AbstractChannel
) -> None:
    """What looks like an event but cannot be kept as one is left out of the ledger, which goes on."""
    lease, created = await client.create(terms())
    url = f"/api/v1/audit/leases/{lease['lease_id']}"
    told = (await client.ledger.get(url, **created.token)).json["items"]
    # Routed past the projections: their keys are lease.#, payment.# and payoff.#.
    poison = [
        (_event("other.thing", {}, id="no uuid"), EVENT),
        (_event("other.thing", {}, subject="no uuid"), EVENT),
        (_event("other.thing", {}, sequence=2**31), EVENT),
        (_event("other.\x00thing", {}), EVENT),
        (_event("other.thing", {}, source="/\x00"), EVENT),
        (_event("other.thing", {}, time="0000-01-01T00:00:00Z"), EVENT),
        (_event("other.thing", {}, time="0001-01-01T00:00:00+23:59"), EVENT),
        (_event("other.thing", {}, id=told[0]["event_id"]), EVENT),
        (_event("lease.created", {}, subject=uuid7()), EVENT),
        (b'{"specversion": "1.0", "data": "\xff"}', EVENT),
        (_event("other.thing", {}), "text/plain"),
        (b"[" * 100_000, BATCH),
        (b"[]", BATCH),
        (b"[%s,%s,%s]" % (_event("other.a", {}), b'{"specversion": 1}', _event("other.b", {})), BATCH),
    ]
    before = (await client.ledger.get("/api/v1/audit/metrics")).json["last_seq"]
    for body, content_type in poison:
        await _publish(broker, "events", "other.thing", body, content_type)
    await _goes_on(client)
    assert (await client.ledger.get(url)).json["items"] == told
    await come_to_rest(system)
    # Kept are the two good ones of the last batch, and what the lease and its payment told.
    assert (await client.ledger.get("/api/v1/audit/metrics")).json["last_seq"] == before + 2 + 3
    await check(system, client)


async def test_event_of_a_type_of_the_future(
    system: System, client: Client, broker: aio_pika.abc.AbstractChannel
) -> None:
    """A well-formed event of an unknown type is kept byte for byte; what cannot be derived from it is 409."""
    stranger = uuid7()
    body = _event("other.thing", {"what": "nobody knows"}, subject=stranger)
    await _publish(broker, "events", "other.thing", body)
    await _goes_on(client)
    [kept] = await system.rows("SELECT raw, seq FROM ledger.entries WHERE lease_id = $1", stranger)
    assert kept["raw"] == body
    trail = (await client.ledger.get(f"/api/v1/audit/leases/{stranger}")).json["items"]
    assert [entry["data"] for entry in trail] == [{"what": "nobody knows"}]
    point = await client.ledger.post(f"/api/v1/audit/leases/{stranger}/state-at-point", {"seq": kept["seq"]})
    timeline = await client.ledger.get(f"/api/v1/audit/leases/{stranger}/timeline")
    assert (point.status, timeline.status) == (409, 409)
    assert (await client.ledger.get(f"/api/v1/audit/leases/{stranger}/export")).status == 200
    await check(system, client)
