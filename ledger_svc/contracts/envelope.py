"""The ledger's own view of the events it consumes.

Services share no code but `common`, and the ledger keeps events for years. So it reads tolerantly (a field
it does not know is an addition and breaks nothing) and strictly (what it stands on must be there and right).
Source of the envelope: CloudEvents 1.0.2, JSON event format, structured and batched content mode.
"""

from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from common.messaging.envelope import Count, Text, split_events
from ledger_svc.contracts import payloads
from ledger_svc.contracts.payloads import Data

MAX_BODY_BYTES = 16 * 1024 * 1024  # of one message; the largest event (520 instalments) has about 100 KB

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
    data: msgspec.Raw  # the type's own fields; `data_of` reads them


TYPES: dict[str, type[Data]] = {
    "lease.created": payloads.LeaseCreated,
    "lease.paid_off": payloads.LeasePaidOff,
    "lease.cancelled": payloads.LeaseCancelled,
    "lease.charged_off": payloads.LeaseChargedOff,
    "lease.reopened": payloads.LeaseReopened,
    "payment.attempt_started": payloads.AttemptStarted,
    "payment.succeeded": payloads.PaymentSucceeded,
    "payment.declined": payloads.PaymentDeclined,
    "payment.failed": payloads.PaymentFailed,
    "payment.unknown": payloads.PaymentUnknown,
    "payment.resolved": payloads.PaymentResolved,
    "payment.refunded": payloads.MoneyTakenBack,
    "payment.charged_back": payloads.MoneyTakenBack,
    "payoff.succeeded": payloads.PayoffSucceeded,
    "payoff.declined": payloads.PayoffDeclined,
    "payoff.quoted": payloads.PayoffQuoted,
    "payment.retry_scheduled": payloads.RetryScheduled,
    "lease.autopay_changed": payloads.AutopayChanged,
    "lease.late_fee_assessed": payloads.LateFeeAssessed,
    "lease.delinquent": payloads.LeaseDelinquent,
    "lease.cured": payloads.LeaseCured,
}

# What decoding raises for bytes that are no event; RecursionError for those nested too deep.
_WRONG = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_decode_event = msgspec.json.Decoder(Event).decode
_decode_data = {name: msgspec.json.Decoder(view).decode for name, view in TYPES.items()}


def decode(raw: bytes) -> Event:
    """One event from its exact bytes; MalformedEvent where they are not one."""
    try:
        str(raw, "utf-8")  # the decoder does not look into what it leaves raw
        event = _decode_event(raw)
        event.time.astimezone(UTC)
        return event
    except (*_WRONG, OverflowError) as error:  # a time whose UTC lies before the year 1 or after 9999
        raise MalformedEvent(str(error)) from error


def split(body: bytes, content_type: str) -> list[bytes]:
    """The exact bytes (what is hashed and kept) of each event of one broker message, to be decoded singly.

    MalformedEvent where the body is too long, of another content type, or no array of JSON values.
    """
    if len(body) > MAX_BODY_BYTES:
        raise MalformedEvent(f"{len(body)} bytes, more than {MAX_BODY_BYTES}")
    try:
        return split_events(body, content_type)
    except (*_WRONG, ValueError) as error:
        raise MalformedEvent(str(error)) from error


def data_of(event: Event) -> Data:
    """The event's data as its type says; UnknownEventType; MalformedEvent where a needed field is wrong."""
    decoder = _decode_data.get(event.type)
    if decoder is None:
        raise UnknownEventType(f"{event.type} (event {event.id})")
    try:
        return decoder(event.data)
    except _WRONG as error:
        raise MalformedEvent(f"{event.type} (event {event.id}): {error}") from error
