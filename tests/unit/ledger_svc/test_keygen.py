"""The ledger's key: made on the command line, and asked for at the start."""

import subprocess
import sys
from pathlib import Path

import pytest

from common.runtime.settings import Settings
from ledger_svc.bootstrap import api, signing_key, writer
from ledger_svc.entrypoints import keygen
from ledger_svc.transparency import checkpoint, signed_note

PROJECT = Path(__file__).parents[3]


def test_a_new_key_each_time(capsys: pytest.CaptureFixture[str]) -> None:
    """Stdout has the private key alone, stderr the public one to hand out."""
    assert keygen.main([]) == keygen.main(["--name", "example.org/log"]) == 0
    told = capsys.readouterr()
    keys = [signed_note.signing_key(line) for line in told.out.splitlines()]
    assert [key.name for key in keys] == [checkpoint.ORIGIN, "example.org/log"]
    assert told.err.splitlines() == [f"public key: {key.verifier}" for key in keys]
    assert keys[0].seed != keys[1].seed


def test_the_public_half(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """--public prints the vkey of LEDGER_KEY; without one it is exit status 2."""
    key = signed_note.generate("example.org/log")
    monkeypatch.setenv("LEDGER_KEY", key.secret())
    assert keygen.main(["--public"]) == 0
    assert capsys.readouterr().out == f"{key.verifier}\n"
    monkeypatch.setenv("LEDGER_KEY", "nonsense")
    assert keygen.main(["--public"]) == 2


def test_a_name_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 2, nothing on stdout."""
    assert keygen.main(["--name", "two words"]) == 2
    told = capsys.readouterr()
    assert (told.out, "white space" in told.err) == ("", True)


def test_it_is_a_command_of_the_package() -> None:
    """`python -m ledger_svc keygen`, found in the table of commands."""
    command = [sys.executable, "-m", "ledger_svc", "keygen"]
    made = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    assert signed_note.signing_key(made.stdout.strip()).name == checkpoint.ORIGIN


@pytest.mark.parametrize(
    ("given", "says"),
    [("", "is not set"), ("PRIVATE+KEY+x", "base64"), ("a+b+c", "begins with"), ("x" * 100, "begins with")],
)
@pytest.mark.parametrize("role", [api, writer])
async def test_without_a_key_nothing_starts(role: object, given: str, says: str) -> None:
    """The process ends at once and says which variable is wrong and how a key is made, not the value."""
    with pytest.raises(SystemExit) as ended:
        async with role(Settings(ledger_key=given)):  # type: ignore[operator]
            pass
    words = str(ended.value)
    assert "LEDGER_KEY" in words
    assert says in words
    assert "python -m ledger_svc keygen" in words
    assert not given or given not in words


def test_settings_do_not_show_it() -> None:
    """The key is read, and kept out of what is printed."""
    key = signed_note.generate("example.org/log")
    settings = Settings.from_environment({"LEDGER_KEY": key.secret()})
    assert signing_key(settings) == key
    assert key.secret() not in repr(settings)
