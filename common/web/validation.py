"""Strict reading of requests: every wrong field is named, and nothing passes that would break further in.

The standard library's JSON scanner reads (it alone can report duplicate keys), msgspec checks the types.
What they let pass is stopped here: NaN, duplicate keys, NUL and lone surrogates, card numbers.
"""

import contextlib
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import msgspec

from common.web.problems.details import FieldError, ProblemError, invalid
from common.web.sensitive_text import dangerous_text, escape, suspicious

T = TypeVar("T", bound=msgspec.Struct)

MAX_INTEGER_DIGITS = 30  # longer ones are out of every range; parsing them takes quadratic time
MAX_ERRORS = 100  # of one answer


Rules = Callable[[Mapping[str, Any]], list[FieldError]]


def no_rules(_right: Mapping[str, Any]) -> list[FieldError]:
    """For models whose types say it all."""
    return []


def read_json(body: bytes, model: type[T], rules: Rules = no_rules) -> tuple[T, dict[str, Any]]:
    """The body as `model`, and as it was parsed.

    `rules`: what the types cannot say, asked of those fields whose types are right (also when others are
    wrong, so that every wrong field is named at once).

    Raises ProblemError: 400 where it is not JSON, not UTF-8 or has duplicate keys, 422 for wrong fields.
    """
    try:
        parsed = _parse(body)
        errors = list(dangerous_text(parsed, "")) if suspicious(body) else []
        if not errors:
            try:
                value = msgspec.convert(parsed, model)
            except msgspec.ValidationError:
                pass
            else:
                if broken := rules(msgspec.structs.asdict(value)):
                    raise invalid(broken)
                return value, parsed
        broken = rules(_right_fields(parsed, model))
        raise invalid(_merged(errors, wrong_fields(parsed, model) + broken))
    except RecursionError:
        raise ProblemError(400, "The body is nested too deeply.") from None


def _right_fields(parsed: Any, model: type[T]) -> dict[str, Any]:
    """The fields whose types are right, those left out with their defaults."""
    right: dict[str, Any] = {}
    if not isinstance(parsed, dict):
        return right
    for field in msgspec.structs.fields(model):
        if field.encode_name in parsed:
            with contextlib.suppress(msgspec.ValidationError, UnicodeEncodeError):
                right[field.name] = msgspec.convert(parsed[field.encode_name], field.type)
        elif field.default is not msgspec.NODEFAULT:
            right[field.name] = field.default
        elif field.default_factory is not msgspec.NODEFAULT:
            right[field.name] = field.default_factory()
    return right


def read_query(query: Mapping[str, str], model: type[T]) -> T:
    """Query parameters as `model` (numbers given as text are read as numbers). Raises ProblemError 422."""
    given = dict(query)
    errors = list(dangerous_text(given, ""))
    if len(given) != len(query):
        names = [name for name, _ in query.items()]
        twice = sorted(name for name, count in Counter(names).items() if count > 1)
        errors += [FieldError(f"/{escape(name)}", "must be given once") for name in twice]
    if not errors:
        try:
            value = msgspec.convert(given, model, strict=False)
        except msgspec.ValidationError:
            pass
        else:
            errors = [
                FieldError(f"/{name}", "must be a whole number in digits")
                for name, text in given.items()
                if type(getattr(value, name)) is int and not text.isdigit()  # 1e3 and 1.0 are read as well
            ]
            # "null" is read as the absence of what was given
            errors += [
                FieldError(f"/{name}", "must have a value") for name in given if getattr(value, name) is None
            ]
            if not errors:
                return value
    raise invalid(_merged(errors, wrong_fields(given, model, strict=False)))


def _merged(dangerous: list[FieldError], wrong: list[FieldError]) -> list[FieldError]:
    """Both, but for dangerous values the first alone: the words of the second may quote the value."""
    named = {error.pointer for error in dangerous}
    return (dangerous + [error for error in wrong if error.pointer not in named])[:MAX_ERRORS]


def _parse(body: bytes) -> Any:
    try:
        return json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_no_duplicates,
            parse_constant=_no_constant,
            parse_int=_bounded_int,
        )
    except UnicodeDecodeError as error:
        raise ProblemError(400, f"The body is not UTF-8 (byte {error.start}).") from None
    except ValueError as error:
        raise ProblemError(400, f"The body is not valid JSON: {error}.") from None


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    parsed = dict(pairs)
    if len(parsed) != len(pairs):
        counts = Counter(key for key, _ in pairs)
        twice = sorted({escape(key) for key, count in counts.items() if count > 1})
        raise ValueError(f"duplicate keys {', '.join(twice)[:200]}")
    return parsed


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _bounded_int(digits: str) -> int:
    return int(digits[:MAX_INTEGER_DIGITS])


def wrong_fields(value: Any, model: Any, *, pointer: str = "", strict: bool = True) -> list[FieldError]:
    """Every field of `value` that does not fit `model`; msgspec alone stops at the first."""
    if not (isinstance(model, type) and issubclass(model, msgspec.Struct)):
        return _wrong_value(value, model, pointer, strict)
    if not isinstance(value, dict):
        return [FieldError(pointer, f"must be an object, not {_json_type(value)}")]
    errors: list[FieldError] = []
    fields = {field.encode_name: field for field in msgspec.structs.fields(model)}
    for name in value.keys() - fields.keys():
        errors.append(FieldError(f"{pointer}/{escape(name)}", "is not a known field"))
    for name, field in fields.items():
        if name in value:
            errors += wrong_fields(value[name], field.type, pointer=f"{pointer}/{name}", strict=strict)
        elif field.required:
            errors.append(FieldError(f"{pointer}/{name}", "is required"))
    return errors


def _wrong_value(value: Any, model: Any, pointer: str, strict: bool) -> list[FieldError]:
    bare = get_args(model)[0] if get_origin(model) is Annotated else model
    options = [option for option in get_args(bare) if option is not type(None)]
    if get_origin(bare) is list and isinstance(value, list):
        errors = [
            error
            for index, member in enumerate(value)
            for error in wrong_fields(member, options[0], pointer=f"{pointer}/{index}", strict=strict)
        ]
        if errors:
            return errors
    if get_origin(bare) is dict and isinstance(value, dict):
        errors = []
        for key, member in value.items():
            where = f"{pointer}/{escape(key)}"
            errors += wrong_fields(key, options[0], pointer=where, strict=strict)
            errors += wrong_fields(member, options[1], pointer=where, strict=strict)
        if errors:
            return errors
    structs = [
        option for option in options if isinstance(option, type) and issubclass(option, msgspec.Struct)
    ]
    if structs and isinstance(value, dict) and get_origin(bare) is not list:  # an optional object
        return wrong_fields(value, structs[0], pointer=pointer, strict=strict)
    try:
        msgspec.convert(value, model, strict=strict)
    except UnicodeEncodeError:
        return [FieldError(pointer, "must not contain lone surrogates")]
    except msgspec.ValidationError as error:
        choices = [
            choice
            for option in (bare, *options)
            if get_origin(option) is Literal
            for choice in get_args(option)
        ]
        if choices and isinstance(value, str):  # msgspec's words would quote the value, however long it is
            return [FieldError(pointer, f"must be one of {', '.join(choices)}")]
        words, _, path = str(error).partition(" - at ")
        return [FieldError(pointer + _as_pointer(path), words[0].lower() + words[1:])]
    return []


def _as_pointer(path: str) -> str:
    """msgspec's `$.a[0]` as `/a/0`; its `[...]` stands for a member whose key it does not tell."""
    bare = path.strip("`").removeprefix("$").replace("[...]", "")
    return re.sub(r"\[(\d+)\]", r"/\1", bare.replace(".", "/"))


def _json_type(value: Any) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
