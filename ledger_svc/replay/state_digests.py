"""What two ledgers hold and say of every lease, as digests."""

from collections.abc import AsyncIterator
from hashlib import sha256

import msgspec

from common.postgres.pool import Connection
from common.replay.shadow_schema import Sample
from ledger_svc.contracts.entry import Entry
from ledger_svc.contracts.envelope import MalformedEvent, UnknownEventType
from ledger_svc.replay import recorded_log
from ledger_svc.views import point_in_time


class Leases:
    """All leases of a ledger: how many, their events and their states."""

    def __init__(self) -> None:
        self.count = 0
        self.events = sha256()
        self.states = sha256()

    def add(self, lease: "_Lease | None") -> None:
        """One more, if it has it; leases are added in order of their ids."""
        if lease is not None:
            self.count += 1
            self.events.update(lease.events)
            self.states.update(lease.lease_id.encode() + lease.state)


class _Lease(msgspec.Struct, frozen=True, kw_only=True):
    lease_id: str
    events: bytes  # digest of their bytes, in order of their numbers
    state: bytes  # as JSON


async def compare(
    live: Connection, upto: int, shadow: Connection, upto_shadow: int
) -> tuple[Leases, Leases, Sample]:
    """Both ledgers' leases, by the entries up to a number of each, and those that differ."""
    one, other, different = Leases(), Leases(), Sample()
    async with live.transaction(readonly=True), shadow.transaction(readonly=True):
        ours, theirs = _leases(live, upto), _leases(shadow, upto_shadow)
        lease, rebuilt = await anext(ours, None), await anext(theirs, None)
        while lease is not None or rebuilt is not None:
            lease_id = min(each.lease_id for each in (lease, rebuilt) if each is not None)
            here = lease if lease is not None and lease.lease_id == lease_id else None
            there = rebuilt if rebuilt is not None and rebuilt.lease_id == lease_id else None
            one.add(here)
            other.add(there)
            if here != there:
                different.add(f"lease {lease_id}")
            lease = await anext(ours, None) if here is not None else lease
            rebuilt = await anext(theirs, None) if there is not None else rebuilt
    return one, other, different


async def _leases(connection: Connection, upto: int) -> AsyncIterator[_Lease]:
    async for entries in recorded_log.by_lease(connection, upto):
        digest = sha256()
        for entry in entries:
            digest.update(entry.leaf_hash)
            digest.update(entry.raw)
        yield _Lease(lease_id=entries[0].lease_id, events=digest.digest(), state=_state(entries))


def _state(entries: list[Entry]) -> bytes:
    try:
        state = point_in_time.fold(point_in_time.select(entries))
    except (MalformedEvent, UnknownEventType) as error:
        return str(error).encode()
    return msgspec.json.encode(point_in_time.snapshot(state))
