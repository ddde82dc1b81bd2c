"""The decline table: what a code from the gateway means for the payment."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from gateway_sandbox.payment_methods import METHODS, decline_code
from payment_svc.domain.declines import TABLE, decline, read_table


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
    for row in TABLE.values():
        assert (row.class_ == "soft") == (row.advice == "retry_later"), row.code


def test_table() -> None:
    """Far more than the sandbox's own codes, in order, each with who says so and words for people."""
    assert len(TABLE) >= 45
    assert list(TABLE) == sorted(TABLE)
    assert {row.class_ for row in TABLE.values()} == {"soft", "hard"}
    assert {row.advice for row in TABLE.values()} == {"do_not_retry", "retry_later", "update_instrument"}
    named = (
        "Stripe decline codes",
        "Stripe error codes",
        "Stripe PaymentIntent",
        "sandbox",
        "ISO 8583",
        "Visa",
        "this project",
    )
    for row in TABLE.values():
        assert row.source.startswith(named), row.code
        assert row.meaning == row.meaning.strip() != row.code


@pytest.mark.parametrize(
    "lines",
    [
        ["lost_card,hard,update_instrument,x,y", "lost_card,soft,retry_later,x,y"],
        ["lost_card,firm,update_instrument,x,y"],
        ["lost_card,hard,pray,x,y"],
        ["lost_card,hard,update_instrument,,y"],
        ["lost_card,hard,update_instrument,x,"],
        ["Lost Card,hard,update_instrument,x,y"],
        ["lost_card,hard,update_instrument,x,y,z"],
        ["lost_card,hard,update_instrument"],
    ],
)
def test_broken_tables(tmp_path: Path, lines: list[str]) -> None:
    """A table with a code twice, a word that is none of ours or a hole in it does not load."""
    path = tmp_path / "codes.csv"
    path.write_text("\n".join(["code,class,advice,source,meaning", *lines]))
    with pytest.raises(ValueError):  # noqa: PT011 msgspec's words are not ours to test
        read_table(path)


def test_every_sandbox_code_is_mapped() -> None:
    """Nothing that the sandbox can say falls through to the row for unknown codes."""
    for name in [*METHODS, "anything else"]:
        code = decline_code(name, earlier_declines=0)
        assert code is None or code in TABLE
