"""Prefer and Consistency-Token: what is read from them, and what is made of nonsense."""

import asyncio

import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from common.http import consistency, prefer
from common.http.consistency import Position
from common.http.problems import ProblemError
from common.ids import uuid7

LEASE = "01890a5d-ac96-774b-8bce-b302099a8057"


def request_with(*headers: tuple[str, str]) -> object:
    return make_mocked_request("GET", "/", headers=CIMultiDict(headers))


@pytest.mark.parametrize(
    ("given_", "wait_s", "is_async"),
    [
        ((), 10, False),
        (("respond-async",), 10, True),
        (("Respond-Async, WAIT=5",), 5, True),
        (("wait=5", "respond-async"), 5, True),
        (("wait = 5",), 5, False),
        (('wait="5"',), 5, False),
        (("wait=0",), 0, False),
        (("wait=30",), 30, False),
        (("wait=31",), 30, False),
        (("wait=999999",), 30, False),
        (("wait=5, wait=7",), 5, False),
        (("wait=x, wait=7",), 10, False),  # the first one counts, though it says nothing
        (("wait=1; foo",), 1, False),
        (('wait=1; foo=bar; baz="a, b; wait=9"',), 1, False),
        (("wait=1 ;; foo",), 1, False),
        (("respond-async; foo=bar",), 10, True),
        (('respond-async=""',), 10, True),
        (('respond-async = "" ;x',), 10, True),
        (("respond-async=yes",), 10, False),  # it has no such value
        (("respond-async=yes", "respond-async"), 10, False),
        (('foo="respond-async, wait=3"',), 10, False),
        (('foo="a\\"b, c", wait=3',), 3, False),
        (('foo="no end, wait=3', "wait=4"), 4, False),
        (("wait=1 2, wait=3",), 3, False),  # no preference at all, so not the first one
        (("=, ;, wait=3",), 3, False),
        (('wait="1\\0"',), 10, False),
        (("wait=00000000000000000000005",), 5, False),
        (("wait=\u0663",), 10, False),
        (("wait=-1",), 10, False),
        (("wait=1.5",), 10, False),
        (("wait=",), 10, False),
        (("wait=9999999",), 30, False),
        (("wait=" + "9" * 8000,), 30, False),
        (("respond-asynchronously",), 10, False),
        (("handling=lenient, ,, return=minimal",), 10, False),
        (("",), 10, False),
    ],
)
def test_prefer(given_: tuple[str, ...], wait_s: float, is_async: bool) -> None:
    """RFC 7240: names in any case, several headers or one; what is not understood is ignored."""
    request = request_with(*(("Prefer", value) for value in given_))
    assert prefer.wait_s(request, default_s=10) == wait_s  # type: ignore[arg-type]
    assert prefer.respond_async(request) is is_async  # type: ignore[arg-type]


@given(st.sampled_from(["/lease-svc", "/payment-svc"]), st.integers(0, 999_999_999), st.uuids())
def test_tokens(source: str, sequence: int, lease_id: object) -> None:
    """A token is printable, needs no quoting, and is read as what it was made from."""
    position = Position(source, sequence, str(lease_id))
    token = consistency.token(position)
    assert token.isascii()
    assert token.replace("-", "").replace("_", "").isalnum()
    assert consistency.read_token(token) == position


@given(st.text(max_size=300))
def test_no_tokens(text: str) -> None:
    """Anything else is refused, whatever it is made of."""
    with pytest.raises(ProblemError) as caught:
        consistency.read_token(text)
    assert [each.pointer for each in caught.value.errors] == ["/Consistency-Token"]


async def test_waiting() -> None:
    """Without a token at once; with one until it is so; 503 with Retry-After when the time is up."""
    position = Position("/lease-svc", 3, LEASE)
    asked: list[Position] = []

    async def third_time(where: Position) -> bool:
        asked.append(where)
        return len(asked) == 3

    async def never(_where: Position) -> bool:
        return False

    await consistency.wait_until_caught_up(request_with(), never)  # type: ignore[arg-type]
    token = ("Consistency-Token", consistency.token(position))
    await consistency.wait_until_caught_up(request_with(token), third_time)  # type: ignore[arg-type]
    assert asked == [position] * 3
    loop = asyncio.get_running_loop()
    started = loop.time()
    with pytest.raises(ProblemError) as caught:
        await consistency.wait_until_caught_up(request_with(token, ("Prefer", "wait=0")), never)  # type: ignore[arg-type]
    assert (caught.value.status, caught.value.headers) == (503, {"Retry-After": "1"})
    assert loop.time() - started < 0.2


async def test_no_longer_than_asked() -> None:
    """The wait is never longer than the client's word, also where asking takes its time."""

    async def slow(_where: Position) -> bool:
        await asyncio.sleep(0.05)
        return False

    token = ("Consistency-Token", consistency.token(Position("/lease-svc", 1, uuid7())))
    loop = asyncio.get_running_loop()
    started = loop.time()
    with pytest.raises(ProblemError):
        await consistency.wait_until_caught_up(request_with(token, ("Prefer", "wait=1")), slow)  # type: ignore[arg-type]
    assert 0.8 < loop.time() - started < 1.2
