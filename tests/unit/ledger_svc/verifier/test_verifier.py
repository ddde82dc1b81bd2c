"""What the verifier says of exports: which entry is wrong and how, and what the events add up to."""

import json
from base64 import b64decode
from collections.abc import Callable
from datetime import timedelta
from io import BufferedReader, BytesIO
from random import Random
from typing import Any

import pytest

from ledger_svc.transparency import checkpoint, proofs, signed_note
from ledger_svc.verifier.consistency import Consistency, History, Unanswerable
from ledger_svc.verifier.findings import MAX_PROBLEMS, Problem, Report
from ledger_svc.verifier.verifier import Trust, verify
from ledger_svc.views import point_in_time
from perf.checks.export_file import Export, dump, fit, parse
from tests.support.builders.event_mixes import interleave
from tests.support.builders.events import LEASES, PAYMENTS, Life
from tests.support.builders.exports import KEY, LATER, Ledger, ledger

TRUST = Trust([KEY.verifier])


def checked(data: bytes, trust: Trust = TRUST) -> Report:
    return verify(BufferedReader(BytesIO(data)), "file", trust)


def only(report: Report, check: str) -> Problem:
    """The one problem that this check has found."""
    (found,) = [each for each in report.problems if each.check == check]
    return found


def results(report: Report) -> dict[str, bool | None]:
    return {each.check: each.ok for each in report.checks}


def paid_lease() -> Life:
    life = Life(term=3)
    life.create()
    for number in (1, 2):
        life.succeed(life.start(number))
    return life


@pytest.fixture
def small() -> Ledger:
    """Two leases of five events each, in turns: entries 1, 3, 5 … are the first one's."""
    lives = [paid_lease(), paid_lease()]
    return Ledger(lives, [raw for pair in zip(*(life.raws for life in lives), strict=True) for raw in pair])


async def forged(made: Ledger, change: Callable[[Export], Any], lease: bool = True) -> Report:
    """The verifier's report on an export of the first lease, or of all, that `change` has falsified."""
    export = parse(await made.export("ndjson", made.lives[0].lease_id if lease else None))
    change(export)
    return checked(dump(export))


# --- honest exports ---


@pytest.mark.parametrize("form", ["json", "ndjson"])
async def test_a_lease(small: Ledger, form: Any) -> None:
    """Everything is as sealed; the state is that of the lease's own sums."""
    life = small.lives[0]
    report = checked(await small.export(form, life.lease_id))
    assert (report.ok, report.problems, report.notes) == (True, [], [])
    assert results(report) == {**dict.fromkeys(results(report), True), "consistency": None}
    assert (report.lease_id, report.entries, report.tree_size) == (life.lease_id, 5, 10)
    assert report.signed_by == str(KEY.verifier)
    assert report.lease is not None
    assert (report.currency, report.lease.status, report.lease.balance) == ("USD", "active", life.balance)
    assert report.lease.amount_paid == life.collected
    assert [row.status for row in report.lease.payments] == ["paid", "paid", "scheduled"]


async def test_the_whole_ledger() -> None:
    """The sums of all leases, by currency, are those of the leases' own books."""
    made = ledger(7, leases=12)
    report = checked(await made.export())
    assert report.ok
    assert report.ledger is not None
    for currency in {life.currency for life in made.lives}:
        lives = [life for life in made.lives if life.currency == currency]
        assert report.ledger.outstanding[currency] == sum(life.balance for life in lives)
        assert report.ledger.collected[currency] == sum(life.collected - life.refunded for life in lives)
    assert sum(report.ledger.leases.values()) == 12
    statuses = [life.status for life in made.lives]
    assert report.ledger.leases == {status: statuses.count(status) for status in set(statuses)}


async def test_an_event_that_was_healed_later() -> None:
    """An event that stands behind its successors is no gap, and the state is that of the right order."""
    life = paid_lease()
    late = [*life.raws[:1], *life.raws[2:], life.raws[1]]
    made = Ledger([life], late)
    report = checked(await made.export("ndjson", life.lease_id))
    assert report.ok
    assert report.lease == point_in_time.snapshot(point_in_time.fold(Ledger([life], life.raws).entries))


async def test_any_order_between_the_sources() -> None:
    """Recorded in another order between the sources: the same state."""
    life = Life(term=2)
    life.create()
    life.succeed(life.start(1))
    life.close()
    states = []
    for seed in range(5):
        made = Ledger([life], interleave(life.raws, Random(seed)))
        states.append(checked(await made.export("ndjson", life.lease_id)).lease)
    assert states[0] is not None
    assert states == [states[0]] * 5


async def test_an_unknown_type_of_event() -> None:
    """A later version's event is sealed like any other; no state is told, and that is said."""
    life = paid_lease()
    life.emit(LEASES, "lease.renamed", {"name": "x"})
    made = Ledger([life], life.raws)
    one, everything = checked(await made.export("json", life.lease_id)), checked(await made.export())
    for report in (one, everything):
        assert report.ok
        assert "lease.renamed" in report.notes[0]
    assert one.lease is None


async def test_a_large_tree_in_parts() -> None:
    """With more than 512 entries, parts hold several; all sizes verify, and a change is narrowed down."""
    life = Life(term=1)
    for number in range(1100):
        life.emit(PAYMENTS, "payment.noted", {"number": number})
    made = Ledger([life], life.raws)
    for size in (511, 512, 513, 519, 520, 521, 1023, 1024, 1100):
        assert checked(await made.export(size=size)).ok
    export = parse(await made.export(size=1037))
    for row in (export.rows[300], export.rows[1036]):
        fit(row, b64decode(row["raw"]).replace(b'"number":', b'"number":1'))
    export.tail["parts"]["hashes"][0], kept = "0" * 64, export.tail["parts"]["hashes"][0]
    assert "another root" in only(checked(dump(export)), "inclusion").words
    export.tail["parts"]["hashes"][0] = kept
    found = [each.words for each in checked(dump(export)).problems if each.check == "inclusion"]
    parts = ("297 to 304", "1033 to 1037")
    assert found == [f"entries {part} are not what is sealed" for part in parts]


# --- what is said of falsified ones ---


async def test_changed_bytes(small: Ledger) -> None:
    """The entry, its event, what was sealed and what is there."""

    def change(export: Export) -> None:
        row = export.rows[2]
        sealed.append(row["leaf_hash"])
        kept = row["leaf_hash"]
        fit(row, b64decode(row["raw"]).replace(b'"amount":', b'"amount":1'))
        row["leaf_hash"] = kept

    sealed: list[str] = []
    report = await forged(small, change)
    problem = only(report, "bytes")
    assert (problem.seq, problem.event_id, problem.expected) == (5, small.entries[4].event_id, sealed[0])
    assert problem.found != sealed[0]
    assert "bytes were changed" in problem.words
    assert report.lease is None  # nothing is told from what was falsified


async def test_changed_bytes_with_a_hash_that_fits(small: Ledger) -> None:
    """A lease's entry is not in the tree; in the whole ledger, the tree's parts say which it is."""

    def change(export: Export) -> None:
        row = next(each for each in export.rows if each["seq"] == 5)
        fit(row, b64decode(row["raw"]).replace(b'"amount":', b'"amount":1'))

    for lease in (True, False):
        problem = only(await forged(small, change, lease), "inclusion")
        assert problem.seq == 5


async def test_a_removed_entry(small: Ledger) -> None:
    """The number that is missing, and before which entry."""
    problem = only(await forged(small, lambda export: export.rows.pop(2)), "sequences")
    assert (problem.words, problem.seq) == ("/payment-svc: 2 missing before this entry", 7)
    problem = only(await forged(small, lambda export: export.rows.pop(2), lease=False), "order")
    assert (problem.words, problem.seq) == ("entry 3 is missing before this one", 4)


async def test_a_truncated_export(small: Ledger) -> None:
    """Which source has said more, or which entries the checkpoint counts: the manifest and the tree know."""

    def shorten(export: Export) -> None:
        del export.rows[-2:]
        export.tail["count"] -= 2

    report = await forged(small, shorten)
    (problem,) = [each for each in report.problems if "missing at the end" in each.words]
    assert (problem.expected, problem.found) == ('last "/payment-svc" 4', 'last "/payment-svc" 2')
    problem = only(await forged(small, shorten, lease=False), "order")
    assert problem.words == "entries 9 to 10 are missing at the end"


async def test_an_end_that_was_left_out_before_it_was_signed() -> None:
    """What one service has seen of the other's events has to be there, whatever the operator signs."""
    life = paid_lease()
    raws = [json.dumps(json.loads(life.raws[0]) | {"seensequence": 4}).encode(), *life.raws[1:]]
    assert checked(await Ledger([life], raws).export("ndjson", life.lease_id)).ok
    for lease_id in (life.lease_id, None):
        problem = only(checked(await Ledger([life], raws[:-2]).export("ndjson", lease_id)), "sequences")
        assert (problem.seq, problem.expected) == (1, "3")
        assert problem.words.endswith("3 to 4 missing which this entry has seen")


async def test_added_and_reordered_entries(small: Ledger) -> None:
    """Doubled, out of place, of another lease: each is named."""
    doubled = await forged(small, lambda export: export.rows.insert(3, export.rows[2]))
    assert {each.seq for each in doubled.problems if each.check in ("order", "sequences")} == {5}
    swapped = await forged(small, lambda export: export.rows.insert(1, export.rows.pop(3)))
    assert only(swapped, "order").seq == 3
    foreign = parse(await small.export("ndjson", small.lives[1].lease_id)).rows[1]
    report = await forged(small, lambda export: export.rows.insert(2, foreign))
    assert (only(report, "order").words, only(report, "order").seq) == ("the event is of another lease", 4)
    assert results(report)["inclusion"]  # it is in the ledger, but not of this lease


async def test_what_is_shown(small: Ledger) -> None:
    """The readable event has to be that of the bytes, `true` and 1 kept apart."""
    for value in (True, 1.5, "1", None):
        report = await forged(small, lambda each, value=value: each.rows[0]["event"].update(sequence=value))
        assert only(report, "shown").seq == 1
        assert results(report)["bytes"]


async def test_forged_checkpoints(small: Ledger) -> None:
    """Signed by a stranger, of another log, or a manifest in its place: said, and the rest is looked at."""
    stranger = signed_note.generate(KEY.name)
    (root,) = proofs.hashes([proofs.root(10)], small.nodes)
    elsewhere = checkpoint.signed(signed_note.generate("example.org/other"), 10, root)
    manifest = parse(await small.export()).tail["manifest"]
    for sealed in (checkpoint.signed(stranger, 10, root), elsewhere, manifest, "", "x" * 10):
        report = await forged(small, lambda it, sealed=sealed: it.head.update(checkpoint=sealed))
        assert only(report, "checkpoint").words == "the checkpoint is not signed by the ledger"
        assert report.signed_by is None
        assert results(report)["sequences"]


async def test_keys_that_follow_each_other(small: Ledger) -> None:
    """A checkpoint by the old key and a manifest by the new one verify with both keys, and not with one."""
    new = signed_note.generate(KEY.name)
    sealed = small.checkpoint()
    small.key = new
    small.checkpoint = lambda size=None: sealed  # type: ignore[method-assign]
    data = await small.export("ndjson", small.lives[0].lease_id)
    assert checked(data, Trust([new.verifier, KEY.verifier])).ok
    for key in (new, KEY):
        assert not checked(data, Trust([key.verifier])).ok


async def test_the_list_of_problems_ends(small: Ledger) -> None:
    """A file in which everything is wrong is not read for ever."""
    lines = [b"{}"] * 1000
    head, *_ = (await small.export()).splitlines()
    report = checked(b"\n".join([head, *lines]))
    assert len(report.problems) == MAX_PROBLEMS
    assert "rest was not looked at" in report.notes[0]
    assert results(report)["manifest"] is None


# --- against an earlier checkpoint ---


def earlier(made: Ledger, size: int, proof: Consistency | None = None) -> Trust:
    stated = checkpoint.verified(made.checkpoint(size), [KEY.verifier])
    return Trust([KEY.verifier], History(stated, proof))


def proof(made: Ledger, first: int, second: int) -> Consistency:
    """As the ledger answers."""
    roots = proofs.hashes([proofs.root(first), proofs.root(second)], made.nodes)
    path = proofs.hashes(proofs.consistency(first, second), made.nodes)
    first_root, second_root = (each.hex() for each in roots)
    return Consistency(
        first=first,
        second=second,
        first_root=first_root,
        second_root=second_root,
        path=[each.hex() for each in path],
    )


async def test_against_an_earlier_checkpoint(small: Ledger) -> None:
    """Both sorts of export have only grown since each earlier size; a lease's needs a proof for that."""
    lease_id = small.lives[0].lease_id
    for size in range(1, 11):
        report = checked(await small.export(), earlier(small, size))
        assert results(report)["consistency"]
        given = proof(small, size, 10) if size < 10 else None
        report = checked(await small.export("json", lease_id), earlier(small, size, given))
        assert report.ok
        assert results(report)["consistency"]
    with pytest.raises(Unanswerable, match=r"consistency\?first=4&second=10"):
        checked(await small.export("json", lease_id), earlier(small, 4))


async def test_a_ledger_that_was_written_anew(small: Ledger) -> None:
    """Sealed again with another past, by the right key: only the earlier checkpoint tells."""
    lives = small.lives
    anew = Ledger(lives, [raw for life in lives for raw in life.raws])
    lease_id = lives[0].lease_id
    for size in (4, 10):
        for given in (proof(anew, size, 10), proof(small, size, 10)):
            trust = earlier(small, size, given)
            for data in (await anew.export(), await anew.export("json", lease_id)):
                assert checked(data).ok
                report = checked(data, trust)
                assert results(report) == {**dict.fromkeys(results(report), True), "consistency": False}


async def test_a_ledger_that_has_shrunk(small: Ledger) -> None:
    """Fewer entries than an earlier checkpoint counted: entries were removed."""
    for lease_id in (None, small.lives[0].lease_id):
        report = checked(await small.export("json", lease_id, size=6), earlier(small, 8))
        problem = only(report, "consistency")
        assert (problem.expected, problem.found) == ("8", "6")


async def test_an_older_export_is_dated(small: Ledger) -> None:
    """What an old export says is true of its time; its date is signed with it, and cannot be moved."""
    data = await small.export("ndjson", None, 6, LATER - timedelta(days=30))
    assert checked(data).ok
    export = parse(data)
    export.head["exported_at"] = parse(await small.export()).head["exported_at"]
    problem = only(checked(dump(export)), "manifest")
    assert problem.expected == "exported 2027-12-06T08:00:00.000000Z"
