"""In what the ledger and the outbox of an event's producer can differ."""

from typing import Literal

What = Literal[
    "missing",  # the outbox has it, the ledger does not
    "unknown",  # the ledger has it, its producer does not
    "other_bytes",  # both have an event with this id, and not the same
]
