"""The verifier as an auditor runs it: what is printed, the exit code, and that nothing else is needed."""

import gzip
import json
import subprocess
import sys
from codecs import BOM_UTF8
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ledger_svc.transparency import signed_note
from ledger_svc.verifier.cli import main
from perf.checks.export_file import dump, parse
from tests.support.builders.exports import KEY, Ledger, ledger
from tests.unit.ledger_svc.verifier.test_verifier import proof

PROJECT = Path(__file__).parents[4]
# Whatever speaks to a database, a broker or the network.
BLOCKED = (
    *("asyncpg", "psycopg", "psycopg2", "sqlite3", "yoyo", "aio_pika", "aiormq", "pamqp", "pika", "aiohttp"),
    *("httpx", "requests", "urllib3", "uvloop", "http.client", "urllib.request", "ssl", "socket", "asyncio"),
)

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def made() -> Ledger:
    return ledger(3)


@pytest.fixture
async def files(made: Ledger, tmp_path: Path) -> Path:
    """A folder with exports, a key, an earlier checkpoint and the proof that belongs to it."""
    lease_id = made.lives[0].lease_id
    (tmp_path / "lease.json").write_bytes(await made.export("json", lease_id))
    (tmp_path / "lease.ndjson").write_bytes(await made.export("ndjson", lease_id))
    (tmp_path / "ledger.ndjson.gz").write_bytes(gzip.compress(await made.export()))
    forged = parse(await made.export())
    forged.rows.pop(1)
    (tmp_path / "forged.ndjson").write_bytes(dump(forged))
    (tmp_path / "key").write_text(f"{signed_note.generate('example.org/other').verifier}\n\n{KEY.verifier}\n")
    (tmp_path / "old").write_text(made.checkpoint(5))
    (tmp_path / "proof").write_bytes(msgspec.json.encode(proof(made, 5, len(made.entries))))
    return tmp_path


@pytest.fixture
def run(files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command in that folder; gives exit code, stdout and stderr."""
    monkeypatch.chdir(files)

    def run(*arguments: str) -> tuple[int, str, str]:
        try:
            code = main(arguments)
        except SystemExit as ended:
            code = int(str(ended.code))
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.mark.parametrize("file", ["lease.json", "lease.ndjson", "ledger.ndjson.gz"])
def test_good(run: Run, file: str) -> None:
    """Exit code 0, words for people without colours, and an object for machines."""
    code, out, err = run(file, "--key", "key")
    assert (code, err) == (0, "")
    assert out.endswith("Verified.\n")
    assert "\x1b" not in out
    code, out, err = run(file, "--key", str(KEY.verifier), "--json")
    assert (code, err) == (0, "")
    report = json.loads(out)
    assert report["ok"]
    assert (report["file"], report["signed_by"], report["problems"]) == (file, str(KEY.verifier), [])
    assert report["lease" if file.startswith("lease") else "ledger"]


def test_wrong(run: Run) -> None:
    """Exit code 1, and which entry it is."""
    code, out, err = run("forged.ndjson", "--key", "key")
    assert (code, err) == (1, "")
    assert "entry 3" in out
    assert "entry 2 is missing before this one" in out
    assert "NOT verified" in out
    code, out, _ = run("forged.ndjson", "--key", "key", "--json")
    report = json.loads(out)
    assert (code, report["ok"], report["ledger"]) == (1, False, None)
    first = next(each for each in report["problems"] if each["check"] == "order")
    assert (first["seq"], first["expected"], first["found"]) == (3, "2", "3")


def test_several_files(run: Run) -> None:
    """One object for each; the exit code is the worst."""
    code, out, _ = run("lease.json", "forged.ndjson", "ledger.ndjson.gz", "--key", "key", "--json")
    assert code == 1
    assert [json.loads(line)["ok"] for line in out.splitlines()] == [True, False, True]
    code, out, _ = run("forged.ndjson", "nowhere", "key", "--key", "key", "--json")
    assert code == 2
    assert [json.loads(line)["ok"] for line in out.splitlines()] == [False] * 3


def test_against(run: Run) -> None:
    """An earlier checkpoint: by itself for the whole ledger, with a proof for a lease."""
    code, out, _ = run("ledger.ndjson.gz", "--key", "key", "--against", "old")
    assert (code, "the first 5 entries are those of then" in out) == (0, True)
    code, _, err = run("lease.json", "--key", "key", "--against", "old")
    assert (code, "consistency?first=5&second=" in err) == (2, True)
    code, out, _ = run("lease.json", "--key", "key", "--against", "old", "--consistency", "proof")
    assert (code, "the first 5 entries are those of then" in out) == (0, True)


UNUSABLE = [
    ([], "required"),
    (["lease.json"], "--key"),
    (["lease.json", "--key", "nowhere"], "No such file"),
    (["lease.json", "--key", "."], "Is a directory"),
    (["lease.json", "--key", "old"], "key"),
    (["lease.json", "--key", "a+b+c"], "key"),
    (["lease.json", "--key", "lease.json"], "key"),
    (["lease.json", "--key", "empty"], "no key in it"),
    (["lease.json", "--key", "a+" * 10_000], "key"),
    (["lease.json", "--key", KEY.secret()], "private"),
    (["nowhere", "--key", "key"], "No such file"),
    ([".", "--key", "key"], "Is a directory"),
    (["key", "--key", "key"], "not an export"),
    (["lease.json", "--key", "key", "--against", "nowhere"], "No such file"),
    (["lease.json", "--key", "key", "--against", "lease.json"], "not a checkpoint"),
    (["lease.json", "--key", "key", "--against", "ledger.ndjson.gz"], "not UTF-8"),
    (["lease.json", "--key", "key", "--against", "old", "--consistency", "old"], "not a proof"),
    (["lease.json", "--key", "key", "--consistency", "proof"], "--against"),
    (["lease.json", "--key", "key", "--unknown"], "unrecognized"),
    (["empty.gz", "--key", "key"], "it is empty"),
    (["lease.bom", "--key", "key"], "byte order mark"),
    (["ledger.bom", "--key", "key"], "byte order mark"),
    (["lease.utf16", "--key", "key"], "not UTF-8"),
    (["twice.gz", "--key", "key"], "not UTF-8"),
    (["lease.json", "--key", "key.bom"], "byte order mark"),
    (["lease.json", "--key", "key", "--against", "old.bom"], "byte order mark"),
    (["lease.json", "--key", "key", "--against", "old.crlf"], "line ends"),
    (["lease.json", "--key", "key", "--against", "old", "--consistency", "proof.bom"], "byte order mark"),
]


def _saved_anew(files: Path) -> None:
    """The files as editors and other tools leave them."""
    ledger = (files / "ledger.ndjson.gz").read_bytes()
    for name, data in (("ledger", gzip.decompress(ledger)), ("lease", (files / "lease.json").read_bytes())):
        (files / f"{name}.bom").write_bytes(BOM_UTF8 + data)
        (files / f"{name}.crlf").write_bytes(data.replace(b"\n", b"\r\n"))
    (files / "lease.utf16").write_text((files / "lease.json").read_text(), "utf-16")
    (files / "empty.gz").write_bytes(gzip.compress(b""))
    (files / "twice.gz").write_bytes(gzip.compress(ledger))
    for name in ("key", "old", "proof"):
        data = (files / name).read_bytes()
        (files / f"{name}.bom").write_bytes(BOM_UTF8 + data)
        (files / f"{name}.crlf").write_bytes(data.replace(b"\n", b"\r\n"))


def test_line_ends_of_another_system(run: Run, files: Path) -> None:
    """They claim nothing, but in a checkpoint, whose every byte is signed."""
    _saved_anew(files)
    for given in (["lease.crlf", "--key", "key.crlf"], ["ledger.crlf", "--key", "key", "--against", "old"]):
        assert run(*given)[0] == 0
    assert run("lease.json", "--key", "key", "--against", "old", "--consistency", "proof.crlf")[0] == 0


@pytest.mark.parametrize(("arguments", "words"), UNUSABLE, ids=[" ".join(each)[-40:] for each, _ in UNUSABLE])
def test_unusable(run: Run, files: Path, arguments: list[str], words: str) -> None:
    """Exit code 2 and a line that says why, never a traceback, and never the private key."""
    (files / "empty").write_text("\n\n")
    _saved_anew(files)
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert KEY.secret() not in err


def _alone(code: str, *arguments: str, cwd: Path, **given: Any) -> "subprocess.CompletedProcess[bytes]":
    setup = f"import runpy, sys; sys.path.insert(0, {str(PROJECT)!r}); {code}"
    start = "sys.argv[0] = 'ledger_svc'; runpy.run_module('ledger_svc', run_name='__main__', alter_sys=True)"
    command = [sys.executable, "-c", f"{setup}; {start}", *arguments]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | given
    return subprocess.run(command, cwd=cwd, timeout=60, check=False, **streams)


def test_it_needs_nothing_else(files: Path) -> None:
    """`python -m ledger_svc verify` where no database, broker, HTTP or network library can be imported."""
    block = f"sys.modules.update(dict.fromkeys({BLOCKED!r}))"
    done = _alone(block, "verify", "lease.json", "ledger.ndjson.gz", "--key", "key", cwd=files)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.count(b"Verified.") == 2


def test_standard_input(files: Path) -> None:
    """`-` reads from a pipe, compressed or not, and writes to one that knows no Unicode."""
    for name in ("ledger.ndjson.gz", "lease.json"):
        data = (files / name).read_bytes()
        surroundings = {"PYTHONIOENCODING": "ascii"}
        done = _alone("pass", "verify", "-", "--key", "key", cwd=files, input=data, env=surroundings)
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout.endswith(b"Verified.\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_report_that_cannot_be_written(files: Path, more: list[str]) -> None:
    """That is no word about the file: exit code 2, and why."""
    with open("/dev/full", "wb") as full:
        done = _alone("pass", "verify", "lease.json", "--key", "key", *more, cwd=files, stdout=full)
    assert done.returncode == 2
    assert done.stderr == b"verify: the report cannot be written: No space left on device\n"


def test_no_standard_input(files: Path) -> None:
    """Where it is closed there is nothing to read."""
    closed = "import sys; sys.stdin.close(); sys.stdin = None"
    done = _alone(closed, "verify", "-", "--key", "key", cwd=files)
    assert (done.returncode, done.stderr) == (2, b"verify: -: standard input is closed\n")
