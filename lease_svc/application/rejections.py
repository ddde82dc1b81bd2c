"""The result of a command that cannot be carried out: from a code of the rules to a problem."""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from common.messaging.envelope import Command, Outcome
from common.web.command_status import status_url
from common.web.problems.details import FieldError, problem
from common.web.problems.types import NOT_FOUND, STATE_CONFLICT, VALIDATION, ProblemType
from lease_svc.application.unit_of_work import token
from lease_svc.contracts.values import Status
from lease_svc.domain import closing
from lease_svc.domain.lease import Lease
from lease_svc.domain.schedule import Violation

Code = closing.Code | Literal["unknown_lease", "no_schedule"]


class Rejection(NamedTuple):
    """How a code is answered."""

    type: ProblemType
    detail: str  # {status}: what the lease is, in words


REJECTIONS: Final[Mapping[Code, Rejection]] = {
    "unknown_lease": Rejection(NOT_FOUND, "There is no such lease."),
    "no_schedule": Rejection(VALIDATION, "No schedule can be made of these terms."),
    "not_cancellable": Rejection(STATE_CONFLICT, "This lease is {status}; it cannot be cancelled."),
    "not_chargeable_off": Rejection(STATE_CONFLICT, "This lease is {status}; it cannot be charged off."),
    "money_collected": Rejection(
        STATE_CONFLICT, "Money has been collected on this lease; it can be charged off, but not cancelled."
    ),
}


def unknown_lease(command: Command) -> Outcome:
    """For a command on a lease that does not exist."""
    return _rejected(command, "unknown_lease")


def no_schedule(command: Command, violations: tuple[Violation, ...]) -> Outcome:
    """For terms that make no schedule; names every wrong field."""
    errors = [FieldError(f"/{each.field}", each.detail) for each in violations]
    return _rejected(command, "no_schedule", errors=errors)


def refused(command: Command, refusal: closing.Refused, lease: Lease) -> Outcome:
    """For a lease that cannot be closed as it stands; with the token of what was looked at."""
    return _rejected(command, refusal.code, lease.status, token(lease))


def _rejected(
    command: Command,
    code: Code,
    status: Status | None = None,
    consistency_token: str | None = None,
    errors: list[FieldError] | None = None,
) -> Outcome:
    rejection = REJECTIONS[code]
    return Outcome(
        command_id=command.command_id,
        status="rejected",
        http_status=rejection.type.status,
        body=problem(
            rejection.type,
            rejection.detail.format(status=(status or "").replace("_", " ")),
            instance=status_url(command.command_id),
            errors=errors,
        ),
        token=consistency_token,
    )
