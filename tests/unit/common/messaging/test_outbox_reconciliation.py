"""The messages by which the ledger compares itself with an outbox."""

import msgspec
import pytest

from common.messaging.outbox_reconciliation import Answer, Known, Listing, Range, ReconcileEvents, Window
from ledger_svc.completeness import differences
from ledger_svc.completeness.differences import Difference

ID = "019d0000-0000-7000-8000-000000000000"


def test_an_answer_of_before_is_understood() -> None:
    """A worker that does not name differences yet answers sets as ever."""
    old = b'{"count":3,"digest":"ab","pending":0,"until":null}'
    assert msgspec.json.decode(old, type=Answer) == Answer(count=3, digest="ab", pending=0)


def test_sets_keep_their_names() -> None:
    """Each kind of set is told apart by its tag, and comes back as it was."""
    sets = [
        Range(lease_id=ID, first=1, last=2, count=2, digest="ab"),
        Window(since=ID, until=ID, count=0, digest="00"),
        Listing(events=[Known(event_id=ID, leaf_hash=b"\x00\xff" * 16)]),
    ]
    sent = msgspec.json.encode(ReconcileEvents(sets=sets))
    assert msgspec.json.decode(sent, type=ReconcileEvents).sets == sets
    assert [each["type"] for each in msgspec.json.decode(sent)["sets"]] == ["Range", "Window", "Listing"]


@pytest.mark.parametrize(
    ("differs", "seq", "words"),
    [
        ("missing", None, "the outbox has it, the ledger does not"),
        ("unknown", 7, "the ledger has it, the outbox of its producer does not: it was never published"),
        ("other_bytes", 7, "the outbox has other bytes under this id than the ledger"),
    ],
)
def test_a_difference_is_named(differs: differences.What, seq: int | None, words: str) -> None:
    """Entry, event, type, number, source and lease, and what is wrong; the anomaly has each as a field."""
    each = Difference(
        differs=differs,
        event_id=ID,
        event_type="payment.succeeded",
        source="/payment-svc",
        lease_id=ID,
        sequence=4,
        seq=seq,
    )
    entry = "" if seq is None else "entry 7, "
    said = f"{entry}event {ID}, payment.succeeded, number 4 of /payment-svc of lease {ID}: {words}"
    assert differences.words(each) == said
    raised = differences.anomaly(each)
    assert (raised.kind, raised.detail, raised.differs) == ("difference", said, differs)
    assert (raised.event_id, raised.event_type, raised.lease_id) == (ID, "payment.succeeded", ID)
    assert (raised.source, raised.first, raised.last) == ("/payment-svc", 4, 4)
