"""A problem's `type` leads to its page, on the service that has answered with it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from common.web.problems import types
from common.web.server import build_app


@pytest.fixture
async def client() -> AsyncIterator[TestClient[Any, Any]]:
    async with TestClient(TestServer(build_app("Test", [], {}))) as opened:
        yield opened


async def test_every_type_has_a_page(client: TestClient[Any, Any]) -> None:
    """For people and for programs, at the URI itself; the list has the same."""
    listed = await (await client.get("/problems", headers={"Accept": "application/json"})).json()
    assert [each["type"] for each in listed["items"]] == [each.uri for each in types.ALL]
    assert listed["next_cursor"] is None
    for kind, told in zip(types.ALL, listed["items"], strict=True):
        async with client.get(kind.uri) as page:
            assert (page.status, page.content_type) == (200, "text/html")
            text = await page.text()
            assert kind.title in text
            assert kind.uri in text
        async with client.get(kind.uri, headers={"Accept": "application/json"}) as answer:
            assert await answer.json() == told
            assert answer.headers["Vary"] == "Accept"
        assert (told["title"], told["status"]) == (kind.title, kind.status)
    async with client.get("/problems") as page:
        assert (page.status, page.content_type) == (200, "text/html")


async def test_a_problem_leads_to_its_page(client: TestClient[Any, Any]) -> None:
    """The type of a real answer, resolved against the address that gave it."""
    async with client.get("/nothing") as answer:
        found = await answer.json()
    async with client.get(found["type"], headers={"Accept": "application/json"}) as answer:
        assert (await answer.json())["title"] == found["title"] == "Not found"


async def test_no_other_pages(client: TestClient[Any, Any]) -> None:
    """A name that is no kind of problem is one of them."""
    for path in ("/problems/nothing", "/problems/", "/problems/not-found/x"):
        async with client.get(path) as answer:
            assert (answer.status, (await answer.json())["type"]) == (404, "/problems/not-found")
