"""The decline table: what a code from the gateway means for the payment."""

from __future__ import annotations

import msgspec
import pytest

from payment_svc.declines import TABLE, decline
from payment_svc.sandbox.methods import METHODS, decline_code


@pytest.mark.parametrize(
    ("code", "class_", "advice"),
    [
        ("insufficient_funds", "soft", "retry_later"),
        ("do_not_honor", "soft", "retry_later"),
        ("lost_card", "hard", "update_instrument"),
        ("expired_card", "hard", "update_instrument"),
        ("suspected_fraud", "hard", "do_not_retry"),
        ("invalid_payment_method", "hard", "update_instrument"),
    ],
)
def test_known_codes(code: str, class_: str, advice: str) -> None:
    """Each code that the sandbox gives has its own row."""
    found = decline(code)
    assert (found.code, found.class_, found.advice, found.retry_at) == (code, class_, advice, None)


@pytest.mark.parametrize("code", ["", "never_heard_of", "INSUFFICIENT_FUNDS"])
def test_unmapped_code(code: str) -> None:
    """A code that nobody has judged keeps its name and is never retried."""
    found = decline(code)
    assert (found.code, found.class_, found.advice) == (code, "hard", "do_not_retry")


def test_json_names() -> None:
    """On the wire the field is called `class`, as the contract has it."""
    body = msgspec.json.decode(msgspec.json.encode(decline("lost_card")))
    assert body == {"code": "lost_card", "class": "hard", "advice": "update_instrument", "retry_at": None}


def test_hard_is_never_retried() -> None:
    """Only soft declines advise a retry, and all of them do."""
    for class_, advice in TABLE.values():
        assert (class_ == "soft") == (advice == "retry_later")


def test_every_sandbox_code_is_mapped() -> None:
    """Nothing that the sandbox can say falls through to the row for unknown codes."""
    for name in [*METHODS, "anything else"]:
        code = decline_code(name, earlier_declines=0)
        assert code is None or code in TABLE
