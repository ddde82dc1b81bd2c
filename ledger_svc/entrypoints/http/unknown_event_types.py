"""What a front answers where an event is of a type that its code does not know."""

from collections.abc import Iterator
from contextlib import contextmanager

from common.web.problems.details import ProblemError
from ledger_svc.contracts.envelope import UnknownEventType


@contextmanager
def known_types_only() -> Iterator[None]:
    """What is derived from events stops at one of an unknown type: 409, not a state that never was."""
    try:
        yield
    except UnknownEventType as error:
        raise ProblemError(
            409, f"This version of the ledger does not know an event of this lease: {error}."
        ) from error
