"""The shape of the house: sizes of folders, modules and functions, and what pure code may load."""

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3]
PACKAGES = (
    *("common", "deployment", "lease_svc", "payment_svc", "ledger_svc"),
    *("gateway_sandbox", "demo", "perf", "tests"),
)
MODULES = sorted(path for package in PACKAGES for path in (PROJECT / package).rglob("*.py"))
FOLDER_MAX, MODULE_MAX, FUNCTION_MAX = 16, 300, 60
TEST_MODULE_MAX = 750  # to come down to MODULE_MAX as the tests are split by subject
# What is still over the limits: these lists only shrink. A test fails for an entry that is no longer needed.
LONG_MODULES = {
    "payment_svc/adapters/postgres/account_repository.py",
    "payment_svc/application/command_handlers.py",
    "payment_svc/contracts/events.py",
    "payment_svc/domain/attempt.py",
    "payment_svc/domain/collection_rules.py",
}
LONG_FUNCTIONS = {
    "payment_svc/domain/payoff.py:payoff",
    "payment_svc/entrypoints/http/attempt_routes.py:routes",
    "tests/integration/payment_svc/test_gateway_answers.py:test_a_lease_and_its_payments",
    "tests/integration/payment_svc/test_pending_until_resolved.py:test_what_was_answered_too_early",
    "tests/integration/system/test_migrations_and_grants.py"
    ":test_what_autopay_was_over_for_comes_from_the_attempts",
}

# Rules, and what a proof stands on: nothing of the network, the database or the log is loaded with them.
PURE = (
    *("common.kernel", "lease_svc.domain"),
    *("ledger_svc.accounting", "ledger_svc.event_types", "ledger_svc.transparency", "ledger_svc.views"),
)
KEPT_OUT = ("aiohttp", "asyncpg", "aiormq", "aio_pika", "prometheus_client", "structlog")
KEPT_OUT_OF_COMMON = ("common.web", "common.messaging", "common.postgres")


def _name(path: Path) -> str:
    return str(path.relative_to(PROJECT))


def test_no_folder_is_crowded() -> None:
    """A newcomer finds the place of a change within a minute: at most 16 modules to choose from."""
    counts = Counter(_name(path.parent) for path in MODULES if not path.name.startswith("__"))
    assert {folder: count for folder, count in counts.items() if count > FOLDER_MAX} == {}


def test_no_module_is_long() -> None:
    """A module has one subject, and fits into a reader's head: at most 300 lines."""
    lengths = {_name(path): len(path.read_text().splitlines()) for path in MODULES}
    limits = {name: TEST_MODULE_MAX if name.startswith("tests/") else MODULE_MAX for name in lengths}
    assert {name for name, length in lengths.items() if length > limits[name]} == LONG_MODULES


def _functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def test_no_function_is_long() -> None:
    """A function fits on a screen: at most 60 lines."""
    long = {
        f"{_name(path)}:{function}"
        for path in MODULES
        for function, length in _functions(path)
        if length > FUNCTION_MAX
    }
    assert long == LONG_FUNCTIONS


@pytest.mark.parametrize("package", PURE)
def test_pure_code_loads_no_io(package: str) -> None:
    """Every module of a pure package loads in a fresh interpreter without any client library."""
    folder = PROJECT / package.replace(".", "/")
    modules = [f"{package}.{path.stem}" for path in sorted(folder.glob("*.py")) if path.stem != "__init__"]
    code = f"import {', '.join(modules)}, sys; print(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    loaded = done.stdout.split()
    wrong = [
        name for name in loaded if name.partition(".")[0] in KEPT_OUT or name.startswith(KEPT_OUT_OF_COMMON)
    ]
    assert wrong == []
