"""Strict reading of bodies and queries: what passes, and how what does not is named."""

import time
from datetime import date
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta
from multidict import MultiDict

from common.web.problems.details import ProblemError
from common.web.validation import MAX_ERRORS, read_json, read_query


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    code: Annotated[str, Meta(pattern="^[a-z]{1,5}$")]
    amount: Annotated[int, Meta(ge=1, le=100)]


class Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    amount: Annotated[int, Meta(ge=1, le=10**12)]
    kind: Literal["one", "two"]
    day: date | None = None
    parts: Annotated[list[Part], Meta(max_length=3)] = []
    part: Part | None = None
    notes: dict[Annotated[str, Meta(max_length=4)], Annotated[str, Meta(max_length=4)]] = {}
    flag: bool = False


class Query(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    text: str | None = None
    day: date | None = None
    raw: bool = False


def refusal(body: bytes | str) -> ProblemError:
    with pytest.raises(ProblemError) as caught:
        read_json(body.encode() if isinstance(body, str) else body, Body)
    return caught.value


def pointers(error: ProblemError) -> list[str]:
    return [each.pointer for each in error.errors]


def test_a_good_body() -> None:
    """The typed value and the parsed one, defaults left to the type."""
    value, parsed = read_json(b'{"amount": 5, "kind": "one", "day": "2028-02-29", "notes": {"a": "b"}}', Body)
    assert value == Body(amount=5, kind="one", day=date(2028, 2, 29), notes={"a": "b"})
    assert parsed == {"amount": 5, "kind": "one", "day": "2028-02-29", "notes": {"a": "b"}}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("{}", ["/amount", "/kind"]),
        ("[]", [""]),
        ("null", [""]),
        ('"x"', [""]),
        ('{"amount": 1.0, "kind": "one"}', ["/amount"]),
        ('{"amount": true, "kind": "one"}', ["/amount"]),
        ('{"amount": "1", "kind": "one"}', ["/amount"]),
        ('{"amount": 1e400, "kind": "one"}', ["/amount"]),
        ('{"amount": 1, "kind": "one", "day": "2027-02-29"}', ["/day"]),
        ('{"amount": 1, "kind": "one", "day": "2100-02-29"}', ["/day"]),
        ('{"amount": 1, "kind": "one", "day": "0000-01-01"}', ["/day"]),
        ('{"amount": 1, "kind": "one", "day": "2027-01-01T00:00:00"}', ["/day"]),
        ('{"amount": 0, "kind": "x", "more": 1, "a/b~c": 1}', ["/amount", "/a~1b~0c", "/kind", "/more"]),
        (
            '{"amount": 1, "kind": "one", "parts": [{"code": "a", "amount": 0}, 7, {"code": "A", "x": 1}]}',
            ["/parts/0/amount", "/parts/1", "/parts/2/amount", "/parts/2/code", "/parts/2/x"],
        ),
        (
            '{"amount": 1, "kind": "one", "parts": [1, 2, 3, 4]}',
            ["/parts/0", "/parts/1", "/parts/2", "/parts/3"],
        ),
        ('{"amount": 1, "kind": "one", "parts": {}}', ["/parts"]),
        ('{"amount": 1, "kind": "one", "part": {"code": 1}}', ["/part/amount", "/part/code"]),
        ('{"amount": 1, "kind": "one", "part": []}', ["/part"]),
        (
            '{"amount": 1, "kind": "one", "notes": {"a": 1, "b": null, "toolong": "x"}}',
            ["/notes/a", "/notes/b", "/notes/toolong"],
        ),
        ('{"amount": 1, "kind": "one", "notes": [], "flag": 1}', ["/flag", "/notes"]),
        ('{"amount": 1, "kind": ["\\ud800"]}', ["/kind", "/kind/0"]),
        ('{"amount": 1, "kind": "\\ud800"}', ["/kind"]),
        ('{"amount": 1, "kind": "one", "\\u0000": 1}', ["/(not shown)"]),
    ],
)
def test_wrong_fields_are_all_named(body: str, expected: list[str]) -> None:
    """One pointer for every wrong, unknown and missing field, whatever else is wrong."""
    error = refusal(body)
    assert (error.status, pointers(error)) == (422, expected)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{} x",
        b"\xff",
        b"\xef\xbb\xbf{}",
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1, "a": 1}',
        b'{"a": {"b": [{"c": 1, "c": 2}]}}',
        b'{"a": "\x01"}',
        b"[" * 60_000,
    ],
)
def test_not_json(body: bytes) -> None:
    """What is not JSON, or not JSON that everybody reads alike, is 400."""
    assert refusal(body).status == 400


def test_duplicate_keys_are_named() -> None:
    """The words say which keys, unless they are nothing to be shown."""
    assert "duplicate keys amount, kind." in refusal('{"kind":1,"kind":1,"amount":1,"amount":2,"x":1}').detail
    assert "duplicate keys (not shown)." in refusal('{"4111111111111111":1,"4111111111111111":2}').detail


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_every_depth(opening: str) -> None:
    """No depth is shallow enough for the parser and too deep for what follows it."""
    closing = "]" if opening == "[" else "}"
    for depth in (*range(1, 880, 40), *range(880, 1020)):
        body = f'{{"notes": {opening * depth}"\\u0041 4111111111111111"{closing * depth}}}'
        assert refusal(body).status in (400, 422)


def test_huge_integers() -> None:
    """Digits beyond every range are read in no time and are out of range."""
    for digits in ("9" * 5_000, "-" + "9" * 60_000):
        error = refusal(f'{{"amount": {digits}, "kind": "one"}}')
        assert (error.status, pointers(error)) == (422, ["/amount"])


@pytest.mark.parametrize(
    "body",
    [
        b"{" + b",".join(b'"%d":1' % n for n in range(7_000)) + b',"1":1}',
        b"{" + b",".join(b'"%d":1' % n for n in range(6_000)) + b"}",
        b'{"parts": [' + b",".join([b"1"] * 30_000) + b"]}",
        b'{"notes": {' + b",".join(b'"%d":1' % n for n in range(6_000)) + b"}}",
        b'{"kind": "' + b"1 " * 30_000 + b'"}',
        b'{"kind": "' + b"1" * 64_000 + b'"}',
        b'{"kind": "' + b"4111-" * 13_000 + b'"}',
        b'{"kind": "' + b"\\u0000" * 10_000 + b'"}',
        b'{"kind": "' + b"0-" * 32_000 + b'"}',
        b'{"kind": "' + b"12345678-1234-1234-1234-123456789012 " * 1_700 + b'"}',
        b'{"' + b"k" * 60_000 + b'": 1}',
        b'{"amount": 0.' + b"1" * 60_000 + b"}",
        b'{"amount": 1e' + b"9" * 60_000 + b"}",
    ],
    ids=lambda body: body[:24].decode(),
)
def test_the_worst_bodies_cost_little(body: bytes) -> None:
    """64 KB of whatever takes a fraction of a second and an answer of bounded size."""
    assert len(body) <= 65_536
    started = time.process_time()
    error = refusal(body)
    assert time.process_time() - started < 0.3
    assert len(error.errors) <= MAX_ERRORS
    assert len(error.response("/").body) < 30_000  # type: ignore[arg-type]


def test_values_are_not_repeated() -> None:
    """The words never quote what was sent: it may be long or secret."""
    for value in ("x" * 500, "secret"):
        text = str(
            refusal(
                f'{{"amount": "{value}", "kind": "{value}", "day": "{value}", "parts": "{value}"}}'
            ).errors
        )
        assert value not in text


def query_refusal(*pairs: tuple[str, str]) -> list[str]:
    with pytest.raises(ProblemError) as caught:
        read_query(MultiDict(pairs), Query)
    assert caught.value.status == 422
    return pointers(caught.value)


def test_a_good_query() -> None:
    """Numbers and booleans are read from text; text stays what it is."""
    assert read_query(MultiDict(), Query) == Query()
    given = MultiDict([("limit", "200"), ("text", "null"), ("raw", "true")])
    assert read_query(given, Query) == Query(limit=200, text="null", raw=True)


def test_null_in_a_query() -> None:
    """Text that is read as the absence of a value is refused: it was given."""
    assert query_refusal(("day", "null")) == ["/day"]
    assert query_refusal(("day", "NULL"), ("limit", "1.0")) == ["/day", "/limit"]


@pytest.mark.parametrize(
    "limit",
    [
        "0",
        "201",
        "-1",
        "+5",
        " 5",
        "5 ",
        "1e2",
        "1.0",
        "5_0",
        "0x5",
        "05",
        "٥",
        "",
        "null",
        "true",
        "9" * 5_000,
    ],
)
def test_numbers_in_queries(limit: str) -> None:
    """A number is digits: no signs, exponents, spaces or digits of other scripts."""
    assert query_refusal(("limit", limit)) == ["/limit"]


def test_all_wrong_parameters_are_named() -> None:
    """Unknown, repeated and malformed ones, all at once."""
    given = [("limit", "x"), ("text", "a"), ("text", "a"), ("raw", "2"), ("unknown", "1"), ("Limit", "1")]
    assert query_refusal(*given) == ["/Limit", "/limit", "/raw", "/text", "/unknown"]
    assert query_refusal(("text", "a\x00b")) == ["/text"]
    assert query_refusal(("4111 1111 1111 1111", "1")) == ["/(not shown)"]


def test_the_parsed_value_is_what_was_sent() -> None:
    """A fingerprint of it tells two bodies apart that the type would read alike."""
    sent: dict[str, Any] = {"amount": 5, "kind": "one"}
    _, bare = read_json(msgspec.json.encode(sent), Body)
    _, full = read_json(msgspec.json.encode(sent | {"flag": False}), Body)
    assert bare != full
