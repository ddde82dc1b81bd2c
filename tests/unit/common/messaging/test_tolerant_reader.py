"""Events without a handler: passed over where their producer says so, refused otherwise."""

import msgspec
import pytest

from common.messaging.envelope import Event, decode_event, encode
from common.messaging.tolerant_reader import SKIPPED, UnknownEventType, handler_of
from lease_svc.application.event_handlers import EVENTS as LEASE_READS
from lease_svc.contracts.consumed_events import SKIPPED_UNMARKED
from lease_svc.contracts.events import CATALOGUE as LEASES
from lease_svc.contracts.events import MAY_BE_SKIPPED
from payment_svc.application.event_handlers import EVENTS as PAYMENT_READS
from payment_svc.application.event_handlers import SKIPPED_UNMARKED as PAYMENT_SKIPS
from payment_svc.contracts.events import CATALOGUE as PAYMENTS
from payment_svc.contracts.events import MAY_BE_SKIPPED as PAYMENTS_MAY_BE_SKIPPED

HANDLERS = {"a.known": "its handler"}


def event(type_: str, **attributes: bool) -> Event:
    return Event(
        id="e1",
        source="/s",
        type=type_,
        subject="l1",
        time="2026-12-01T08:00:00.000000Z",
        sequence=1,
        correlationid="c",
        causationid="c",
        data=msgspec.Raw(b"{}"),
        **attributes,
    )


def test_what_may_be_skipped_is_counted() -> None:
    """A marked type without a handler has none; one that has a handler is handled, marked or not."""
    before = SKIPPED.labels("a.new")._value.get()
    assert handler_of(HANDLERS, event("a.new", mayskip=True)) is None
    assert SKIPPED.labels("a.new")._value.get() == before + 1
    assert handler_of(HANDLERS, event("a.known", mayskip=True)) == "its handler"
    assert handler_of(HANDLERS, event("a.known")) == "its handler"


@pytest.mark.parametrize("attributes", [{}, {"mayskip": False}])
def test_what_must_be_understood_is_refused(attributes: dict[str, bool]) -> None:
    """No mark is none: a type that nobody here knows stops the reader, unless it is a known one of before."""
    with pytest.raises(UnknownEventType, match=r"a\.new"):
        handler_of(HANDLERS, event("a.new", **attributes))
    assert handler_of(HANDLERS, event("a.new", **attributes), unmarked={"a.new"}) is None


def test_the_mark_on_the_wire() -> None:
    """Events without the mark have the bytes they always had; with it, one attribute more."""
    bare, marked = encode(event("a.new")), encode(event("a.new", mayskip=True))
    assert b"mayskip" not in bare
    assert marked.replace(b'"mayskip":true,', b"") == bare
    assert decode_event(marked).mayskip is True
    assert decode_event(bare).mayskip is msgspec.UNSET


def test_every_lease_event_that_must_be_understood_has_a_handler_in_the_payment_service() -> None:
    """What has no handler there may be skipped, marked now and in events of before alike."""
    assert set(LEASES) - set(PAYMENT_READS) == PAYMENT_SKIPS == MAY_BE_SKIPPED
    assert set(PAYMENT_READS) <= set(LEASES)


def test_every_payment_event_that_must_be_understood_has_a_handler_in_the_lease_service() -> None:
    """What has no handler there may be skipped, marked now and in events of before alike."""
    assert set(PAYMENTS) - set(LEASE_READS) == SKIPPED_UNMARKED == PAYMENTS_MAY_BE_SKIPPED
    assert set(LEASE_READS) <= set(PAYMENTS)
