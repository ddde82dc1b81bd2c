"""The sandbox's memory: one thread that owns the SQLite file and commits many charges at a time.

A commit costs a flush to the disk. While one is under way, requests queue up, and the next commit takes them
all; so the rate is not bounded by one flush per charge. Nothing is answered before the commit that holds it.

Look-ups stand in the same queue. A look-up therefore sees every charge that the gateway had accepted before
it, which is what makes "no such charge" a certain answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from gateway_sandbox.charges import KeyReused, Taken, look_up, open_book, take
from gateway_sandbox.disputes import SCHEMA as DISPUTES
from gateway_sandbox.disputes import Disputed, DisputeRefused, Due, dispute, due, sent
from gateway_sandbox.refunds import SCHEMA as REFUNDS
from gateway_sandbox.refunds import Refunded, look_up_refunds, refund
from gateway_sandbox.schemas import (
    Charge,
    ChargeRequest,
    DisputeRequest,
    Filters,
    Page,
    Refund,
    RefundRequest,
)

_GROUP = 500  # jobs in one commit, at most: bounds how long the first of them waits for the last

T = TypeVar("T")
_Job = tuple[Callable[[sqlite3.Connection], Any], "asyncio.Future[Any]"]
_Settled = list[tuple["asyncio.Future[Any]", Any]]


class RecordFailed(Exception):
    """The record could not be written or read, so it is not certain what it holds."""


class Record:
    """The charges, refunds and disputes of one gateway.

    How many calls may wait at once is for the caller to bound.
    """

    def __init__(self, path: str) -> None:
        """`path`: the SQLite file; it is made when it is not there."""
        self._path = path
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self) -> None:
        """Open the file; raises sqlite3.Error when that is not possible."""
        self._loop = asyncio.get_running_loop()
        opened: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, args=(opened,), name="sandbox-record", daemon=True)
        self._thread.start()
        await opened

    async def stop(self) -> None:
        """Finish what has been asked for and close the file. Nothing may be asked afterwards."""
        self._jobs.put(None)
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    async def take(self, key: str, request: ChargeRequest) -> Taken | KeyReused:
        """Record a charge under its idempotency key; returns once it is on the disk. Raises RecordFailed."""
        return await self._ask(lambda book: take(book, key, request))

    async def refund(self, key: str, request: RefundRequest) -> Refunded | KeyReused:
        """The same for a refund. Raises RecordFailed."""
        return await self._ask(lambda book: refund(book, key, request))

    async def dispute(self, charge_id: str, request: DisputeRequest) -> Disputed | DisputeRefused:
        """Take a charge's money back, and note that it is to be told. Raises RecordFailed."""
        return await self._ask(lambda book: dispute(book, charge_id, request))

    async def due(self, at: float, limit: int) -> Due:
        """The notices that are to be sent by a Unix time, the oldest first. Raises RecordFailed."""
        return await self._ask(lambda book: due(book, at, limit))

    async def sent(self, seq: int, again_at: float | None) -> None:
        """A notice was sent; `again_at`: when it is to be sent again, None: not any more."""
        await self._ask(lambda book: sent(book, seq, again_at))

    async def look_up_refunds(self, filters: Filters) -> Page[Refund]:
        """The refunds that match, oldest first. Raises RecordFailed."""
        return await self._ask(lambda book: look_up_refunds(book, filters))

    async def look_up(self, filters: Filters) -> Page[Charge]:
        """The charges that match, oldest first. Raises RecordFailed."""
        return await self._ask(lambda book: look_up(book, filters))

    async def _ask(self, work: Callable[[sqlite3.Connection], T]) -> T:
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._jobs.put((work, future))
        return await future

    def _run(self, opened: asyncio.Future[None]) -> None:
        try:
            book = open_book(self._path, REFUNDS, DISPUTES)
        except sqlite3.Error as error:
            self._settle([(opened, error)])
            return
        self._settle([(opened, None)])
        while group := self._next_group():
            self._settle(_commit(book, group))
        book.close()

    def _next_group(self) -> list[_Job]:
        """Everything that waits, up to the limit; empty once the record is to stop."""
        job = self._jobs.get()
        group: list[_Job] = []
        while job is not None:
            group.append(job)
            if len(group) == _GROUP or self._jobs.empty():
                return group
            job = self._jobs.get()
        if group:
            self._jobs.put(None)  # this group first, then the stop again
        return group

    def _settle(self, results: _Settled) -> None:
        """Hand a whole group back in one step: waking the event loop is dearer than setting a future."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(_resolve, results)


def _commit(book: sqlite3.Connection, group: list[_Job]) -> _Settled:
    """Do a group's work in one transaction. Where that fails, it fails for all and nothing is kept."""
    try:
        book.execute("BEGIN IMMEDIATE")
        results = [(future, work(book)) for work, future in group]
        book.execute("COMMIT")
        return results
    except Exception as error:  # whatever it was, nobody in the group may be left waiting
        if book.in_transaction:
            with contextlib.suppress(sqlite3.Error):  # the next group's BEGIN fails and comes here again
                book.execute("ROLLBACK")
        failure = RecordFailed(f"{type(error).__name__}: {error}")
        return [(future, failure) for _, future in group]


def _resolve(results: _Settled) -> None:
    for future, result in results:
        if future.done():  # its client has left
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)
