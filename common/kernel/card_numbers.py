"""Card numbers in text: found as people write them, and told from all the other long numbers.

A card number is a sequence of whole groups of digits with an issuer's prefix, that issuer's length and a
valid check digit. Between two groups stand at most three separators: spaces, hyphens, dots, underscores,
slashes, line ends, of any script. Digits are of any script as well. No letter touches the first group or the
last. Other groups may stand before and after it, as an expiry date does.

What cannot be seen (zero-width characters, soft hyphens, variation selectors, combining marks) is read as a
separator that does not count: it must not hide a number. UUIDs, and dates with a time of day, are no part of
one.
"""

import re
import unicodedata
from typing import Final

# Prefixes (first and last, of one to four digits) and the lengths of numbers that begin so. Source: the table
# of https://github.com/braintree/credit-card-type (src/lib/card-types.ts). This one differs where a row is
# incomplete, or would take in other people's numbers:
# - Visa: also 13 digits, which are still valid, and not 18, of which none was issued;
# - Diners Club: not 15 to tell it from IMEIs, but every other length from 14 on;
# - Discover: every length from 16 on; UnionPay: only from 16 on;
# - JCB: not 2131 and 1800, which were of 15 digits and are no longer issued (1800… is the time in 2027);
# - Maestro: not everything that begins with 6.
ISSUERS: Final[dict[str, tuple[tuple[tuple[int, int], ...], tuple[int, ...]]]] = {
    "Visa": (((4, 4),), (13, 16, 19)),
    "Mastercard": (((51, 55), (2221, 2720)), (16,)),
    "American Express": (((34, 34), (37, 37)), (15,)),
    "Discover": (((6011, 6011), (644, 649), (65, 65)), (16, 17, 18, 19)),
    "Diners Club": (((300, 305), (36, 36), (38, 39)), (14, 16, 17, 18, 19)),
    "JCB": (((3528, 3589),), (16, 17, 18, 19)),
    "UnionPay": (((62, 62), (8100, 8171)), (16, 17, 18, 19)),
    "Maestro": (((50, 50), (56, 59), (63, 63), (67, 67)), (12, 13, 14, 15, 16, 17, 18, 19)),
}
_SHORTEST: Final = min(min(lengths) for _, lengths in ISSUERS.values())
_PREFIX: Final = 4  # digits by which an issuer is known


def _lengths() -> list[tuple[int, ...]]:
    """By the first four digits: the lengths that a number may have."""
    table: list[set[int]] = [set() for _ in range(10**_PREFIX)]
    for ranges, lengths in ISSUERS.values():
        for first, last in ranges:
            step: int = 10 ** (_PREFIX - len(str(first)))
            for prefix in range(first * step, (last + 1) * step):
                table[prefix] |= set(lengths)
    return [tuple(sorted(lengths)) for lengths in table]


_LENGTHS: Final = _lengths()

# Everything below is about ASCII: `_plain` brings other text there. Each pattern is read in one pass, for no
# two of its parts that follow each other begin with the same character.
_BETWEEN = r"[\s\x1c-\x1f\-._/]{1,3}"
_WORTH_A_LOOK = re.compile(rf"[0-9](?:(?:{_BETWEEN})?[0-9]){{{_SHORTEST - 1}}}", re.ASCII)
_WORTH_A_LOOK_BYTES = re.compile(_WORTH_A_LOOK.pattern.encode())
_RUN = re.compile(rf"[0-9]+(?:{_BETWEEN}[0-9]+)*", re.ASCII)
_GROUP = re.compile("[0-9]+")
# Some UUIDs, and some times written with dots, would pass for a number.
_NONE = re.compile(
    r"(?<![0-9a-z])(?:"
    r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}"
    r"|(?:[12][0-9]{3}([-./])[01][0-9]\1[0-3][0-9]|[0-3][0-9]([-./])[01][0-9]\2[12][0-9]{3})"
    r"[\s_.-]{1,3}[0-2][0-9]([.-])[0-5][0-9]\3[0-6][0-9](?:[.-][0-9]{1,9})?"
    r")(?![0-9a-z])",
    re.IGNORECASE | re.ASCII,
)
# Of the kinds named above, those that no category of Unicode gathers.
_SEPARATORS = frozenset("-._/\u00b7\u2022\u2027\u2043\u2044\u2212\u2215\u22c5\u29f8\u30fb\u3002")
_UNSEEN = "\x00"  # in plain text; a NUL is refused before


class _Plain(dict[int, str]):
    """What a character is in plain text: a digit, a separator, a letter, none of these, or unseen."""

    _KEPT: Final = 5_000  # more than any language has; the rest is worked out again

    def __missing__(self, code: int) -> str:
        character = _kind(chr(code))
        if len(self) < self._KEPT:
            self[code] = character
        return character


def _kind(character: str) -> str:
    category = unicodedata.category(character)
    if character.isdigit():
        return str(unicodedata.digit(character))
    if category.startswith("L"):
        return "x"
    compatible = set(unicodedata.normalize("NFKC", character))  # of a full-width form, the ordinary one
    if character.isspace() or category in ("Pd", "Pc") or _SEPARATORS & compatible:
        return "-" if category == "Pd" else " "
    return _UNSEEN if category in ("Cf", "Mn", "Me") else ","


_PLAIN = _Plain({code: chr(code) for code in range(128)})
_UNSEEN_RUN = re.compile(f"{_UNSEEN}+")
_UNSEEN_BESIDE = re.compile(rf"{_UNSEEN}?([\s\-._/]){_UNSEEN}?")


def may_hold_card_number(utf8: bytes) -> bool:
    """Whether JSON may hold one: a look that costs microseconds, and says no only where it is certain."""
    return b"\\" in utf8 or not utf8.isascii() or _WORTH_A_LOOK_BYTES.search(utf8) is not None


def holds_card_number(text: str) -> bool:
    """Whether the text holds a card number, in time that grows with its length and no faster."""
    plain = text if text.isascii() else _plain(text)
    if not _WORTH_A_LOOK.search(plain):
        return False
    plain = _NONE.sub(",", plain)
    return any(_valid_within(*_groups(plain, run)) for run in _RUN.finditer(plain))


def _plain(text: str) -> str:
    """The text in ASCII, as far as it matters here. What is unseen separates only where nothing else does."""
    plain = text.translate(_PLAIN)
    if _UNSEEN in plain:
        plain = _UNSEEN_BESIDE.sub(r"\1", _UNSEEN_RUN.sub(_UNSEEN, plain)).replace(_UNSEEN, " ")
    return plain


def _groups(text: str, run: re.Match[str]) -> tuple[str, list[int]]:
    """The run's digits, and where in them its groups begin and end; without those that touch a letter."""
    groups: list[str] = _GROUP.findall(run[0])
    if text[run.start() - 1 : run.start()].isalpha():
        del groups[0]
    if groups and text[run.end() : run.end() + 1].isalpha():
        del groups[-1]
    borders = [0]
    for group in groups:
        borders.append(borders[-1] + len(group))
    return "".join(groups), borders


def _valid_within(digits: str, borders: list[int]) -> bool:
    """Whether some of the groups make up a number that an issuer may have given.

    The check of ISO/IEC 7812-1 Annex B (Luhn) counts every other digit from the right in full, the others
    doubled. Sums of both ways up to each place make any range cost one subtraction, so that 64 KB of digits
    are no attack.
    """
    ends = set(borders)
    sums: tuple[list[int], list[int]] | None = None
    for start in borders:
        if start + _SHORTEST > borders[-1]:
            break
        for length in _LENGTHS[int(digits[start : start + _PREFIX])]:
            if (end := start + length) in ends:
                sums = sums or _check_sums(digits)
                upto = sums[end % 2]
                if (upto[end] - upto[start]) % 10 == 0:
                    return True
    return False


def _check_sums(digits: str) -> tuple[list[int], list[int]]:
    """Sums up to each place, for numbers that end at an even place and for those that end at an odd one."""
    even_end, odd_end = [0], [0]
    for index, digit in enumerate(map(int, digits)):
        doubled = digit * 2 - 9 * (digit > 4)
        even_end.append(even_end[-1] + (digit if index % 2 else doubled))
        odd_end.append(odd_end[-1] + (doubled if index % 2 else digit))
    return even_end, odd_end
