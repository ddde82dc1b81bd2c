"""Every message a second time changes nothing."""

import json
import random
from typing import Any

import aio_pika

from tests.support.builders.lease_terms import days_ago, terms
from tests.support.oracles.invariants import check, come_to_rest
from tests.support.system.client import Client, fresh_key
from tests.support.system.system import System
from tests.support.waiting import eventually, on_lanes

BATCHES = ("application/cloudevents-batch+json", "application/vnd.commands+json")
_TABLES = (
    *("lease.leases", "lease.history"),
    *("payment.accounts", "payment.payments", "payment.attempts"),
    *("lease.outbox", "payment.outbox", "ledger.entries"),
)


def _weight(message: aio_pika.abc.AbstractIncomingMessage) -> int:
    """How many commands or events a message holds."""
    return len(json.loads(message.body)) if message.content_type in BATCHES else 1


async def _books(system: System, but: str) -> dict[str, Any]:
    """A digest of every table's rows, without those of the lease `but`."""
    digest = "SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {} t WHERE lease_id <> $1"
    return {table: await system.value(digest.format(table), but) for table in _TABLES}


class Copies:
    """Every message that passes the two exchanges, exactly as it was sent."""

    def __init__(self, channel: aio_pika.abc.AbstractChannel) -> None:
        self._channel = channel
        self.messages: list[aio_pika.abc.AbstractIncomingMessage] = []

    async def begin(self) -> None:
        """Listen at `commands` and `events`."""
        self._queue = await self._channel.declare_queue(exclusive=True)
        for key in ("lease.commands", "payment.commands"):
            await self._queue.bind("commands", key)
        await self._queue.bind("events", "#")

    async def take(self, expected: int) -> None:
        """Stop listening, once that many commands and events have come; under load some share a message."""
        for key in ("lease.commands", "payment.commands"):
            await self._queue.unbind("commands", key)
        await self._queue.unbind("events", "#")

        async def drained() -> bool:
            while message := await self._queue.get(fail=False, no_ack=True):
                if message.type != "ReconcileEvents":  # the ledger asks now and then
                    self.messages.append(message)
            return sum(map(_weight, self.messages)) >= expected

        await eventually(drained, f"{expected} copies")

    async def publish_again(self) -> None:
        """Send every message a second time, in no order at all."""
        shuffled = list(self.messages)
        random.Random(20).shuffle(shuffled)
        for message in shuffled:
            exchange = await self._channel.get_exchange(message.exchange or "", ensure=False)
            again = aio_pika.Message(
                message.body,
                content_type=message.content_type,
                delivery_mode=message.delivery_mode,
                message_id=message.message_id,
                type=message.type,
                reply_to=message.reply_to,
                headers=message.headers,
            )
            await exchange.publish(again, message.routing_key or "")


async def test_every_message_twice(system: System, client: Client) -> None:
    """Commands and events of whole lives, published again and shuffled, leave all books as they were."""
    connection = await system.broker()
    async with connection:
        copies = Copies(await connection.channel(publisher_confirms=True))
        await copies.begin()
        leases = await on_lanes(20, [lambda: _life(client) for _ in range(20)])
        await come_to_rest(system)
        await copies.take(20 * (5 + 10))
        assert sum(map(_weight, copies.messages)) == 20 * (5 + 10)
        nobody = "00000000-0000-0000-0000-000000000000"
        before = await _books(system, nobody)
        charges = [await client.charges(lease_id=lease_id) for lease_id in leases]
        sent = "SELECT count(*) FROM {}.commands WHERE type <> 'ReconcileEvents'"
        numbers = f"SELECT ({sent.format('lease')}) + ({sent.format('payment')})"
        known = await system.value(numbers)
        await copies.publish_again()
        # What is sent after the copies is carried out after them: each queue has one consumer.
        last = await _life(client)
    await check(system, client)
    assert await _books(system, last) == before
    assert [await client.charges(lease_id=lease_id) for lease_id in leases] == charges
    assert await system.value(numbers) == known + 5


async def _life(client: Client) -> str:
    """A lease created, declined, paid in part, in full, and paid off: five commands, ten events. Its id."""
    lease, created = await client.create(terms(start_date=days_ago(40)), Idempotency_Key=fresh_key())
    url = f"/api/v1/leases/{lease['lease_id']}"
    await client.payments.get(f"{url}/payments", **created.token)
    first, second = (row["payment_id"] for row in lease["schedule"][:2])
    assert (await client.attempt(first, "pm_card_lost")).status == 402
    assert (await client.attempt(first, amount=77, Idempotency_Key=fresh_key())).status == 201
    assert (await client.attempt(second)).status == 201
    paid_off = await client.payments.post(f"{url}/payoff", {"payment_method": "pm_card_ok"})
    assert paid_off.status == 201
    read = await client.leases.get(url, **paid_off.token)
    assert read.json["status"] == "paid_off"
    lease_id: str = lease["lease_id"]
    return lease_id
