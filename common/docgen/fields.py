"""What the code says about the fields of a message: name, type, and the comment that stands beside it."""

import ast
import inspect
import io
import tokenize
import types
from collections.abc import Iterator
from datetime import date, datetime
from functools import cache
from textwrap import dedent
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

# For fields whose name says it all in the code, but not to somebody who reads one page only.
_GLOSSARY = {
    "advice": "what to do about it",
    "allocation": "what the money was for",
    "as_of": "the day the payoff was reckoned for",
    "attempt_id": "the attempt, UUIDv7; also the gateway's idempotency key",
    "autopay": "whether instalments are to be collected without being asked for",
    "breakdown": "how the amount comes about",
    "cause": "what brought the balance to zero",
    "class_": "`soft`: the same card may well work later; `hard`: it will not",
    "customer_id": "the lessor's own name for the customer",
    "datacontenttype": "always this",
    "day_count": "how the days of a period become a part of a year",
    "decline": "why, and what to do about it",
    "due_date": "the day it falls due",
    "fees": "what falls due with the first instalment, on top of it",
    "first_due_date": "the first instalment's due date",
    "frequency": "how far the instalments are apart",
    "gateway_reference": "the gateway's id of the charge",
    "instalments": "those that were open, in order of number",
    "kind": "what was to be collected, or taken back",
    "late_fee": "what an instalment paid late costs; null: nothing",
    "lease_id": "the lease, UUIDv7",
    "metadata": "the client's own words, kept as they came",
    "number": "of the instalment: 1, 2, 3 …",
    "outcome": "what the gateway said",
    "payment_id": "the instalment's payment, UUIDv7",
    "payment_method": "the token that was charged; never a card number",
    "reason": "for a person who reads logs",
    "schedule": "the instalments, in order of number",
    "specversion": "always this",
    "status": "what became of it",
}

_PARTS_OF_MONEY = frozenset({"fees", "interest", "late_fees", "principal"})


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One field of a message, ready to be shown."""

    name: str  # as in the JSON
    shape: str  # its type in words
    meaning: str  # "" where nobody has said it
    structs: list[type[msgspec.Struct]]  # structures its type is made of


def fields(model: type[msgspec.Struct]) -> list[Field]:
    """The fields of a message, in the order of the JSON."""
    comments = {name: text for owner in reversed(model.__mro__) for name, text in _comments(owner).items()}
    return [
        Field(
            name=field.encode_name,
            shape=type_in_words(field.type),
            meaning=comments.get(field.name) or described(field.type) or _known(field.name, field.type),
            structs=list(structs_in(field.type)),
        )
        for field in msgspec.structs.fields(model)
    ]


def nested(model: type[msgspec.Struct]) -> list[type[msgspec.Struct]]:
    """The structures that a message holds, at any depth, each once, in order of appearance."""
    found: list[type[msgspec.Struct]] = []
    for field in fields(model):
        for struct in field.structs:
            found += [each for each in (struct, *nested(struct)) if each not in found]
    return found


def sentence(model: type[msgspec.Struct]) -> str:
    """What a message's docstring says of it, without the event types it begins with."""
    text = " ".join((inspect.getdoc(model) or "").split())
    head, separator, rest = text.partition(": ")
    words = rest if separator and head.startswith("`") else text
    return words[:1].upper() + words[1:]


def type_in_words(of: Any) -> str:
    """A type as it is seen in JSON."""
    origin, arguments = get_origin(of), get_args(of)
    if origin is Annotated:
        return type_in_words(arguments[0])
    if origin in (Union, types.UnionType):
        shown = [argument for argument in arguments if argument is not msgspec.UnsetType]  # absent in older
        return " or ".join(type_in_words(argument) for argument in shown)
    if origin is Literal:
        return " \\| ".join(f"`{value}`" for value in arguments)
    if origin in (list, tuple):
        return f"array of {type_in_words(arguments[0])}"
    if origin is dict:
        return f"object of {type_in_words(arguments[1])}s"
    if isinstance(of, type) and issubclass(of, msgspec.Struct):
        return f"[{of.__name__}](#{of.__name__.lower()})"
    names = {
        int: "integer",
        str: "string",
        bool: "boolean",
        float: "number",
        type(None): "null",
        date: "day (`YYYY-MM-DD`)",
        datetime: "instant (RFC 3339)",
        msgspec.Raw: "any JSON",
    }
    return names[of]


def structs_in(of: Any) -> Iterator[type[msgspec.Struct]]:
    """The structures a type is made of, itself included."""
    if isinstance(of, type) and issubclass(of, msgspec.Struct):
        yield of
    for argument in get_args(of):
        yield from structs_in(argument)


def described(of: Any) -> str:
    """The description that a type's `Meta` carries, if any."""
    for argument in get_args(of):
        if isinstance(argument, msgspec.Meta) and argument.description:
            return argument.description
    return ""


def _known(name: str, of: Any) -> str:
    if of is int and name in _PARTS_OF_MONEY:
        return "minor units"
    return _GLOSSARY.get(name, "")


@cache
def _comments(owner: type) -> dict[str, str]:
    """The comment beside each field, or right above it, in a class's source."""
    if not issubclass(owner, msgspec.Struct) or owner is msgspec.Struct:
        return {}
    source = dedent(inspect.getsource(owner))
    beside: dict[int, str] = {}
    above: dict[int, str] = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            alone = token.line.strip().startswith("#")
            (above if alone else beside)[token.start[0]] = token.string.lstrip("# ")
    definition = ast.parse(source).body[0]
    assert isinstance(definition, ast.ClassDef)
    return {
        statement.target.id: words
        for statement in definition.body
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
        if (words := beside.get(statement.end_lineno or 0) or above.get(statement.lineno - 1))
    }
