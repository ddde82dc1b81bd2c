"""The outcome of a command that cannot be carried out as things stand."""

from common.envelope import Command, Outcome
from common.http.command_status import status_url
from common.http.problems import FieldError, problem
from payment_svc.attempt import Account, Refused
from payment_svc.batch import token


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
