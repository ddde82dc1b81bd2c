"""For which days collections may run: a mistyped day, or a clock that is wrong, must charge nobody. Pure."""

from datetime import date

from payment_svc.attempt import Refused
from payment_svc.commands import RunCollections


def may_run(asked: RunCollections, today: date, *, sandbox: bool) -> None:
    """Raises Refused: 422 for a day after `today` (UTC), but where it is asked for and no money is real."""
    if asked.as_of <= today:
        return
    words = f"lies after today, {today} (UTC)"
    if not asked.allow_future:
        raise Refused(
            422,
            f'{words}: a run would charge what is not due yet. With "dry_run": true it is only worked out;'
            ' with "allow_future": true the sandbox gateway takes it',
            "/as_of",
        )
    if not sandbox:
        raise Refused(
            422,
            f"{words}, and this system's gateway is not the sandbox: allow_future does not count here",
            "/as_of",
        )


def runs_for(asked: RunCollections, today: date, *, sandbox: bool) -> bool:
    """Whether the command asks for a run, and for a day that may be run for."""
    if asked.dry_run:
        return False
    try:
        may_run(asked, today, sandbox=sandbox)
    except Refused:
        return False
    return True
