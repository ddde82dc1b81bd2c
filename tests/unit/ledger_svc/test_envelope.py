"""What the ledger takes for an event, and how it shows an entry."""

from base64 import b64decode
from datetime import UTC, datetime
from hashlib import sha256

import msgspec
import pytest

from ledger_svc.contracts import envelope
from ledger_svc.contracts.entry import render
from ledger_svc.event_types import registry
from ledger_svc.log.entry import seal
from ledger_svc.log.message_decoder import MAX_BODY_BYTES, split
from tests.support.builders.event_mixes import record
from tests.support.builders.events import LEASES, Life

SINGLE = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"


def two_events() -> list[bytes]:
    life = Life(term=1)
    life.create()
    life.start(1)
    return life.raws


def decode_message(body: bytes, content_type: str) -> list[tuple[envelope.Event, bytes]]:
    """All events of a message with their bytes, as the writer takes them in."""
    return [(envelope.decode(raw), raw) for raw in split(body, content_type)]


def altered(**changes: object) -> bytes:
    """An event with fields replaced, or left out where the value is None."""
    fields = msgspec.json.decode(two_events()[0]) | changes
    return msgspec.json.encode({name: value for name, value in fields.items() if value is not None})


def test_single_and_batch_give_the_same_exact_bytes() -> None:
    """An event has the same bytes, and so the same leaf hash, whichever mode it travelled in."""
    raws = two_events()
    singles = [pair for raw in raws for pair in decode_message(raw, SINGLE + "; charset=utf-8")]
    batch = decode_message(b" [\n" + b" ,\t".join(raws) + b"\r\n] ", BATCH)
    assert batch == singles
    assert [raw for _, raw in batch] == raws
    assert decode_message(b"[]", BATCH) == []


def test_layout_of_a_batched_event_is_kept() -> None:
    """White space inside an element belongs to its exact bytes; around it, to the array."""
    laid_out = msgspec.json.format(two_events()[0], indent=2)
    assert decode_message(b"[ " + laid_out + b" ]", BATCH)[0][1] == laid_out


def test_additions_break_nothing() -> None:
    """Unknown fields of the envelope and of the data are let through; others may be absent."""
    raw = altered(newextension="x", correlationid=None, causationid=None, data={"new": 1})
    assert bytes(envelope.decode(raw).data) == b'{"new":1}'
    life = Life(term=1)
    life.create()
    event = envelope.decode(life.raws[0])
    more = msgspec.json.decode(event.data) | {"colour": "red"}
    grown = msgspec.structs.replace(event, data=msgspec.Raw(msgspec.json.encode(more)))
    assert registry.data_of(grown) == registry.data_of(event)


@pytest.mark.parametrize(
    "changes",
    [
        {"id": None}, {"id": ""}, {"source": None}, {"type": None}, {"subject": None}, {"data": None},
        {"sequence": None}, {"sequence": 0}, {"sequence": "1"}, {"time": None},
        {"time": "2026-12-01T08:00:00"},
        {"specversion": "0.3"}, {"datacontenttype": "text/xml"}, {"id": "x" * 256},
    ],
    ids=str,
)  # fmt: skip
def test_what_the_ledger_needs_must_be_right(changes: dict[str, object]) -> None:
    """A missing or wrong field of the envelope is malformed, alone or in a batch."""
    raw = altered(**changes)
    with pytest.raises(envelope.MalformedEvent):
        envelope.decode(raw)
    with pytest.raises(envelope.MalformedEvent):
        decode_message(b"[" + two_events()[0] + b"," + raw + b"]", BATCH)


@pytest.mark.parametrize("body", [b"", b"{", b"[{]", b"null", b'"\xff"'])
@pytest.mark.parametrize("kind", [SINGLE, BATCH])
def test_no_json_no_event(body: bytes, kind: str) -> None:
    """Whatever is not JSON, or not of the expected shape, is malformed."""
    with pytest.raises(envelope.MalformedEvent):
        decode_message(body, kind)


def test_bytes_that_are_not_utf8_are_malformed() -> None:
    """Wrong UTF-8 deep inside the data is found at the door, not when an auditor reads it."""
    raw = altered(data={"note": "plain"}).replace(b"plain", b"\xff\xfe")
    with pytest.raises(envelope.MalformedEvent):
        envelope.decode(raw)


def test_other_messages_are_refused() -> None:
    """Another content type or a body past the limit is malformed."""
    raw = two_events()[0]
    with pytest.raises(envelope.MalformedEvent, match="content type"):
        decode_message(raw, "application/json")
    with pytest.raises(envelope.MalformedEvent, match="more than"):
        decode_message(raw + b" " * MAX_BODY_BYTES, SINGLE)


def test_entry_as_the_contract_shows_it() -> None:
    """Data verbatim, times with six digits and Z, hash in lower-case hex, the bytes only when asked for."""
    raw = altered(time="2026-12-01T10:00:00+02:00", data={})
    raw = raw.replace(b'"data":{}', b'"data":{"big": 1.00, "a":[] }')
    entry = seal(envelope.decode(raw), raw, seq=7, recorded_at=datetime(2026, 12, 1, 8, 0, 1, tzinfo=UTC))
    shown = msgspec.json.encode(render(entry))
    assert b'"data":{"big": 1.00, "a":[] },' in shown
    fields = msgspec.json.decode(shown)
    assert list(fields) == [
        "seq", "event_id", "type", "source", "sequence", "occurred_at", "recorded_at", "data", "leaf_hash",
    ]  # fmt: skip
    assert fields["seq"] == 7
    assert fields["occurred_at"] == "2026-12-01T08:00:00.000000Z"
    assert fields["recorded_at"] == "2026-12-01T08:00:01.000000Z"
    assert fields["leaf_hash"] == sha256(b"\x00" + raw).hexdigest()
    with_raw = msgspec.json.decode(msgspec.json.encode(render(entry, include_raw=True)))
    assert b64decode(with_raw.pop("raw")) == raw
    assert with_raw == fields


def test_sealing_takes_the_place_from_the_event() -> None:
    """An entry names the event's lease, source and sequence, and its own seq."""
    life = Life(term=1)
    life.create()
    (entry,) = record(life.raws, first_seq=41)
    assert (entry.seq, entry.lease_id, entry.source, entry.sequence) == (41, life.lease_id, LEASES, 1)
