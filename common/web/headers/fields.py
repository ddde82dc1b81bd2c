"""Header fields that are lists with parameters, read by their grammar (RFC 9110, 5.6; RFC 7240, 2).

    list      = element *( OWS "," OWS element ), empty elements allowed, over several lines or in one
    element   = name [ BWS "=" BWS word ] *( OWS ";" [ OWS parameter ] )
    parameter = name [ BWS "=" BWS word ]
    word      = token / quoted-string

A name is a token, or two with a slash between them (a media range of `Accept`). What does not fit the grammar
is passed over: all of these fields are wishes.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_NAME = rf"{_TOKEN}(?:/{_TOKEN})?"
_QUOTED = r'"(?:[^"\\]|\\.)*+"'
_PAIR = rf"({_NAME})(?:[ \t]*+=[ \t]*+({_TOKEN}|{_QUOTED}))?"
_PARAMETER = re.compile(rf";[ \t]*+(?:{_PAIR})?[ \t]*+")
_HEAD = re.compile(rf"{_PAIR}[ \t]*+")
_ITEM = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.)*+")*+')  # of a list: a comma within quotes does not end it
_WEIGHT = re.compile(r"0(?:\.\d{0,3})?|1(?:\.0{0,3})?", re.ASCII)


class Element(NamedTuple):
    """One element of a list."""

    name: str  # in lower case
    value: str  # "" without one, which is the same as an empty one
    parameters: Mapping[str, str]  # by name in lower case; of a name that comes twice the first


def elements(lines: Iterable[str]) -> list[Element]:
    """The elements of a field that came in these lines, in their order."""
    return [element for line in lines for item in _items(line) if (element := _element(item)) is not None]


def weight(element: Element) -> float:
    """How much it is wanted, 0 to 1 (RFC 9110, 12.4.2); 0 where it does not say so in the grammar's words."""
    text = element.parameters.get("q", "1")
    return float(text) if _WEIGHT.fullmatch(text) else 0.0


def preferred(lines: Sequence[str], offered: Sequence[str]) -> str:
    """The media type that an `Accept` field likes best; the first of `offered` where it does not care."""
    ranges = {element.name: weight(element) for element in reversed(elements(lines))}

    def liking(media_type: str) -> float:
        main, _, _ = media_type.partition("/")
        return next((ranges[name] for name in (media_type, f"{main}/*", "*/*") if name in ranges), 0.0)

    return max(offered, key=liking)


def _items(line: str) -> Iterator[str]:
    at = 0
    while at < len(line):
        match = _ITEM.match(line, at)
        assert match is not None  # it may be empty
        if match.end() < len(line) and line[match.end()] != ",":
            return  # a quoted string without an end: nobody knows what is within it
        if item := match[0].strip(" \t"):
            yield item
        at = match.end() + 1


def _element(item: str) -> Element | None:
    head = _HEAD.match(item)
    if head is None:
        return None
    parameters: dict[str, str] = {}
    at = head.end()
    while at < len(item):
        parameter = _PARAMETER.match(item, at)
        if parameter is None:
            return None
        if parameter[1] is not None:
            parameters.setdefault(parameter[1].lower(), _word(parameter[2]))
        at = parameter.end()
    return Element(head[1].lower(), _word(head[2]), parameters)


def _word(text: str | None) -> str:
    if text is None or not text.startswith('"'):
        return text or ""
    return re.sub(r"\\(.)", r"\1", text[1:-1])
