"""Keys and signed notes: Go's published examples, and everything that may be wrong with one."""

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_svc.transparency import signed_note
from ledger_svc.transparency.signed_note import NoteError

# From the documentation of golang.org/x/mod/sumdb/note; Ed25519 signatures are the same each time.
SECRET = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
PUBLIC = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
SIGNED = (
    f"{TEXT}\n"
    "— PeterNeumann "
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
# A key in public use: that of Go's checksum database.
SUM_GOLANG = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"

KEY = signed_note.signing_key(SECRET)
OTHER = signed_note.generate("other.example/log")


def test_published_key_and_note() -> None:
    """The example's private key gives its public key and, to the byte, its signed note."""
    assert str(KEY.verifier) == PUBLIC
    assert KEY.secret() == SECRET
    assert KEY.sign(TEXT) == SIGNED
    assert signed_note.opened(SIGNED, [signed_note.verifier_key(PUBLIC)]) == (TEXT, KEY.verifier)


def test_a_key_in_public_use() -> None:
    """The id of sum.golang.org's key is computed as it was published, and its text comes back."""
    assert str(signed_note.verifier_key(SUM_GOLANG)) == SUM_GOLANG


def test_secrets_are_not_shown() -> None:
    """Neither `str` nor `repr` of a private key has the seed in it, and an error does not repeat it."""
    seed = SECRET.rpartition("+")[2]
    assert seed not in f"{KEY} {KEY!r}"
    assert str(KEY.seed) not in f"{KEY} {KEY!r}"
    with pytest.raises(NoteError) as error:
        signed_note.signing_key(SECRET.replace("c74f20a3", "c74f20a4"))
    assert seed not in str(error.value)


@given(st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="+"), min_size=1, max_size=40))
def test_generated_keys_come_back(name: str) -> None:
    """A new key of any name is the same after its text was read, and its notes verify."""
    key = signed_note.generate(name)
    assert signed_note.signing_key(key.secret()) == key
    public = signed_note.verifier_key(str(key.verifier))
    assert signed_note.opened(key.sign("text\n\nmore\n"), [public]) == ("text\n\nmore\n", public)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\tb", "a\u2003b", "a\nb", "x" * 256])
def test_names_no_key_may_have(name: str) -> None:
    """White space, plus signs, nothing at all: refused when a key is made."""
    with pytest.raises(NoteError, match="name"):
        signed_note.generate(name)


def broken(text: str) -> list[str]:
    """Ways in which the text of a key can be wrong."""
    name, key_id, encoded = text.removeprefix("PRIVATE+KEY+").split("+", 2)
    prefix = "PRIVATE+KEY+" if text.startswith("PRIVATE") else ""
    other_type = b64encode(b"\x02" + bytes(32)).decode()
    return [
        "",
        "nonsense",
        text + "\n",
        " " + text,
        text[:-1],
        f"{prefix}{name}+{key_id}",
        f"{prefix}{name}+{key_id}+",
        f"{prefix}{name}+{key_id.upper()}+{encoded}",
        f"{prefix}{name}+00000000+{encoded}",
        f"{prefix}{name}x+{key_id}+{encoded}",
        f"{prefix}+{key_id}+{encoded}",
        f"{prefix}{name}+{key_id}+{encoded[:-4]}",
        f"{prefix}{name}+{key_id}+{other_type}",
        f"{prefix}{name}+{key_id}+{encoded}é",
    ]


@pytest.mark.parametrize("text", [*broken(PUBLIC), SECRET])
def test_broken_public_keys(text: str) -> None:
    """Cut, spaced, of another type, with an id or name of its own: NoteError; so is a private key."""
    with pytest.raises(NoteError):
        signed_note.verifier_key(text)


@pytest.mark.parametrize("text", [*broken(SECRET), PUBLIC])
def test_broken_private_keys(text: str) -> None:
    """The same for private keys; a public one is none."""
    with pytest.raises(NoteError):
        signed_note.signing_key(text)


@pytest.mark.parametrize("text", ["", "no line feed", "tab\t\n", "nul\0\n", "return\r\n", "\ud800\n"])
def test_texts_no_note_holds(text: str) -> None:
    """What the format does not allow is not signed."""
    with pytest.raises(NoteError):
        KEY.sign(text)


@given(st.integers(0, len(SIGNED.encode()) - 1), st.integers(1, 255))
def test_every_changed_byte_is_noticed(place: int, change: int) -> None:
    """Whichever byte of a note becomes another one, it does not open."""
    forged = bytearray(SIGNED.encode())
    forged[place] ^= change
    with pytest.raises((NoteError, UnicodeDecodeError)):
        signed_note.opened(forged.decode(), [KEY.verifier])


@given(st.integers(0, len(SIGNED) - 1))
def test_every_cut_is_noticed(end: int) -> None:
    """No beginning of a note is a note."""
    with pytest.raises(NoteError):
        signed_note.opened(SIGNED[:end], [KEY.verifier])


def test_other_signatures_are_passed_over() -> None:
    """A note with two signatures opens with either key, and with both; not with a third."""
    both = SIGNED + OTHER.sign(TEXT).rpartition("\n\n")[2]
    for keys in ([KEY.verifier], [KEY.verifier, OTHER.verifier], [OTHER.verifier, KEY.verifier]):
        assert signed_note.opened(both, keys) == (TEXT, KEY.verifier)
    assert signed_note.opened(both, [OTHER.verifier]) == (TEXT, OTHER.verifier)
    with pytest.raises(NoteError, match=r"none of the known keys"):
        signed_note.opened(both, [signed_note.generate("third").verifier])


def test_a_bad_signature_beside_a_good_one() -> None:
    """A known key's signature that is not good is an error even where another is."""
    wrong = OTHER.sign("another text\n").rpartition("\n\n")[2]
    with pytest.raises(NoteError, match="not good"):
        signed_note.opened(SIGNED + wrong, [KEY.verifier, OTHER.verifier])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "\n\n",
        TEXT,
        TEXT + "\n",
        SIGNED.replace("— ", "- "),
        SIGNED.replace("— ", "—"),
        SIGNED.replace("=\n", "\n"),
        SIGNED.replace("=\n", "=\n\n"),
        SIGNED.replace("=\n", "= \n"),
        SIGNED.replace("=\n", "=\u2028"),
        SIGNED.replace("\n", "\r\n"),
        f"{TEXT}\n— PeterNeumann x08gow==\n",  # the key's id and no signature
        f"{TEXT}\n— PeterNeumann {b64encode(KEY.verifier.key_id + bytes(10)).decode()}\n",
        SIGNED + SIGNED.rpartition("\n\n")[2] * 100,
        "x" * 1_000_001,
    ],
)
def test_what_is_no_note(text: str) -> None:
    """Without signatures, with lines of another form, with too much: NoteError, whichever it is."""
    with pytest.raises(NoteError):
        signed_note.opened(text, [KEY.verifier])
