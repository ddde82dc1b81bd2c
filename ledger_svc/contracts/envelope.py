"""The ledger's own view of the events it consumes.

Services share no code but `common`, and the ledger keeps events for years. So it reads tolerantly (a field it
does not know is an addition and breaks nothing) and strictly (what it stands on must be there and right).
Source of the envelope: CloudEvents 1.0.2, JSON event format, structured and batched content mode.
"""

from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

# What the tables keep: Postgres has no NUL in a text, and 31 bits for a sequence.
Text = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[^\x00]*\Z")]
Count = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Seen = Annotated[int, Meta(ge=0, le=2**31 - 1)] | None


class MalformedEvent(ValueError):
    """This is not an event the ledger can read: the envelope or the data of a known type is wrong."""


class UnknownEventType(Exception):
    """This code does not know this type of event: nothing can be derived past it."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A CloudEvent's envelope."""

    specversion: Literal["1.0"]
    id: Text  # UUIDv7
    source: Text  # "/lease-svc" or "/payment-svc"
    type: Text  # dotted, past tense
    subject: Text  # the lease's id
    time: Annotated[datetime, Meta(tz=True)]  # when it occurred
    datacontenttype: Literal["application/json"] = "application/json"
    sequence: Count  # 1, 2, 3 … per source and subject
    correlationid: str | None = None  # the command at the start of it all
    causationid: str | None = None  # the command or event that caused this one
    traceparent: str | None = None  # W3C trace context
    seensequence: Seen = None  # the last of the other source's numbers, of the same subject, that it knew
    data: msgspec.Raw  # the type's own fields; `registry.data_of` reads them


# What decoding raises for bytes that are not an event; RecursionError for those nested too deep.
NOT_AN_EVENT = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_decode_event = msgspec.json.Decoder(Event).decode


def decode(raw: bytes) -> Event:
    """One event from its exact bytes; MalformedEvent where they are not one."""
    try:
        str(raw, "utf-8")  # the decoder does not look into what it leaves raw
        event = _decode_event(raw)
        event.time.astimezone(UTC)
        return event
    except (*NOT_AN_EVENT, OverflowError) as error:  # a time whose UTC lies before the year 1 or after 9999
        raise MalformedEvent(str(error)) from error
