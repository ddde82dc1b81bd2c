"""What the generated pages show of this service: its front, its events, and an example of each."""

from datetime import UTC, date, datetime
from typing import Any, cast

import msgspec

from common.docgen.pages import Documented
from common.kernel.clock import rfc3339
from common.messaging import topology
from common.messaging.envelope import Event, encode
from common.web.command_endpoint import CommandEndpoint
from common.web.command_status import status_route
from common.web.server import build_app
from lease_svc.adapters.postgres.lease_reader import LeaseReader
from lease_svc.application import representations
from lease_svc.contracts.commands import CancelLease, ChargeOffLease, CreateLease
from lease_svc.contracts.events import CATALOGUE, MAY_BE_SKIPPED, SOURCE
from lease_svc.contracts.values import Fee, LateFee
from lease_svc.domain import closing, lease_factory
from lease_svc.domain.lease import Lease
from lease_svc.entrypoints.http.requests import NewLease
from lease_svc.entrypoints.http.routes import TITLE, LeaseApi

LEASE_ID = "01982f3a-6c00-7000-8000-00000000a000"
CREATED_AT = datetime(2026, 12, 1, 9, 30, tzinfo=UTC)
ENDED_AT = datetime(2027, 1, 16, 14, 5, tzinfo=UTC)
REOPENED_AT = datetime(2027, 1, 18, 11, 20, tzinfo=UTC)


def documented() -> Documented:
    """This service for the generator."""
    nothing = cast(Any, None)  # the routes are asked for, never called
    front = CommandEndpoint(topology.LEASE_COMMANDS, nothing, nothing, nothing)
    app = build_app(TITLE, LeaseApi(LeaseReader(nothing), front, status_route(nothing)).routes(), {})
    return Documented(name="lease", app=app, catalogue=CATALOGUE, examples=examples())


def examples() -> dict[str, Event]:
    """A lease of three instalments, made by the code that makes real ones; it ends in every way it can."""
    terms = NewLease(
        customer_id="cus-42",
        currency="USD",
        principal=120_000,
        annual_rate="0.12",
        term=3,
        frequency="monthly",
        start_date=date(2026, 12, 1),
        fees=[Fee(code="origination", amount=2_500)],
        payment_method="pm_card_ok",
        late_fee=LateFee(grace_days=5, amount=1_500),
        metadata={"store": "17"},
    )

    def new() -> Lease:
        return lease_factory.create(CreateLease(lease_id=LEASE_ID, terms=terms), CREATED_AT)[0]

    lease = new()
    created = msgspec.Raw(representations.created_data(lease))
    lease.amount_paid = 124_102
    paid_off = lease.paid_off("01982f3a-6c00-7000-8000-0000000000c2", "payoff.succeeded")
    lease.balance = 50_000
    reopened = lease.reopened("01982f3a-6c00-7000-8000-0000000000c4", "payment.refunded")
    asked = CancelLease(lease_id=LEASE_ID, reason="returned unused")
    _, cancelled = closing.cancel(new(), asked, ENDED_AT, collected=False)
    given_up = ChargeOffLease(lease_id=LEASE_ID, reason="customer is insolvent")
    _, charged_off = closing.charge_off(new(), given_up, ENDED_AT)
    return {
        "lease.created": _event("lease.created", 1, created, CREATED_AT),
        "lease.paid_off": _event("lease.paid_off", 2, msgspec.Raw(encode(paid_off)), ENDED_AT),
        "lease.reopened": _event("lease.reopened", 3, msgspec.Raw(encode(reopened)), REOPENED_AT),
        "lease.cancelled": _event("lease.cancelled", 2, msgspec.Raw(encode(cancelled)), ENDED_AT),
        "lease.charged_off": _event("lease.charged_off", 2, msgspec.Raw(encode(charged_off)), ENDED_AT),
    }


def _event(type_: str, sequence: int, data: msgspec.Raw, at: datetime) -> Event:
    return Event(
        id=f"01982f3a-6c00-7000-8000-0000000000e{sequence}",
        source=SOURCE,
        type=type_,
        subject=LEASE_ID,
        time=rfc3339(at),
        sequence=sequence,
        correlationid=f"01982f3a-6c00-7000-8000-0000000000d{sequence}",
        causationid=f"01982f3a-6c00-7000-8000-0000000000d{sequence}",
        mayskip=type_ in MAY_BE_SKIPPED or msgspec.UNSET,
        data=data,
    )
