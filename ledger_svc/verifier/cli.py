"""The verifier's command line: FILE --key KEY."""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from errno import EBADF
from io import BufferedReader, FileIO

import msgspec

from ledger_svc.transparency import checkpoint, signed_note
from ledger_svc.transparency.signed_note import NoteError, VerifierKey
from ledger_svc.verifier import text_report
from ledger_svc.verifier.consistency import Consistency, History, Unanswerable
from ledger_svc.verifier.export_reader import Unreadable
from ledger_svc.verifier.strict_json import BEGINS_WITH_BOM, BOM, json_of, shown
from ledger_svc.verifier.verifier import Trust, verify

GOOD, WRONG, UNREADABLE = 0, 1, 2  # exit codes; of several files the highest
INTERRUPTED = 130  # as shells have it
MAX_SMALL_BYTES = 1024 * 1024  # of keys, a checkpoint, a proof

_ABOUT = (
    "Check an export of the ledger with nothing but the ledger's public key: every hash, the place of every "
    "entry under the signed checkpoint, that nothing is missing, and what the events add up to."
)
_EXIT = "Exit code: 0 all is as it was sealed, 1 something is not, 2 a file cannot be read or wrong usage."


class _Usage(Exception):
    """What was given along with the files cannot be used; the message says why."""


def main(arguments: Sequence[str], name: str = "python -m ledger_svc verify") -> int:
    """Run the command that was called by `name`; gives the exit code."""
    parser = argparse.ArgumentParser(prog=name, description=_ABOUT, epilog=_EXIT)
    parser.add_argument("file", nargs="+", help="an export, json or ndjson, also gzipped; - for stdin")
    parser.add_argument(
        "--key",
        action="append",
        required=True,
        help="the ledger's public key, or a file with a key on each line; may be given again",
    )
    parser.add_argument("--against", metavar="OLD", help="a file with an earlier checkpoint")
    parser.add_argument(
        "--consistency",
        metavar="PROOF",
        help="with --against, for a lease's export: a file with the ledger's answer of proofs/consistency",
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object for each file")
    given = parser.parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # whatever a terminal cannot show
    try:
        trust = _trust(given.key, given.against, given.consistency)
    except _Usage as error:
        print(f"verify: {error}", file=sys.stderr)
        return UNREADABLE
    try:
        return max([_one(name, trust, as_json=given.json) for name in given.file])
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:  # while the report is written: what cannot be read was reported before
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):  # whoever was reading has read enough
            print(f"verify: the report cannot be written: {error.strerror}", file=sys.stderr)
        return UNREADABLE


def _one(name: str, trust: Trust, *, as_json: bool) -> int:
    """Verify one file and print what was found."""
    try:
        with _opened(name) as file, text_report.progress(file, quiet=as_json) as tick:
            report = verify(file, name, trust, tick)
    except (OSError, Unreadable, Unanswerable) as error:
        words = f"{shown(name)}: {shown(error.strerror if isinstance(error, OSError) else error)}"
        if as_json:
            print(json.dumps({"ok": False, "file": shown(name), "error": words}), flush=True)
        else:
            print(f"verify: {words}", file=sys.stderr)
        return UNREADABLE
    if as_json:
        print(json.dumps(msgspec.to_builtins(report), ensure_ascii=False), flush=True)
    else:
        text_report.show(report)
    return GOOD if report.ok else WRONG


@contextmanager
def _opened(name: str) -> Iterator[BufferedReader]:
    """The file, from its beginning. Raises OSError."""
    if name == "-":
        if sys.stdin is None:
            raise OSError(EBADF, "standard input is closed")
        yield BufferedReader(FileIO(sys.stdin.fileno(), closefd=False))
    else:
        with open(name, "rb") as file:
            yield file


def _trust(keys: Sequence[str], against: str | None, consistency: str | None) -> Trust:
    """What the arguments give. Raises _Usage."""
    known = [key for given in keys for key in _keys(given)]
    if against is None:
        if consistency is not None:
            raise _Usage("--consistency goes with --against")
        return Trust(known)
    signed = _text(against)
    if "\r" in signed:
        raise _Usage(f"{shown(against)}: its line ends are not the signed ones: take it as it was served")
    try:
        earlier = checkpoint.verified(signed, known)
    except NoteError as error:
        raise _Usage(f"{shown(against)}: not a checkpoint of this ledger: {shown(error)}") from None
    proof = None
    if consistency is not None:
        text = _text(consistency).encode()
        try:
            json_of(text)  # nothing twice
            proof = msgspec.json.decode(text, type=Consistency)
        except (ValueError, RecursionError) as error:
            raise _Usage(f"{shown(consistency)}: not a proof of consistency: {shown(error)}") from None
    return Trust(known, History(earlier, proof))


def _keys(given: str) -> list[VerifierKey]:
    """The key, or those of a file. Raises _Usage."""
    lines = [given] if "+" in given and not os.path.exists(given) else _text(given).split("\n")
    try:
        found = [signed_note.verifier_key(line.strip()) for line in lines if line.strip()]
    except NoteError as error:
        raise _Usage(f"--key: {shown(error)}") from None
    if not found:
        raise _Usage(f"{shown(given)}: no key in it")
    return found


def _text(name: str) -> str:
    """A small text file. Raises _Usage."""
    try:
        with open(name, "rb") as file:
            found = file.read(MAX_SMALL_BYTES + 1)
        if len(found) > MAX_SMALL_BYTES:
            raise _Usage(f"{shown(name)}: over {MAX_SMALL_BYTES} bytes")
        text = found.decode()
    except (OSError, ValueError) as error:
        words = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise _Usage(f"{shown(name)}: {words}") from None
    if text.startswith(BOM):
        raise _Usage(f"{shown(name)}: {BEGINS_WITH_BOM}")
    return text
