"""Fields that requests to several services have. (`$` alone would let a final newline pass.)"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, get_args

import msgspec
from msgspec import Meta

from common.kernel.ids import canonical_uuid

PaymentMethod = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$(?!\n)", description="a token, never a card number")
]

# `common.kernel.clock.instant` reads it.
Instant = Annotated[
    str,
    Meta(
        description="RFC 3339, any offset; more than six decimals are cut off",
        extra_json_schema={
            "format": "date-time",
            "pattern": r"^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})$",
        },
    ),
]

_AN_ID = {"identifier": True}

# Whoever reads one takes `canonical_uuid` of it: the case of its letters says nothing.
Identifier = Annotated[
    str,
    Meta(
        pattern=r"^[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$(?!\n)",
        extra_json_schema={"format": "uuid"},
        extra=_AN_ID,
    ),
]

# It is kept for ever, and shown in logs and lists: one line of text.
Reason = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=200,
        pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$(?!\n)",
        description="why, in words: 1 to 200 printable characters",
    ),
]


def with_canonical_ids(model: type[msgspec.Struct], parsed: Mapping[str, Any]) -> dict[str, Any]:
    """A body that fits `model` as it was parsed, with its identifiers in their canonical form."""
    return {
        name: canonical_uuid(value) if name in _identifiers(model) and isinstance(value, str) else value
        for name, value in parsed.items()
    }


@lru_cache
def _identifiers(model: type[msgspec.Struct]) -> frozenset[str]:
    """The names of the fields that are an Identifier, or may be one."""
    return frozenset(field.encode_name for field in msgspec.structs.fields(model) if _is_an_id(field.type))


def _is_an_id(of: Any) -> bool:
    """Whether a type is an Identifier, or may be one, at any depth of its annotations."""
    metas = getattr(of, "__metadata__", ())
    return any(isinstance(each, Meta) and each.extra == _AN_ID for each in metas) or any(
        _is_an_id(option) for option in get_args(of)
    )
