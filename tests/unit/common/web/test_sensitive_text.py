"""Text that must stay outside, and how it is spoken of."""

from common.web.sensitive_text import dangerous_text, escape, text_errors


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


def test_json_numbers_are_not_looked_at() -> None:
    """An amount of sixteen digits is an amount; the same digits as text, or as a key, are a card number."""
    assert list(dangerous_text({"amount": 4111111111111111, "more": [-4111111111111111]}, "")) == []
    found = dangerous_text(
        {"a": "4111111111111111", "b": {"4111111111111111": 1}, "c": ["x", "4242 " * 4]}, ""
    )
    assert [error.pointer for error in found] == ["/a", "/b/(not shown)", "/c/1"]
