"""What the types say about the fields of a message: name, shape, and the description in its `Meta`."""

import inspect
import types
from collections.abc import Iterator
from datetime import date, datetime
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One field of a message, ready to be shown."""

    name: str  # as in the JSON
    shape: str  # its type in words
    meaning: str  # "" where nobody has said it
    structs: list[type[msgspec.Struct]]  # structures its type is made of


def fields(model: type[msgspec.Struct]) -> list[Field]:
    """The fields of a message, in the order of the JSON."""
    return [
        Field(
            name=field.encode_name,
            shape=type_in_words(field.type),
            meaning=described(field.type),
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
    said = [each.description for each in get_args(of) if isinstance(each, msgspec.Meta) and each.description]
    return said[-1] if said else ""
