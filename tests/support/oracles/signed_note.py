"""Signed notes (C2SP signed-note, Ed25519) opened as the format says; nothing of the product is used."""

from base64 import b64decode

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def opened(note: str, vkey: str) -> list[str]:
    """The lines that the key has signed. Raises InvalidSignature; AssertionError where another key has."""
    text, _, signature = note.rpartition("\n\n")
    dash, signer, encoded = signature.rstrip("\n").split(" ")
    name, key_id, public = vkey.split("+", 2)
    signed = b64decode(encoded)
    assert (dash, signer, signed[:4].hex()) == ("—", name, key_id)
    key = Ed25519PublicKey.from_public_bytes(b64decode(public).removeprefix(b"\x01"))
    key.verify(signed[4:], f"{text}\n".encode())
    return text.split("\n")
