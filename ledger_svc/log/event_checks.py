"""What is checked of each event on its way in: a known source, the next number, the same bytes when it comes
again, an id that can have been made by now.

An event after a gap is true and is recorded; what is missing is asked for. So is one whose id is dated ahead:
a producer's clock may be wrong. An event that contradicts a record is not recorded, and its bytes are kept
with the anomaly. Nothing is passed over without a word.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from common.kernel.clock import rfc3339
from common.kernel.ids import born
from common.messaging import topology
from common.postgres.pool import Connection
from ledger_svc.log import repository
from ledger_svc.log.anomalies import Anomaly
from ledger_svc.log.message_decoder import Place, Read, Row
from ledger_svc.transparency.merkle_tree import leaf_hash

# Who publishes events, and the queue in which it takes commands: what is missing is asked for there.
SOURCES = {"/lease-svc": topology.LEASE_COMMANDS, "/payment-svc": topology.PAYMENT_COMMANDS}

ROWS_MAX = 50_000
AHEAD_MAX = timedelta(minutes=5)  # of an id's date, compared with the writer's clock


class LastNumbers:
    """The last number recorded of each row, as far as it was lately used; right while one process writes."""

    def __init__(self) -> None:
        self._last: dict[Row, int] = {}

    def get(self, row: Row) -> int | None:
        """None: not known here."""
        return self._last.get(row)

    def update(self, last: Mapping[Row, int]) -> None:
        """To be called when they are committed."""
        for row, number in last.items():
            self._last.pop(row, None)  # to the end: what is used lately stays
            self._last[row] = number
        while len(self._last) > ROWS_MAX:
            del self._last[next(iter(self._last))]

    def clear(self) -> None:
        """Somebody else may have written."""
        self._last.clear()


@dataclass(slots=True)
class Recorded:
    """What the log has already, as far as a batch has to do with it."""

    last: dict[Row, int] = field(default_factory=dict)  # the last number, 0 where there is none
    leaves: dict[Place, bytes] = field(default_factory=dict)  # leaf hashes by place
    ids: dict[str, Place] = field(default_factory=dict)  # places by event id


@dataclass(slots=True)
class Checked:
    """A batch, checked."""

    fresh: list[Read] = field(default_factory=list)  # to be appended, in order
    anomalies: list[Anomaly] = field(default_factory=list)
    repeats: int = 0
    last: dict[Row, int] = field(default_factory=dict)  # once they are appended
    late: set[Row] = field(default_factory=set)  # where something was appended that had been missing


async def recorded(
    connection: Connection, batch: Sequence[Read], last: LastNumbers, *, ids: bool = False
) -> Recorded:
    """Look up, in one query, what cannot be known to be new; with `ids` in another one who has these ids.

    Beyond the last number of its row an event is new for certain.
    """
    found = Recorded()
    wanted = set()
    for each in batch:
        known = last.get(each.row)
        if known is not None:
            found.last[each.row] = known
        if known is None or each.event.sequence <= known:
            wanted.add(each.place)
    if wanted:
        for place, leaf, last_number in await repository.places(connection, list(wanted)):
            found.last[place[:2]] = last_number
            if leaf is not None:
                found.leaves[place] = leaf
    if ids:
        found.ids = await repository.places_of_ids(connection, [each.event.id for each in batch])
    return found


def plausible(event_id: str, now: datetime) -> bool:
    """Whether this is an id that a producer can have made by now: a UUIDv7, and not dated ahead."""
    made = born(event_id)
    return made is not None and made <= now + AHEAD_MAX


def check(batch: Iterable[Read], log: Recorded, now: datetime) -> Checked:
    """What of a batch is to be appended at `now`, and what is not as it has to be."""
    checked = Checked()
    fresh: dict[Place, Read] = {}
    ids = dict(log.ids)
    appended: defaultdict[Row, list[int]] = defaultdict(list)
    for each in batch:
        place = each.place
        if each.event.source not in SOURCES:
            checked.anomalies.append(_unknown_source(each))
        elif place in fresh or place in log.leaves:
            checked.repeats += 1
            leaf = log.leaves[place] if place in log.leaves else leaf_hash(fresh[place].raw)
            if leaf != leaf_hash(each.raw):
                checked.anomalies.append(_conflict(each, leaf))
        elif (other := ids.setdefault(each.event.id, place)) != place:
            checked.anomalies.append(_id_reused(each, other))
        else:
            fresh[place] = each
            appended[each.row].append(each.event.sequence)
            if not plausible(each.event.id, now):
                checked.anomalies.append(_implausible_id(each, now))
    checked.fresh = list(fresh.values())
    for row, numbers in appended.items():
        last = log.last.get(row, 0)
        checked.last[row] = max(last, *numbers)
        if min(numbers) <= last:
            checked.late.add(row)
        # Only what is missing at the end of the batch: within it, the order is no loss.
        for number in sorted(number for number in numbers if number > last):
            if number > last + 1:
                checked.anomalies.append(_gap(row, last + 1, number - 1))
            last = number
    return checked


def _gap(row: Row, first: int, last: int) -> Anomaly:
    lease_id, source = row
    missing = f"number {first} is" if first == last else f"numbers {first} to {last} are"
    return Anomaly(
        kind="gap",
        place=f"{lease_id} {source} {first}",
        detail=(
            f"{missing} missing of what {source} has published of the lease; number {last + 1} is recorded"
        ),
        source=source,
        lease_id=lease_id,
        first=first,
        last=last,
    )


def _conflict(each: Read, recorded_leaf: bytes) -> Anomaly:
    lease_id, source, number = each.place
    return Anomaly(
        kind="conflict",
        place=f"{lease_id} {source} {number} {leaf_hash(each.raw).hex()}",  # other bytes are another anomaly
        detail=f"other bytes than those recorded with leaf hash {recorded_leaf.hex()}",
        source=source,
        lease_id=lease_id,
        first=number,
        last=number,
        event_id=each.event.id,
        event_type=each.event.type,
        stream_offset=each.offset,
        evidence=each.raw,
    )


def _id_reused(each: Read, other: Place) -> Anomaly:
    lease_id, source, number = each.place
    return Anomaly(
        kind="id_reused",
        place=f"{lease_id} {source} {number} {leaf_hash(each.raw).hex()}",  # other bytes are another anomaly
        detail="this id is recorded as that of number {2} of {1} of lease {0}".format(*other),
        source=source,
        lease_id=lease_id,
        first=number,
        last=number,
        event_id=each.event.id,
        event_type=each.event.type,
        stream_offset=each.offset,
        evidence=each.raw,
    )


def _implausible_id(each: Read, now: datetime) -> Anomaly:
    lease_id, source, number = each.place
    made = born(each.event.id)
    what = "is no UUIDv7" if made is None else f"says that it was made at {rfc3339(made)}"
    return Anomaly(
        kind="implausible_id",
        place=each.event.id,
        detail=f"the id {what}; the event was recorded at {rfc3339(now)}",
        source=source,
        lease_id=lease_id,
        first=number,
        last=number,
        event_id=each.event.id,
        event_type=each.event.type,
        stream_offset=each.offset,
        evidence=each.raw,
    )


def _unknown_source(each: Read) -> Anomaly:
    return Anomaly(
        kind="unknown_source",
        place=f"{each.event.source} {leaf_hash(each.raw).hex()}",
        detail=f"{each.event.source} is no source that the ledger knows; its events are not recorded",
        source=each.event.source,
        lease_id=each.event.subject,
        first=each.event.sequence,
        last=each.event.sequence,
        event_id=each.event.id,
        event_type=each.event.type,
        stream_offset=each.offset,
        evidence=each.raw,
    )
