"""Events of the payment service that a lease does not know: passed over or refused, live and in a replay."""

from datetime import UTC, date, datetime

import msgspec
import pytest

from common.kernel.ids import uuid7
from common.messaging.envelope import Command, Event
from common.messaging.tolerant_reader import UnknownEventType
from common.replay.fold import UnknownType
from lease_svc.application.command_handlers import create_lease
from lease_svc.application.event_handlers import apply
from lease_svc.application.projection import fold
from lease_svc.application.unit_of_work import Batch
from lease_svc.contracts.commands import CreateLease, LeaseTerms
from lease_svc.contracts.consumed_events import SOURCE as PAYMENTS
from lease_svc.domain.lease import Lease

NOW = datetime(2026, 12, 1, 8, tzinfo=UTC)


@pytest.fixture
def batch() -> Batch:
    """A lease that was just created."""
    terms = LeaseTerms(
        customer_id="cus-42",
        currency="USD",
        principal=120_000,
        annual_rate="0.12",
        term=3,
        frequency="monthly",
        start_date=date(2026, 12, 1),
    )
    made = Batch({})
    command = Command(command_id=uuid7(), type="CreateLease", submitted_at=NOW, data=msgspec.Raw(b"{}"))
    create_lease(made, command, CreateLease(lease_id=uuid7(), terms=terms), NOW)
    return made


@pytest.fixture
def lease(batch: Batch) -> Lease:
    [lease] = batch.new.values()
    return lease


def payment_event(lease: Lease, *, mayskip: bool) -> Event:
    return Event(
        id=uuid7(),
        source=PAYMENTS,
        type="payment.of_a_later_version",
        subject=lease.lease_id,
        time="2026-12-01T08:00:00.000000Z",
        sequence=1,
        correlationid=uuid7(),
        causationid=uuid7(),
        mayskip=mayskip,
        data=msgspec.Raw(b"{}"),
    )


def test_an_event_that_may_be_skipped_moves_only_the_position(batch: Batch, lease: Lease) -> None:
    """No change, no event, and the next one of the sequence can come; a replay ends with the same lease."""
    later = payment_event(lease, mayskip=True)
    apply(batch, lease, later, NOW)
    assert (lease.payment_sequence, lease.version, len(batch.events)) == (1, 1, 1)
    folded = fold([*batch.events, later])
    assert (folded.lease, folded.history) == (lease, batch.changes)


def test_any_other_unknown_event_is_refused(batch: Batch, lease: Lease) -> None:
    """The position stays, live; a replay says that nothing can be derived past it."""
    later = payment_event(lease, mayskip=False)
    with pytest.raises(UnknownEventType):
        apply(batch, lease, later, NOW)
    assert lease.payment_sequence == 0
    with pytest.raises(UnknownType, match="later_version"):
        fold([*batch.events, later])
