"""What is checked of events on their way into the ledger: numbers, bytes, ids, sources."""

import json
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.kernel.clock import utcnow
from common.kernel.ids import earliest, uuid7
from ledger_svc.contracts import envelope
from ledger_svc.log import event_checks
from ledger_svc.log.anomalies import Anomaly
from ledger_svc.log.event_checks import LastNumbers, Recorded, Row
from ledger_svc.log.message_decoder import Place, Read
from ledger_svc.transparency import merkle_tree
from tests.support.builders.event_mixes import random_life
from tests.support.builders.events import PAYMENTS, Life


class Log:
    """A log that takes in what was checked; it looks at all that it has, and so needs no cleverness."""

    def __init__(self) -> None:
        self.now = utcnow()
        self.taken: dict[Place, bytes] = {}
        self.raised: list[Anomaly] = []
        self.late: set[Row] = set()

    def take(self, *raws: bytes) -> list[str]:
        """Check a batch and append what is fresh; the kinds of what was raised."""
        batch = [Read(0, envelope.decode(raw), raw) for raw in raws]
        known = Recorded(
            last={each.place[:2]: max(self.numbers(each.place[:2]), default=0) for each in batch},
            leaves={place: merkle_tree.leaf_hash(raw) for place, raw in self.taken.items()},
            ids={envelope.decode(raw).id: place for place, raw in self.taken.items()},
        )
        checked = event_checks.check(batch, known, self.now)
        for each in checked.fresh:
            assert each.place not in self.taken
            self.taken[each.place] = each.raw
        assert checked.last == {row: max(self.numbers(row)) for row in checked.last}
        assert len(batch) == len(checked.fresh) + checked.repeats + sum(
            each.kind in ("id_reused", "unknown_source") for each in checked.anomalies
        )
        self.raised += checked.anomalies
        self.late = checked.late
        return [each.kind for each in checked.anomalies]

    def numbers(self, row: Row) -> set[int]:
        return {number for lease_id, source, number in self.taken if (lease_id, source) == row}

    def missing(self) -> set[Place]:
        """Places that are free, with a later one of their row that is not."""
        rows = {place[:2] for place in self.taken}
        return {
            (*row, number)
            for row in rows
            for number in range(1, max(self.numbers(row)))
            if number not in self.numbers(row)
        }

    def told_missing(self) -> set[Place]:
        """The same, as the gaps say that were raised and are not filled."""
        gaps = [each for each in self.raised if each.kind == "gap"]
        assert len({each.place for each in gaps}) == len(gaps)
        places: set[Place] = set()
        for gap in gaps:
            row = str(gap.lease_id), str(gap.source)
            places |= {(*row, number) for number in range(gap.first or 0, (gap.last or 0) + 1)}
        return places - self.taken.keys()


def changed(raw: bytes, **changes: Any) -> bytes:
    return json.dumps(json.loads(raw) | changes).encode()


def a_life() -> Life:
    life = Life()
    life.create()
    for number in (1, 2, 3):
        life.succeed(life.start(number))
    return life


@given(st.randoms(use_true_random=False))
def test_gaps_are_what_is_missing(random: Random) -> None:
    """In any order, any batches, with repeats: each event once, and what is missing is told at any time."""
    raws = [raw for life in (random_life(random), random_life(random)) for raw in life.raws]
    stream = random.sample(raws + raws[::3], len(raws) + len(raws[::3]))
    log = Log()
    while stream:
        size = random.randint(1, 8)
        before = log.told_missing()
        log.take(*stream[:size])
        del stream[:size]
        assert log.told_missing() == log.missing()
        assert log.late == {(*place[:2],) for place in before & log.taken.keys()}
    assert sorted(log.taken.values()) == sorted(raws)
    assert {each.kind for each in log.raised} <= {"gap"}


def test_the_wrong_order_within_a_batch_is_no_gap() -> None:
    """What a later message of the same batch brings is not missing."""
    life = a_life()
    log = Log()
    assert log.take(*life.raws[:2], *life.raws[3:], life.raws[2]) == []
    assert list(log.taken.values()) == [*life.raws[:2], *life.raws[3:], life.raws[2]]


def test_other_bytes_at_a_place_are_a_conflict() -> None:
    """With their own id or another one, in the same batch or later; never appended, and kept as evidence."""
    life = a_life()
    log = Log()
    other, another = changed(life.raws[1], time="2027-01-01T00:00:00Z"), changed(life.raws[1], id=uuid7())
    assert log.take(*life.raws[:2], other, life.raws[1]) == ["conflict"]
    assert log.take(another) == ["conflict"]
    assert [each.evidence for each in log.raised] == [other, another]
    assert list(log.taken.values()) == life.raws[:2]


def test_an_id_of_another_event() -> None:
    """The place stays free, and shows as a gap as soon as a later number comes."""
    life = a_life()
    log = Log()
    stolen = changed(life.raws[3], id=envelope.decode(life.raws[0]).id)
    assert log.take(*life.raws[:3], stolen) == ["id_reused"]
    assert log.take(*life.raws[4:]) == ["gap"]
    assert log.take(life.raws[3]) == []
    assert log.missing() == set()


def test_a_source_that_nobody_knows() -> None:
    """Its events are not recorded; each is told of, with its bytes, however often it comes."""
    life = a_life()
    log = Log()
    strange = [changed(raw, source="/else") for raw in life.raws[:2]]
    assert log.take(*strange, strange[0]) == ["unknown_source"] * 3
    assert len({each.place for each in log.raised}) == 2
    assert not log.taken


def test_a_number_far_off_is_one_gap() -> None:
    """However many are missing, it is one anomaly, found without counting them."""
    life = a_life()
    log = Log()
    number = 2**31 - 1
    life.emit(PAYMENTS, "payment.renamed", {}, sequence=number)
    assert log.take(life.raws[0], life.raws[-1]) == ["gap"]
    assert (log.raised[0].first, log.raised[0].last) == (1, number - 1)


def test_last_numbers_are_bounded() -> None:
    """The row that was not used for longest is forgotten."""
    last = LastNumbers()
    rows = [(str(number), PAYMENTS) for number in range(event_checks.ROWS_MAX + 1)]
    last.update(dict.fromkeys(rows[:-1], 1))
    last.update({rows[0]: 2})
    last.update({rows[-1]: 1})
    assert [last.get(row) for row in (rows[0], rows[1], rows[-1])] == [2, None, 1]


@pytest.mark.parametrize(
    ("event_id", "kinds"),
    [
        ("now", []),
        ("4 minutes ahead", []),
        ("6 minutes ahead", ["implausible_id"]),
        ("a year back", []),
        ("11111111-1111-4111-8111-111111111111", ["implausible_id"]),
        ("ffffffff-ffff-7fff-bfff-ffffffffffff", ["implausible_id"]),
    ],
)
def test_an_id_that_cannot_have_been_made_by_now(event_id: str, kinds: list[str]) -> None:
    """It is recorded, told of once with its bytes, and a clock that is a little ahead is none."""
    log, life = Log(), a_life()
    minutes = {"now": 0, "4 minutes ahead": 4, "6 minutes ahead": 6, "a year back": -365 * 24 * 60}
    if event_id in minutes:
        event_id = earliest(log.now + timedelta(minutes=minutes[event_id]))
    raw = changed(life.raws[0], id=event_id)
    assert log.take(raw) == kinds
    assert log.take(raw) == []
    assert list(log.taken.values()) == [raw]
    for each in log.raised:
        assert (each.event_id, each.event_type, each.evidence) == (event_id, "lease.created", raw)
        assert (each.lease_id, each.source, each.first, each.last) == (life.lease_id, "/lease-svc", 1, 1)
