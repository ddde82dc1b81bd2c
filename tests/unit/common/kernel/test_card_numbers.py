"""Card numbers are found in every form in which people write them, and other numbers are not."""

import random
import time
import uuid
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.kernel.card_numbers import ISSUERS, holds_card_number, may_hold_card_number

# The networks' published test numbers.
NUMBERS = [
    "4222222222222",  # Visa: 13
    "4111111111111111",
    "4242424242424242",
    "4000000000000000006",  # 19
    "5555555555554444",  # Mastercard
    "2223003122003222",
    "378282246310005",  # American Express: 15
    "371449635398431",
    "6011111111111117",  # Discover
    "30569309025904",  # Diners Club: 14
    "36227206271667",
    "3530111333300000",  # JCB
    "6212345678900000003",  # UnionPay: 19
    "6304000000000000",  # Maestro
    "6759649826438453",
    "6799990100000000019",
]
# The rule's own words, written once more: prefixes, lengths.
BRANDS: dict[str, tuple[list[str], list[int]]] = {
    "Visa": (["4"], [13, 16, 19]),
    "Mastercard": ([*map(str, range(51, 56)), *map(str, range(2221, 2721))], [16]),
    "American Express": (["34", "37"], [15]),
    "Discover": (["6011", *map(str, range(644, 650)), "65"], [16, 19]),
    "Diners Club": ([*map(str, range(300, 306)), "36", "38", "39"], [14, 16, 19]),
    "JCB": ([str(prefix) for prefix in range(3528, 3590)], [16, 19]),
    "UnionPay": (["62"], [16, 17, 18, 19]),
    "Maestro": (["5018", "5020", "5038", "5893", "6304", "6759", "6761", "6762", "6763"], [*range(12, 20)]),
}
SEPARATORS = [
    *(
        " ",
        "-",
        ".",
        "_",
        "/",
        "\n",
        "\r\n",
        "\t",
        " - ",
        " / ",
        "...",
        "\u00a0",
        "\u2003",
        "\u202f",
        "\u3000",
    ),
    *(
        "\u2010",
        "\u2011",
        "\u2013",
        "\u2014",
        "\u2212",
        "\uff0d",
        "\u2028",
        "\u2029",
        "\x85",
        "\uff0e",
        "\uff0f",
    ),
    *("\u00b7", "\uff3f", "\u203f", "\u200b", "\u200d", "\u00ad", "\ufeff", "\u200b-\u200b", "\u2060" * 9),
]
ZEROS = ["0", "\u0660", "\u06f0", "\u0966", "\uff10", "\U0001d7ce"]  # digits of some scripts begin with these


def with_check_digit(digits: str) -> str:
    """ISO/IEC 7812-1 Annex B, worked out another way: the table of doubled digits."""
    doubled = "0246813579"
    total = sum(int(doubled[int(d)]) if i % 2 == 0 else int(d) for i, d in enumerate(reversed(digits)))
    return digits + str(-total % 10)


@st.composite
def cards(draw: st.DrawFn) -> str:
    prefixes, lengths = BRANDS[draw(st.sampled_from(sorted(BRANDS)))]
    prefix, length = draw(st.sampled_from(prefixes)), draw(st.sampled_from(lengths))
    rest = length - len(prefix) - 1
    return with_check_digit(prefix + draw(st.text("0123456789", min_size=rest, max_size=rest)))


def test_every_brand_is_in_the_table() -> None:
    """The brands of the rule are those of the table."""
    assert ISSUERS.keys() == BRANDS.keys()


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize(
    "form",
    ["{}", "card {}", "{} 12/29", "{} 123", "12/29 {}", "{} 12/29 123", "a-{}-b", "{},{}", "\n{}\t", "pm_{}"],
)
def test_known_numbers(number: str, form: str) -> None:
    """The networks' test numbers are found, whatever groups and words stand around them."""
    text = form.format(number, number)
    assert holds_card_number(text)
    assert may_hold_card_number(text.encode())


@pytest.mark.parametrize(
    "form",
    [
        *("4242.4242.4242.4242", "4242 4242 4242 4242", "4242-4242-4242-4242", "4242_4242_4242_4242"),
        *(
            "4242/4242/4242/4242",
            "4242\n4242\r\n4242\u20284242",
            "4242 - 4242 - 4242 - 4242",
            "424242 4242424242",
        ),
        *("4 2 4 2 4 2 4 2 4 2 4 2 4 2 4 2", "\uff14\uff12" * 8, "\u0664\u0662" * 8, "\u0664\u066242 " * 4),
        *("\u2463\u2461" * 8, "4\ufe0f\u20e32\ufe0f\u20e3" * 8, "4242\u200b4242\u00ad4242\ufeff4242"),
    ],
)
def test_forms(form: str) -> None:
    """In groups, in other scripts, with what cannot be seen; also followed or preceded by other groups."""
    for text in (form, f"{form} 123", f"{form}-12/29-123", f"17 {form}", f"no. 1 {form}", f"({form})"):
        assert holds_card_number(text), text
        assert may_hold_card_number(text.encode())


@given(cards(), st.lists(st.booleans(), min_size=18, max_size=18), st.data())
def test_every_card_in_every_grouping(number: str, cuts: list[bool], data: st.DataObject) -> None:
    """Numbers of every brand, cut anywhere, with any separators, in any script, among other groups."""
    zero = ord(data.draw(st.sampled_from(ZEROS)))
    separators = st.sampled_from(SEPARATORS)
    text = "".join(
        chr(zero + int(digit)) + (data.draw(separators) if cut and index < len(number) - 1 else "")
        for index, (digit, cut) in enumerate(zip(number, [*cuts, False], strict=False))
    )
    before = data.draw(st.sampled_from(["", "card: ", "1 ", "17/", "no. 42-", "\u0661 "]))
    after = data.draw(st.sampled_from(["", " 12/29", "-123", ".", ", exp. 12/29", "\n99"]))
    assert holds_card_number(before + text + after)
    assert may_hold_card_number((before + text + after).encode())


@given(cards(), st.integers(1, 9))
def test_a_wrong_check_digit(number: str, off: int) -> None:
    """A number in one piece with any other check digit is no card."""
    assert not holds_card_number(number[:-1] + str((int(number[-1]) + off) % 10))


@given(cards())
def test_what_touches_it(number: str) -> None:
    """With a letter or another digit at one of its ends, or too much between its groups, it is none."""
    for text in (f"x{number}", f"{number}x", f"\u00fc{number}", f"{number}\u4e00"):
        assert not holds_card_number(text), text
    assert not holds_card_number(f"0{number}")
    for between in (" -- ", "    ", ",", ":", "+", "x", " and "):
        assert not holds_card_number(f"4242{between}4242{between}4242{between}4242")


@pytest.mark.parametrize(
    "text",
    [
        "41111111-1111-4111-9111-111111111111",
        "order-41111111-1111-4111-9111-111111111111-17",
        "0000000000000000",
        "411111111111",
        "1" * 60,
        "4" * 20,
        "2026-11-23T08:00:00Z",
        "2026-11-30 12.30.45.123456",
        "30.11.2026 12.30.45",
        "30/11/2026 12-30-45",
        "2026-11-30_12-30-45-123456789",
        "+49 170 1234567",
        "1000000000000",
        "1.000.000.000.000,00",
        "1764547200000",
        "1764547200000000",
        "352099001761481",
        "86 723903 012345 1",
        "0.12345678",
        "",
    ],
)
def test_what_is_none(text: str) -> None:
    """UUIDs, zeros, too few and too many digits, times, telephone numbers, amounts, IMEIs."""
    assert not holds_card_number(text)


@given(st.uuids())
def test_uuids(identifier: object) -> None:
    """No UUID is ever taken for a card number: ids and idempotency keys are full of them."""
    assert not holds_card_number(str(identifier))
    assert not holds_card_number(f"order {identifier}".upper())


def _numbers(make: Callable[[random.Random], str]) -> Iterator[str]:
    chance = random.Random(1)
    return (make(chance) for _ in range(100_000))


def _uuid_of_digits(chance: random.Random) -> str:
    """The worst there is: every UUID has nothing but digits."""
    digits = "".join(chance.choices("0123456789", k=32))
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-8{digits[17:20]}-{digits[20:]}"


@pytest.mark.parametrize(
    ("what", "make"),
    [
        ("epoch milliseconds", lambda chance: str(1_600_000_000_000 + chance.randrange(300_000_000_000))),
        ("epoch microseconds", lambda chance: str(1_600_000_000_000_000 + chance.randrange(10**15 // 3))),
        (
            "keys with them",
            lambda chance: f"pay-{1_764_547_200_000 + chance.randrange(10**10)}-{chance.randrange(1000)}",
        ),
        ("UUIDs", lambda chance: str(uuid.UUID(int=chance.getrandbits(128), version=4))),
        ("UUIDs of digits", _uuid_of_digits),
        (
            "IMEIs",
            lambda chance: with_check_digit(f"{chance.choice((35, 86, 1)):02}{chance.randrange(10**12):012}"),
        ),
        ("order numbers of 10 digits", lambda chance: f"ORD-2026-{chance.randrange(10**10):010}"),
        ("amounts", lambda chance: f"{chance.randrange(10**9):,}.{chance.randrange(100):02}"),
    ],
)
def test_no_false_alarms(what: str, make: Callable[[random.Random], str]) -> None:
    """Of 100,000 numbers that are no cards by their prefix, their length or their kind, none is refused."""
    assert [number for number in _numbers(make) if holds_card_number(number)] == []


def test_few_false_alarms() -> None:
    """Of order numbers of 16 random digits, 2 to 4 % could be cards (10 % have a valid check digit)."""
    refused = sum(map(holds_card_number, _numbers(lambda chance: f"{chance.randrange(10**16):016}")))
    assert 2_000 < refused < 4_000


@pytest.mark.parametrize(
    "piece",
    [
        "4",
        "4 ",
        "6 ",
        "4242 ",
        "1 ",
        "4   ",
        "\u0664",
        "\u0664\u2009",
        "4\u200b",
        "\u200b",
        "\u200b ",
        "4111111111111112 ",
    ],
)
def test_time_grows_with_length_alone(piece: str) -> None:
    """64 KiB of digits and separators in any order are no attack."""
    text = piece * (65_536 // len(piece.encode()))
    began = time.process_time()
    holds_card_number(text + "x")
    may_hold_card_number(text.encode())
    assert time.process_time() - began < 1.0
