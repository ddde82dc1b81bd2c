"""A server that is told to stop answers what comes in on open connections, and gives these back."""

import asyncio

import aiohttp
import pytest
from aiohttp import web

from common.web.protocol import Runner


async def test_open_connections_are_given_back() -> None:
    """An idle connection is used once more after the server was told to stop; a new one is refused."""
    app = web.Application()
    app.router.add_get("/", _hello)
    runner = Runner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    async with aiohttp.ClientSession() as session:
        async with session.get(url) as before:
            assert "Connection" not in before.headers
        stopping = asyncio.create_task(runner.cleanup())
        await asyncio.sleep(0.05)
        async with session.get(url) as last:
            assert (last.status, last.headers["Connection"]) == (200, "close")
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(url)
        await stopping


async def _hello(_: web.Request) -> web.Response:
    return web.Response(text="hello")
