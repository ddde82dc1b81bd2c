"""Tasks end when they are told to, also those that misunderstand it once."""

import asyncio

import pytest

from common.runtime.tasks import cancel_and_wait, run_until_first_failure


async def test_one_that_takes_a_cancellation_for_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    """It answers the first one with an error, sits that out, and ends with the second."""
    monkeypatch.setattr("common.runtime.tasks.CANCEL_AGAIN_AFTER_S", 0.01)
    heard = 0

    async def misunderstands() -> None:
        nonlocal heard
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                heard += 1
                if heard == 2:
                    raise

    async def fails() -> None:
        raise OSError("gone")

    tasks = [asyncio.ensure_future(work()) for work in (misunderstands, fails)]
    await asyncio.sleep(0)
    await cancel_and_wait(tasks)
    assert tasks[0].cancelled()
    assert isinstance(tasks[1].exception(), OSError)


async def test_run_until_first_failure() -> None:
    """The others are ended, and what the one raised is raised."""
    ended = asyncio.Event()

    async def waits() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    async def fails() -> None:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        await run_until_first_failure(waits(), fails())
    assert ended.is_set()


async def test_nothing_to_end() -> None:
    """No task, and one that has ended: returns."""
    await cancel_and_wait([])
    done = asyncio.ensure_future(asyncio.sleep(0))
    await done
    await cancel_and_wait([done])
