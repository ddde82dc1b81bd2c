"""Reads that share a query, and batches that keep their distance."""

import asyncio

import pytest

from common.runtime.dataloader import DataLoader
from common.runtime.pacing import Pacer


class Table:
    """A slow table that notes each query."""

    def __init__(self) -> None:
        self.rows = {1: "one", 2: "two"}
        self.queries: list[list[int]] = []

    async def fetch(self, keys: list[int]) -> dict[int, str]:
        self.queries.append(keys)
        found = {key: self.rows[key] for key in keys if key in self.rows}
        await asyncio.sleep(0.01)
        return found


async def test_reads_at_once_share_a_query() -> None:
    """A hundred reads make two or three queries, each with what was asked by then, and get their own rows."""
    table = Table()
    loader = DataLoader(table.fetch)
    found = await asyncio.gather(*(loader.load(key % 3) for key in range(100)))
    assert found == [table.rows.get(key % 3) for key in range(100)]
    assert len(table.queries) <= 3


async def test_a_read_never_gets_what_is_older_than_itself() -> None:
    """A read that is asked while a query is under way is answered by the next one."""
    table = Table()
    loader = DataLoader(table.fetch)
    first = asyncio.ensure_future(loader.load(1))
    await asyncio.sleep(0.005)
    table.rows[1] = "changed"
    assert await loader.load(1) == "changed"
    assert await first == "one"


async def test_a_failed_query_fails_its_own_reads_only() -> None:
    """The error reaches all who asked; the next read asks anew."""
    table = Table()
    loader = DataLoader(table.fetch)
    fetch, failing = table.fetch, True

    async def sometimes(keys: list[int]) -> dict[int, str]:
        if failing:
            raise OSError("gone")
        return await fetch(keys)

    loader = DataLoader(sometimes)
    results = await asyncio.gather(loader.load(1), loader.load(2), return_exceptions=True)
    assert all(isinstance(each, OSError) for each in results)
    failing = False
    assert await loader.load(1) == "one"


async def test_a_reader_who_leaves_does_not_take_the_answer_along() -> None:
    """Cancelling one of two who asked for the same row leaves the other its answer."""
    loader = DataLoader(Table().fetch)
    leaving = asyncio.ensure_future(loader.load(1))
    staying = asyncio.ensure_future(loader.load(1))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == "one"
    with pytest.raises(asyncio.CancelledError):
        await leaving


async def test_pacing() -> None:
    """The first batch begins at once, the ones right after it are kept apart, and a pause is forgiven."""
    pacer = Pacer(0.05)
    loop = asyncio.get_running_loop()
    started = loop.time()
    await pacer.wait()
    assert loop.time() - started < 0.02
    await pacer.wait()
    await pacer.wait()
    assert loop.time() - started >= 0.09
    await asyncio.sleep(0.06)
    resumed = loop.time()
    await pacer.wait()
    assert loop.time() - resumed < 0.02
