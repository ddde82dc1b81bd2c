"""The last chapters: what the ledger says, whether its seals hold, whether all agree on the money."""

import asyncio
from base64 import b64decode
from hashlib import sha256
from typing import Any

from demo.client import Client, Unexpected
from demo.lease_chapters import Story
from demo.presentation import Stage

PATIENCE_S = 10.0
PAGE = 200  # entries at once, the most that a page holds
LARGEST_TREE = 20_000  # leaves; a larger ledger is not fetched whole by a demonstration


async def tell(client: Client, stage: Stage, story: Story) -> None:
    """The timeline in words, and the state at a point in time."""
    stage.chapter("What the ledger remembers")
    items = await _timeline_to_the_end(client, story)
    stage.table(
        ("seq", "at (UTC)", "what happened", "change", "balance"),
        [
            (
                item["seq"],
                item["at"][11:23],
                item["summary"],
                story.money(item["balance_change"]).split()[0],
                story.money(item["balance_after"]).split()[0],
            )
            for item in items
        ],
        right=(0, 3, 4),
    )
    stage.equal(
        "the changes add up to the balance",
        sum(item["balance_change"] for item in items),
        items[-1]["balance_after"],
    )
    moment = next((item for item in items if item["type"] == "payment.unknown"), items[0])
    stage.say(f"What did the books say at {moment['at'][11:19]}, when nobody knew about instalment 3?")
    path = f"/api/v1/audit/leases/{story.lease_id}/state-at-point"
    then = (await client.call("ledger", "POST", path, body={"as_of": moment["at"]}, expect=200)).body
    third = then["state"]["payments"][2]
    stage.say(
        f"{then['events_applied']} events applied: the lease was {then['state']['status']}, instalment 3 "
        f"was [bold]{third['status']}[/], {story.money(then['state']['balance'])} were owed."
    )
    stage.equal(
        "then, instalment 3 was neither paid nor free to be paid again", third["status"], "processing"
    )
    stage.equal(
        "the rebuilt balance is the one of the timeline", then["state"]["balance"], moment["balance_after"]
    )


async def verify(client: Client, stage: Stage, story: Story) -> None:
    """The trail has no gaps, and every hash can be computed by anybody."""
    stage.chapter("Can it be checked?")
    trail = (await client.get("ledger", f"/api/v1/audit/leases/{story.lease_id}?limit={PAGE}"))["items"]
    by_source: dict[str, list[int]] = {}
    for entry in trail:
        by_source.setdefault(entry["source"], []).append(entry["sequence"])
    for source, sequences in by_source.items():
        told = (
            f"{source} has told {len(sequences)} events of this lease, numbered 1 to {len(sequences)}, no gap"
        )
        stage.equal(told, sorted(sequences), list(range(1, len(sequences) + 1)))
    export = await client.get("ledger", f"/api/v1/audit/leases/{story.lease_id}/export?format=json")
    raws = {entry["seq"]: b64decode(entry["raw"]) for entry in export["entries"]}
    recomputed = {seq: _leaf(raw).hex() for seq, raw in raws.items()}
    last = max(raws)
    stage.say("The export holds every event's exact bytes. Here, in this process, with nothing but hashlib:")
    stage.say(f"SHA-256(0x00 ‖ {len(raws[last])} bytes of entry {last}) = {recomputed[last]}")
    stage.equal(
        f"{len(trail)} leaf hashes recomputed, all as the ledger says",
        recomputed,
        {entry["seq"]: entry["leaf_hash"] for entry in trail},
    )
    forged = raws[last].replace(b'"amount_paid":', b'"amount_paid":1', 1)
    stage.check("one digit more in one event would show", _leaf(forged).hex() != recomputed[last])
    await _root(client, stage, export["tree_size"], export["root_hash"])
    figures = await client.get("ledger", "/api/v1/audit/metrics")
    stage.say(
        f"The whole ledger: {figures['events_total']} events of {figures['leases_total']} leases, the last "
        f"recorded {figures['ingest_lag_ms']:.0f} ms after it happened; a tree of {figures['tree_size']} "
        f"leaves with the root [bold]{figures['root_hash']}[/]"
    )


async def agree(client: Client, stage: Stage, story: Story) -> int:
    """Gateway, payment service, ledger and lease: the same money. Returns it, in minor units."""
    stage.chapter("Does everybody agree on the money?")
    charges = (await client.get("gateway", f"/v1/charges?lease_id={story.lease_id}"))["items"]
    attempts = [
        await client.get("payment", f"/api/v1/attempts/{each}", quiet=True) for each in story.attempts
    ]
    path = f"/api/v1/audit/leases/{story.lease_id}/state-at-point"
    now = (await client.call("ledger", "POST", path, body={"seq": 2**53}, expect=200)).body
    lease = await client.get("lease", f"/api/v1/leases/{story.lease_id}")
    sums = {
        "the gateway's own record": sum(each["amount"] for each in charges if each["status"] == "succeeded"),
        "the payment service's attempts": sum(
            each["amount"] for each in attempts if each["status"] == "succeeded"
        ),
        "the ledger, rebuilt from events": now["state"]["amount_paid"],
        "the lease": lease["amount_paid"],
    }
    stage.table(
        ("who", "collected"), [(who, story.money(amount)) for who, amount in sums.items()], right=(1,)
    )
    stage.equal("all four say the same, to the cent", len(set(sums.values())), 1)
    keys = [each["idempotency_key"] for each in charges]
    stage.equal("the gateway knows one charge for each attempt", sorted(keys), sorted(story.attempts))
    return int(lease["amount_paid"])


async def _timeline_to_the_end(client: Client, story: Story) -> list[dict[str, Any]]:
    """The timeline, once the lease's last event has reached the ledger."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE_S
    path = f"/api/v1/audit/leases/{story.lease_id}/timeline"
    while True:
        items: list[dict[str, Any]] = (await client.get("ledger", path, headers=story.token, quiet=True))[
            "items"
        ]
        if items[-1]["type"] == "lease.paid_off":
            await client.get("ledger", path)
            return items
        if loop.time() > deadline:
            raise Unexpected(f"lease.paid_off has not reached the ledger within {PATIENCE_S:.0f} s")
        await asyncio.sleep(0.05)


async def _root(client: Client, stage: Stage, size: int, expected: str) -> None:
    """Rebuild the Merkle tree's root from all leaf hashes of the ledger."""
    if size > LARGEST_TREE:
        stage.say(f"[dim]The tree has {size} leaves: too many to fetch all of them for a demonstration.[/]")
        return
    leaves: list[bytes] = []
    async with stage.waiting(f"for all {size} leaf hashes of the ledger"):
        while len(leaves) < size:
            page = await client.get(
                "ledger", f"/api/v1/audit/events?after_seq={len(leaves)}&limit={PAGE}", quiet=True
            )
            if not page["items"]:
                break
            leaves += [bytes.fromhex(entry["leaf_hash"]) for entry in page["items"]]
    found = _merkle_root(leaves[:size]).hex()
    stage.equal(
        f"the root over all {size} leaves, recomputed here, is the one in the export", found, expected
    )


def _leaf(raw: bytes) -> bytes:
    """A leaf's hash (RFC 9162, 2.1.1)."""
    return sha256(b"\x00" + raw).digest()


def _merkle_root(leaves: list[bytes]) -> bytes:
    """The tree's root (RFC 9162, 2.1.1): split at the largest power of two below the size."""
    if len(leaves) == 1:
        return leaves[0]
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\x01" + _merkle_root(leaves[:half]) + _merkle_root(leaves[half:])).digest()
