"""The form of a JSON or NDJSON export, version 2: what stands in it, for its writer and for its verifier.

NDJSON: a line with `Head`, a line for each `Row`, a line with `Tail`. JSON: one object with the members of
`Head`, the rows as `entries`, the members of `Tail`. Every member is needed, but for those that only one of
the two formats has; a member more or less, or another meaning, is another version.
"""

from itertools import chain
from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from ledger_svc.transparency import merkle_tree, proofs
from ledger_svc.transparency.proofs import Stretch

LEASE: Final = "lease-audit-export"
LEDGER: Final = "ledger-audit-export"
VERSION: Final = 2
TREE: Final = "RFC 9162, SHA-256"
PARTS_MAX = 512  # of about so many parts of a ledger, the one that was changed can be named

Number = Annotated[int, Meta(ge=0, le=2**62)]


class Head(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stands above the entries."""

    format: Literal["lease-audit-export", "ledger-audit-export"]
    version: Literal[2]
    lease_id: str | UnsetType = UNSET  # of a lease's export
    exported_at: str  # RFC 3339, UTC, microseconds
    tree: Literal["RFC 9162, SHA-256"]
    tree_size: Number  # entries of the whole ledger under the checkpoint
    root_hash: str  # lower-case hex; both as the checkpoint says
    checkpoint: str  # the signed tree head, a note
    vkey: str  # the public key of whoever signed the manifest


class Row(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry."""

    seq: Number  # from 1; the leaf's index in the tree is seq - 1
    recorded_at: str  # RFC 3339, UTC, microseconds
    leaf_hash: str  # lower-case hex of SHA-256(0x00 ‖ raw)
    raw: str  # base64 of the event's exact bytes
    path: list[str] | UnsetType = UNSET  # of a lease's export: inclusion under the checkpoint, lower-case hex
    event: msgspec.Raw  # the same event, for people


class Parts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole tree in parts, left to right: they show in which of them a ledger was changed."""

    level: Number  # each part has 2^level entries; the last one what is left
    hashes: list[str]  # lower-case hex; with them alone the root can be computed


class Tail(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stands below the entries; an export without it was cut off."""

    count: Number  # entries
    parts: Parts | UnsetType = UNSET  # of the whole ledger's export
    manifest: str  # what the export has to hold, a signed note; see `manifest`


def level_of(size: int) -> int:
    """The level of `Parts` in a tree of `size` entries: of 0, 3, 6 … the lowest with so many at most."""
    level = 0
    while size >> level > PARTS_MAX:
        level += merkle_tree.STORED_LEVELS
    return level


def stretches(size: int) -> list[Stretch]:
    """Which nodes each of the parts of a tree of `size` entries is made of."""
    level = level_of(size)
    whole = size >> level
    rest = tuple(chain.from_iterable(proofs.frontier(size)[whole.bit_count() :]))
    return [((level, position),) for position in range(whole)] + [rest] * bool(rest)


encode = msgspec.json.Encoder().encode
read_head = msgspec.json.Decoder(Head).decode
read_row = msgspec.json.Decoder(Row).decode
read_tail = msgspec.json.Decoder(Tail).decode
