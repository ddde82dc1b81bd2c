"""Bodies and queries of the lease service's requests."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from common.kernel.money import is_currency, rate_ratio
from common.web.field_types import PaymentMethod, Reason
from common.web.pagination import PageQuery
from common.web.problems.details import FieldError
from lease_svc.contracts.commands import LeaseTerms
from lease_svc.contracts.values import CustomerId, Status
from lease_svc.domain.schedule import check_dates


class NewLease(LeaseTerms, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /api/v1/leases`."""

    payment_method: Annotated[
        PaymentMethod | None, Meta(description="the token that was charged; never a card number")
    ] = None


class Closing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /api/v1/leases/{lease_id}/cancel` and `…/charge-off`."""

    reason: Reason


class LeaseFilter(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Query of `GET /api/v1/leases`."""

    customer_id: Annotated[CustomerId | None, Meta(description="the lessor's own name for the customer")] = (
        None
    )
    status: Annotated[Status | None, Meta(description="what became of it")] = None


def rules(right: Mapping[str, Any]) -> list[FieldError]:
    """What the types of NewLease cannot say, as far as its fields that are right (`right`) allow to ask."""
    errors = []
    if "currency" in right and not is_currency(right["currency"]):
        errors.append(FieldError("/currency", "is not a currency of ISO 4217"))
    try:
        rate_ratio(right.get("annual_rate", "0"))
    except ValueError as error:
        errors.append(FieldError("/annual_rate", str(error)))
    if right.get("autopay") and right.get("payment_method", "") is None:
        errors.append(FieldError("/payment_method", "is required with autopay"))
    dates = [right[name] for name in ("frequency", "term", "start_date", "first_due_date") if name in right]
    if len(dates) == 4:
        errors += [FieldError(f"/{each.field}", each.detail) for each in check_dates(*dates)]
    return errors
