"""Waits until programs work, and gives up early on one that keeps dying."""

import time
from collections.abc import Callable, Mapping

from deployment.errors import StackError
from deployment.local.native.supervisord import Supervisor

_POLL_S = 0.1
# A program that was started this often without becoming ready will not become ready by waiting.
_MAX_STARTS = 4


def wait(supervisor: Supervisor, checks: Mapping[str, Callable[[], bool]], timeout_s: float) -> None:
    """Return when every check (by name of the program) has been true once.

    Raises StackError with the program's last log lines when one is given up by supervisord, keeps dying, or
    is not ready in time.
    """
    deadline = time.monotonic() + timeout_s
    starts: dict[str, set[int]] = {name: set() for name in checks}
    waiting = dict(checks)
    while waiting:
        waiting = {name: check for name, check in waiting.items() if not check()}
        if not waiting:
            return
        states = supervisor.states()
        for name in waiting:
            if name not in states:
                continue
            starts[name].add(states[name].started_at)
            if states[name].name_of_state == "FATAL" or len(starts[name]) > _MAX_STARTS:
                problem = f"{name} keeps ending right after its start."
                raise StackError(problem, _ADVICE, supervisor.tail(name))
        if time.monotonic() > deadline:
            name = next(iter(waiting))
            problem = f"{', '.join(waiting)}: not ready after {timeout_s:.0f} s."
            raise StackError(problem, _ADVICE, supervisor.tail(name))
        time.sleep(_POLL_S)


_ADVICE = "`make ps` shows all programs, `make logs` more of their logs; `make up` carries on from here."
