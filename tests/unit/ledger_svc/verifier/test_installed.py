"""The verifier as an auditor installs it: the package alone, with the two libraries that it needs."""

import configparser
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from iso4217 import Currency
from packaging.requirements import Requirement

from ledger_svc.verifier.currencies import DIGITS, money
from ledger_svc.views import timeline_text
from tests.support.builders.exports import KEY, ledger

PROJECT = Path(__file__).parents[4]
# The two, and what cryptography itself needs.
NEEDED = ("cryptography", "msgspec", "cffi", "_cffi_backend", "pycparser", "typing_extensions")


def _installed(folder: Path) -> Path:
    """The package built from a copy of the project, and the needed libraries beside it; nothing else."""
    source, site = folder / "source", folder / "site"
    leave_out = shutil.ignore_patterns(".*", "tests", "docs", "__pycache__", "*.egg-info", "build")
    shutil.copytree(PROJECT, source, ignore=leave_out)
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"),
            *("--no-compile", "--no-index", "--disable-pip-version-check", "--target", site, source),
        ],
        check=True,
        capture_output=True,
    )
    for name in NEEDED:
        found = importlib.util.find_spec(name)
        if found is not None and found.origin is not None:
            path = Path(found.origin).parent if found.submodule_search_locations else Path(found.origin)
            (site / path.name).symlink_to(path)
    return site


@pytest.fixture
async def export(tmp_path: Path) -> Path:
    made = ledger(1)
    (tmp_path / "lease.json").write_bytes(await made.export("json", made.lives[0].lease_id))
    (tmp_path / "key").write_text(f"{KEY.verifier}\n")
    return tmp_path


def test_it_works_outside_of_the_repository(export: Path) -> None:
    """Command and module verify an export where nothing but cryptography and msgspec is installed."""
    pytest.importorskip("pip")
    site = _installed(export)
    surroundings = os.environ | {"PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}
    starts = (
        [sys.executable, "-S", "-m", "ledger_svc.verifier"],
        [sys.executable, "-S", "-m", "ledger_svc", "verify"],
        [sys.executable, "-S", site / "bin" / "lease-ledger-verify"],
    )
    for start in starts:
        done = subprocess.run(
            [*start, "lease.json", "--key", "key"],
            cwd=export,
            env=surroundings,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), start
        assert done.stdout.endswith("Verified.\n")


def test_only_two_libraries_are_asked_for() -> None:
    """`pip install '.[verify]'` brings cryptography and msgspec, and what these need."""
    setup = configparser.RawConfigParser()
    setup.read(PROJECT / "setup.cfg")
    asked = setup["options"]["install_requires"] + setup["options.extras_require"]["verify"]
    assert {Requirement(line).name for line in asked.split("\n") if line} == {"cryptography", "msgspec"}


def test_its_currencies_are_those_of_the_list() -> None:
    """The verifier's own table gives each currency the digits of ISO 4217, and amounts read alike."""
    listed = {each.code: each.exponent for each in Currency if each.exponent is not None}
    assert listed == DIGITS
    for currency in (*listed, "XAU", "???"):
        assert money(-1234567, currency) == timeline_text.money(-1234567, currency)
