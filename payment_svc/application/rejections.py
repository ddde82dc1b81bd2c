"""The outcome of a command that cannot be carried out as things stand."""

from common.messaging.envelope import Command, Outcome
from common.web.command_status import status_url
from common.web.problems.details import FieldError, problem
from payment_svc.application.unit_of_work import token
from payment_svc.domain.attempt import Account, Refused


def refusal(command: Command, refused: Refused, account: Account | None) -> Outcome:
    """A problem of the refusal's status; with the token of the account it looked at, if any."""
    errors = [FieldError(refused.pointer, refused.detail)] if refused.pointer else []
    return Outcome(
        command_id=command.command_id,
        status="rejected",
        http_status=refused.status,
        body=problem(
            refused.status,
            refused.detail,
            instance=status_url(command.command_id),
            errors=errors,
        ),
        token=token(account) if account is not None else None,
    )
