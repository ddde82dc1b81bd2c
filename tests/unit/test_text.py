"""Card numbers and other text that must stay outside."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.http.text import escape, holds_card_number, text_errors

NUMBERS = [
    "4222222222222",  # 13 digits
    "30569309025904",  # 14
    "378282246310005",  # 15
    "4111111111111111",  # 16
    "6304000000000000",
    "5555555555554444",
    "6011111111111117",
    "3530111333300000",
    "6212345678900000003",  # 19
]


def with_check_digit(digits: str) -> str:
    """ISO/IEC 7812-1 Annex B, worked out another way: the table of doubled digits."""
    doubled = "0246813579"
    total = sum(int(doubled[int(d)]) if i % 2 == 0 else int(d) for i, d in enumerate(reversed(digits)))
    return digits + str(-total % 10)


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize(
    "form", ["{}", "x{}x", "card {}", "{} 12/29", "{} 123", "12/29 {}", "a-{}-b", "{},{}", "\n{}\t"]
)
def test_known_numbers(number: str, form: str) -> None:
    """The networks' test numbers are found, whatever stands around them."""
    assert holds_card_number(form.format(number, number))


@pytest.mark.parametrize(
    "form",
    ["4111 1111 1111 1111", "4111-1111-1111-1111", "411111 1111111111", "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1"],
)
def test_grouped(form: str) -> None:
    """As people write them: in groups, also followed by a CVV or preceded by something else."""
    for text in (form, f"{form} 123", f"{form}-123", f"17 {form}", f"2 {form} 12 29", f"no. 1 {form}"):
        assert holds_card_number(text), text


@given(st.text("0123456789", min_size=12, max_size=18).filter(lambda digits: set(digits) != {"0"}), st.data())
def test_every_valid_number(digits: str, data: st.DataObject) -> None:
    """Every number of 13 to 19 digits with the right check digit, cut into groups anywhere."""
    number = with_check_digit(digits)
    cut = data.draw(st.integers(1, len(number) - 1))
    separator = data.draw(st.sampled_from(["", " ", "-"]))
    assert holds_card_number(number[:cut] + separator + number[cut:])


@given(st.text("0123456789", min_size=12, max_size=18), st.integers(1, 9))
def test_a_wrong_check_digit(digits: str, off: int) -> None:
    """A number in one piece with any other check digit is no card."""
    number = with_check_digit(digits)
    assert not holds_card_number(number[:-1] + str((int(number[-1]) + off) % 10))


@given(st.uuids())
def test_uuids(identifier: object) -> None:
    """No UUID is ever taken for a card number: ids and idempotency keys are full of them."""
    assert not holds_card_number(str(identifier))
    assert not holds_card_number(f"order {identifier}".upper())


@pytest.mark.parametrize(
    "text",
    [
        "41111111-1111-4111-9111-111111111111",
        "12345678-1234-4123-8123-123456789012",
        "0000000000000000",
        "411111111111",
        "1" * 60,
        "2026-11-23T08:00:00Z",
        "+49 170 1234567",
        "1000000000000",
        "",
    ],
)
def test_what_is_none(text: str) -> None:
    """All-digit UUIDs, zeros, too few and too many digits, dates, telephone numbers, 10^12."""
    assert not holds_card_number(text)


def test_other_dangerous_text() -> None:
    """NUL and lone surrogates pass JSON and break Postgres."""
    assert list(text_errors("a\x00b")) == ["must not contain the NUL character"]
    assert list(text_errors("\ud83d")) == ["must not contain lone surrogates"]
    assert list(text_errors("\U0001f600 ü \u2028")) == []


def test_escape() -> None:
    """Keys in pointers: RFC 6901's escapes, bounded, and nothing that must not be shown."""
    assert escape("a/b~c") == "a~1b~0c"
    assert escape("~1") == "~01"
    assert len(escape("k" * 10_000)) == 100
    assert escape("4111111111111111") == escape("\ud800") == escape("a\x00") == "(not shown)"
