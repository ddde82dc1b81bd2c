"""One system for the whole session: starting it takes longer than most tests."""

from collections.abc import AsyncIterator, Generator, Iterator

import pytest

from tests.support.system.client import Client, open_session
from tests.support.system.system import System


@pytest.fixture(scope="session")
def system() -> Iterator[System]:
    """The whole system in real processes, healthy; gone after the last test."""
    system = System()
    try:
        system.start()
        yield system
    finally:
        system.stop()


@pytest.fixture(scope="module")
def collections() -> Iterator[System]:
    """A system of a module's own: for tests that move the business date, or look at all that is recorded.

    A run of collections has to do with every lease, also with what other modules have left.
    """
    system = System()
    try:
        system.start()
        yield system
    finally:
        system.stop()


@pytest.fixture
async def client_of_collections(collections: System) -> AsyncIterator[Client]:
    """A client of that one."""
    urls = {name: collections.url(name) for name in ("lease", "payment", "ledger", "gateway")}
    async with open_session() as session:
        yield Client(session, urls)


@pytest.fixture
async def client(system: System) -> AsyncIterator[Client]:
    """A client of the system, with a record of its own."""
    urls = {name: system.url(name) for name in ("lease", "payment", "ledger", "gateway")}
    async with open_session() as session:
        yield Client(session, urls)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test shows what the processes logged while it ran: afterwards the logs are gone."""
    report = yield
    given = getattr(item, "funcargs", {})
    system = given.get("system") or given.get("collections")
    if report.when == "call" and report.failed and isinstance(system, System):
        report.sections.append(("what the processes logged", system.complaints(since=call.start)))
    return report
