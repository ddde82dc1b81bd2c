"""Checkpoints: the text of C2SP's tlog-checkpoint, and what is refused as one."""

from base64 import b64encode

import pytest

from ledger_svc.transparency import checkpoint, signed_note
from ledger_svc.transparency.checkpoint import Checkpoint
from ledger_svc.transparency.signed_note import NoteError

KEY = signed_note.generate(checkpoint.ORIGIN)
ROOT = bytes(range(32))
ENCODED = b64encode(ROOT).decode()


def test_the_text_of_the_specification() -> None:
    """The example of tlog-checkpoint is read and written as it stands there."""
    text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    found = checkpoint.parse(text)
    assert (found.origin, found.size) == ("example.com/behind-the-sofa", 20852163)
    assert found.root.hex()[:8] == "0ac5186a"
    assert found.text() == text


def test_signed_and_verified() -> None:
    """A signed checkpoint states the key's name, size and root, and verifies with the public key."""
    text = checkpoint.signed(KEY, 7, ROOT)
    assert text.startswith(f"lease-payment-orchestration/ledger\n7\n{ENCODED}\n\n— lease-payment")
    assert checkpoint.verified(text, [KEY.verifier]) == Checkpoint(checkpoint.ORIGIN, 7, ROOT)


def test_another_key() -> None:
    """Not with another key, of the same name or not."""
    text = checkpoint.signed(KEY, 7, ROOT)
    for name in (checkpoint.ORIGIN, "other"):
        with pytest.raises(NoteError, match="none of the known keys"):
            checkpoint.verified(text, [signed_note.generate(name).verifier])


def test_other_notes_of_the_key_are_no_checkpoints() -> None:
    """What the key signs for another purpose has another first line: it cannot pass for a checkpoint."""
    other = Checkpoint(f"{KEY.name}/lease-export", 7, ROOT).text()
    with pytest.raises(NoteError, match="is signed by"):
        checkpoint.verified(KEY.sign(other), [KEY.verifier])


def test_extension_lines_are_passed_over() -> None:
    """Lines after the root are for later versions; they are signed too."""
    text = f"{KEY.name}\n7\n{ENCODED}\nanything\n"
    assert checkpoint.verified(KEY.sign(text), [KEY.verifier]).size == 7


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"origin\n7\n{ENCODED}",
        f"\n7\n{ENCODED}\n",
        f"origin\n07\n{ENCODED}\n",
        f"origin\n-7\n{ENCODED}\n",
        f"origin\n٧\n{ENCODED}\n",
        f"origin\n7.0\n{ENCODED}\n",
        f"origin\n{'9' * 20}\n{ENCODED}\n",
        f"origin\n7\n{ENCODED[:-1]}\n",
        f"origin\n7\n{ENCODED[:-2]}9=\n",  # the same bytes, spelt otherwise
        f"origin\n7\n{b64encode(bytes(31)).decode()}\n",
        f"origin\n7\n{ENCODED}\n\n",
        f"7\n{ENCODED}\n",
    ],
)
def test_what_is_no_checkpoint(text: str) -> None:
    """Lines that are missing, or written in any other way."""
    with pytest.raises(NoteError):
        checkpoint.parse(text)
