"""What a command is answered whose attempt has ended, or is unknown; nothing where a run made it."""

import msgspec

from common.messaging.envelope import Outcome, encode
from common.web.command_status import status_url
from common.web.problems.details import problem
from common.web.problems.types import ProblemType
from payment_svc.application.representations import attempt_url, attempt_view
from payment_svc.application.unit_of_work import token
from payment_svc.domain.attempt import Account, Attempt, Payment


def outcome(account: Account, payment: Payment | None, attempt: Attempt, http_status: int) -> Outcome | None:
    """The attempt as it is by now; None: a run made it."""
    if attempt.run_id is not None:
        return None
    return Outcome(
        command_id=attempt.command_id,
        status="pending" if attempt.status == "unknown" else "succeeded",
        http_status=http_status,
        body=msgspec.Raw(encode(attempt_view(attempt, payment, account))),
        location=attempt_url(attempt.attempt_id),
        token=token(account),
    )


def rejection(
    account: Account, attempt: Attempt, kind: ProblemType, detail: str, extra: dict[str, object]
) -> Outcome | None:
    """Why no money has moved; None: a run made the attempt."""
    if attempt.run_id is not None:
        return None
    return Outcome(
        command_id=attempt.command_id,
        status="rejected",
        http_status=kind.status,
        body=problem(
            kind,
            detail,
            instance=status_url(attempt.command_id),
            extra={"attempt_id": attempt.attempt_id, **extra},
        ),
        location=attempt_url(attempt.attempt_id),
        token=token(account),
    )
