"""What travels over the broker: events (CloudEvents 1.0), commands and their outcomes.

Source of the event format: CloudEvents 1.0.2, JSON event format, structured content mode.
"""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

EVENT_CONTENT_TYPE = "application/cloudevents+json"
EVENT_BATCH_CONTENT_TYPE = "application/cloudevents-batch+json"
COMMAND_CONTENT_TYPE = "application/json"
COMMAND_BATCH_CONTENT_TYPE = "application/vnd.commands+json"  # an array of them


# What the tables keep: Postgres has no NUL in a text, and 31 bits for a sequence.
Text = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[^\x00]*\Z")]
Count = Annotated[int, Meta(ge=1, le=2**31 - 1)]


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False):
    """One CloudEvent as it is published; its encoded bytes are never changed afterwards."""

    specversion: Annotated[Literal["1.0"], Meta(description="always this")] = "1.0"
    id: Annotated[str, Meta(description="UUIDv7")]
    source: Annotated[str, Meta(description='"/lease-svc" or "/payment-svc"')]
    type: Annotated[str, Meta(description="dotted, past tense; also the routing key")]
    subject: Annotated[str, Meta(description="the lease's id")]
    time: Annotated[str, Meta(description="RFC 3339, UTC, microseconds")]
    datacontenttype: Annotated[Literal["application/json"], Meta(description="always this")] = (
        "application/json"
    )
    sequence: Annotated[int, Meta(description="1, 2, 3 … per source and subject, no gaps")]
    seensequence: Annotated[
        int | None,
        Meta(description="the last of the other source's events of the subject that this knows of"),
    ] = None
    correlationid: Annotated[str, Meta(description="the command at the start of it all")]
    causationid: Annotated[str, Meta(description="the command or event that caused this one")]
    traceparent: Annotated[str | None, Meta(description="W3C trace context of the request")] = None
    mayskip: Annotated[
        bool | msgspec.UnsetType,
        Meta(description="true: a reader that does not know the type may pass over it; absent: it may not"),
    ] = msgspec.UNSET
    data: Annotated[msgspec.Raw, Meta(description="the type's own fields, see docs/reference/events/")]


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """One command as a front publishes it."""

    command_id: str  # UUIDv7, made by the front
    type: str  # imperative: "CreateLease"
    submitted_at: datetime  # UTC
    idempotency_key: str | None = None  # the client's, 1–255 printable ASCII
    fingerprint: str | None = None  # hex SHA-256 of method, path and body; given with the key
    traceparent: str | None = None  # W3C trace context of the request
    data: msgspec.Raw  # the type's own fields


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a command: the reply to the front and the stored record of it."""

    command_id: str
    status: Literal["pending", "succeeded", "rejected"]
    http_status: int = 202
    body: msgspec.Raw = msgspec.Raw(b"null")  # the body of the synchronous answer
    location: str | None = None  # path of what was made
    token: str | None = None  # Consistency-Token
    replayed: bool = False  # an earlier answer to the same Idempotency-Key
    original_id: str | None = None  # the command whose answer this is, where it is not this one's own
    completed_at: datetime | None = None  # UTC; None while pending

    @property
    def has_answer(self) -> bool:
        """Whether a client can be answered with it: it is final, or says how things stand so far."""
        return self.status != "pending" or bytes(self.body) != b"null"


encode = msgspec.json.Encoder().encode
decode_command = msgspec.json.Decoder(Command).decode
decode_command_batch = msgspec.json.Decoder(list[Command]).decode
decode_event = msgspec.json.Decoder(Event).decode
decode_event_batch = msgspec.json.Decoder(list[Event]).decode
_split = msgspec.json.Decoder(list[msgspec.Raw]).decode
decode_outcomes = msgspec.json.Decoder(list[Outcome]).decode


def split_events(body: bytes, content_type: str) -> list[bytes]:
    """The exact bytes of each event of one message, to be decoded singly.

    In batched mode those are the element's own bytes inside the array, without the white space around it.
    Raises ValueError for another content type, msgspec.DecodeError where the body is no array of JSON values,
    RecursionError where it is nested too deep.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == EVENT_CONTENT_TYPE:
        return [body]
    if media_type != EVENT_BATCH_CONTENT_TYPE:
        raise ValueError(f"content type {content_type!r}")
    return [bytes(part) for part in _split(body)]
