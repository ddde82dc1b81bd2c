"""Keys and signed notes: a text that ends with the signatures of those who stand for it.

Source: C2SP signed-note (https://c2sp.org/signed-note), Ed25519 signatures (type 0x01), and the text form of
keys of Go's golang.org/x/mod/sumdb/note, whose notes and keys these are. A note:

    <text, one or more lines>
    <empty line>
    — <key name> <base64(key id ‖ signature)>

What is read here has one spelling only: whichever byte of a note is changed, it is another note or none.
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ED25519 = b"\x01"  # the type of key and signature
KEY_ID_BYTES = 4
KEY_BYTES = 32  # of the seed, and of the public key
SIGNATURE_BYTES = 64
MAX_NOTE_LENGTH = 1_000_000  # the limits of Go's implementation
MAX_SIGNATURES = 100

_PRIVATE = "PRIVATE+KEY+"
_NAME = re.compile(r"[^\s+\x00-\x1f]{1,255}")
_SIGNATURE_LINE = re.compile(rf"— (?P<name>{_NAME.pattern}) (?P<signature>[A-Za-z0-9+/]+={{0,2}})")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")  # control characters other than the line feed


class NoteError(ValueError):
    """This is no key, no note, or a note whose signature is not good; the message says which."""


class Signature(NamedTuple):
    """A signature as it stands in a note; nothing has been verified."""

    name: str  # of the key
    key_id: bytes  # 4 bytes
    signature: bytes  # 64 bytes where the key is an Ed25519 key


class Note(NamedTuple):
    """A note taken apart; nothing has been verified."""

    text: str  # what is signed; ends with a line feed
    signatures: list[Signature]


@dataclass(frozen=True)
class VerifierKey:
    """A public key with its name. `str` gives the text to hand to others (a *vkey*)."""

    name: str
    public: bytes  # 32 bytes

    @cached_property
    def key_id(self) -> bytes:
        """What a signature names its key by: 4 bytes of SHA-256(name ‖ "\\n" ‖ 0x01 ‖ public key)."""
        return sha256(self.name.encode() + b"\n" + ED25519 + self.public).digest()[:KEY_ID_BYTES]

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{b64encode(ED25519 + self.public).decode()}"

    def verifies(self, text: str, signature: bytes) -> bool:
        """Whether `signature` (64 bytes) is this key's over the text."""
        try:
            self._loaded.verify(signature, text.encode())
        except InvalidSignature:
            return False
        return True

    @cached_property
    def _loaded(self) -> Ed25519PublicKey:
        return Ed25519PublicKey.from_public_bytes(self.public)


@dataclass(frozen=True)
class SigningKey:
    """A private key with its name. Neither `str` nor `repr` shows the seed; `secret` is its text."""

    name: str
    seed: bytes = field(repr=False)  # 32 bytes

    @cached_property
    def verifier(self) -> VerifierKey:
        """The public half."""
        return VerifierKey(self.name, self._loaded.public_key().public_bytes_raw())

    def secret(self) -> str:
        """The text to keep this key in. Whoever knows it can sign."""
        return f"{_PRIVATE}{self.name}+{self.verifier.key_id.hex()}+{b64encode(ED25519 + self.seed).decode()}"

    def sign(self, text: str) -> str:
        """The note: the text and this key's signature. NoteError where a note cannot hold the text."""
        _check_text(text)
        signature = b64encode(self.verifier.key_id + self._loaded.sign(text.encode())).decode()
        return f"{text}\n— {self.name} {signature}\n"

    @cached_property
    def _loaded(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)


def generate(name: str) -> SigningKey:
    """A new random key. NoteError where the name is empty, or has white space or a plus sign in it."""
    _check_name(name)
    return SigningKey(name, Ed25519PrivateKey.generate().private_bytes_raw())


def signing_key(secret: str) -> SigningKey:
    """The private key from its text. NoteError, which does not repeat the text."""
    if not secret.startswith(_PRIVATE):
        raise NoteError(f"a private key begins with {_PRIVATE}")
    name, key_id, seed = _key_parts(secret.removeprefix(_PRIVATE))
    key = SigningKey(name, seed)
    if key.verifier.key_id.hex() != key_id:
        raise NoteError("the private key's id does not belong to its name and seed")
    return key


def verifier_key(text: str) -> VerifierKey:
    """The public key from its text (a vkey). NoteError where it is none."""
    if text.startswith(_PRIVATE):
        raise NoteError("this is a private key: keep it secret, and verify with the public one")
    name, key_id, public = _key_parts(text)
    key = VerifierKey(name, public)
    if key.key_id.hex() != key_id:
        raise NoteError("the public key's id does not belong to its name and bytes")
    return key


def parse(note: str) -> Note:
    """Take a note apart without verifying it. NoteError where it is none."""
    if len(note) > MAX_NOTE_LENGTH:
        raise NoteError(f"a note has at most {MAX_NOTE_LENGTH} characters")
    text, separator, block = note.rpartition("\n\n")
    if not separator:
        raise NoteError("not a signed note: no empty line before its signatures")
    text += "\n"
    _check_text(text)
    *lines, rest = block.split("\n")
    if rest or not 1 <= len(lines) <= MAX_SIGNATURES:
        raise NoteError(f"a note ends with 1 to {MAX_SIGNATURES} signatures, each a whole line")
    return Note(text, [_signature(line) for line in lines])


def opened(note: str, keys: Iterable[VerifierKey]) -> tuple[str, VerifierKey]:
    """The text of a note, and the key that stands for it: the first of its signatures by one of `keys`.

    Signatures of other keys are passed over, as the format wants it. NoteError where it is no note, where a
    signature that claims to be of one of `keys` is not, and where there is none of them.
    """
    text, signatures = parse(note)
    known = {(key.name, key.key_id): key for key in keys}
    good = None
    for name, key_id, signature in signatures:
        key = known.get((name, key_id))
        if key is None:
            continue
        if not key.verifies(text, signature):
            raise NoteError(f"the signature of {name} ({key_id.hex()}) is not good for this text")
        good = good or key
    if good is None:
        signers = ", ".join(f"{each.name} ({each.key_id.hex()})" for each in signatures)
        raise NoteError(f"signed by {signers}: none of the known keys")
    return text, good


def _key_parts(text: str) -> tuple[str, str, bytes]:
    """Name, id in hex, and the 32 bytes of a key's text."""
    name, _, rest = text.partition("+")
    key_id, _, encoded = rest.partition("+")  # base64 may hold more of the plus signs
    _check_name(name)
    key = _base64(encoded)
    if len(key) != 1 + KEY_BYTES or key[:1] != ED25519:
        raise NoteError("not an Ed25519 key of the form <name>+<id>+<base64>")
    return name, key_id, key[1:]


def _signature(line: str) -> Signature:
    found = _SIGNATURE_LINE.fullmatch(line)
    if found is None:
        raise NoteError("a signature line is not of the form — <name> <base64>")
    decoded = _base64(found["signature"])
    if len(decoded) <= KEY_ID_BYTES:
        raise NoteError("a signature is too short")
    return Signature(found["name"], decoded[:KEY_ID_BYTES], decoded[KEY_ID_BYTES:])


def _base64(text: str) -> bytes:
    """Standard base64 with padding, in its one canonical spelling."""
    try:
        decoded = b64decode(text, validate=True)
    except ValueError:
        raise NoteError("not base64") from None
    if b64encode(decoded).decode() != text:
        raise NoteError("not base64 in its canonical form")
    return decoded


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise NoteError("a key's name has 1 to 255 characters, no white space and no plus sign")


def _check_text(text: str) -> None:
    if not text.endswith("\n") or _CONTROL.search(text):
        raise NoteError("a note's text ends with a line feed and holds no other control characters")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise NoteError("a note's text is valid Unicode") from None
