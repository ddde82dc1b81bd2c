"""Dry runs as tasks of a worker: none of them outlives it."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import msgspec

from common.kernel.clock import utcnow
from common.kernel.ids import uuid7
from common.messaging.command_processor import Pending
from common.messaging.envelope import Command, encode
from payment_svc.application.workers.dry_run import DryRuns
from payment_svc.contracts.commands import RunCollections


class Pool:
    """A database that does not answer."""

    def acquire(self) -> Any:
        return self

    async def __aenter__(self) -> None:
        await asyncio.Event().wait()

    async def __aexit__(self, *_: object) -> None:
        pass


async def test_a_command_delivered_twice_leaves_nothing_behind() -> None:
    """The second waits for the first; when the worker ends, both end."""
    data = encode(RunCollections(as_of=utcnow().date(), dry_run=True))
    command = Command(
        command_id=uuid7(), type="RunCollections", submitted_at=utcnow(), data=msgspec.Raw(data)
    )
    pending = cast(Pending, SimpleNamespace(command=command, delivery=SimpleNamespace(reply_to="front")))
    runs, before = DryRuns(cast(Any, Pool()), cast(Any, None)), asyncio.all_tasks()
    for _ in range(3):
        runs.begin(pending)
        await asyncio.sleep(0)
    assert len(asyncio.all_tasks() - before) == 3
    await runs.end()
    assert asyncio.all_tasks() == before
