"""Prefer and Consistency-Token: what is read from them, and what is made of nonsense."""

import asyncio
import base64

import msgspec
import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

import lease_svc.contracts.events
import payment_svc.contracts.events
from common.kernel.ids import uuid7
from common.messaging.envelope import Outcome
from common.web import read_your_writes
from common.web.headers import prefer
from common.web.problems.details import ProblemError
from common.web.read_your_writes import Position

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


@given(st.sampled_from(["/lease-svc", "/payment-svc"]), st.integers(0, 999_999_999))
def test_tokens(source: str, sequence: int) -> None:
    """A token is printable, needs no quoting, and is read as what it was made from."""
    position = Position(source, sequence, uuid7())
    token = read_your_writes.token(position)
    assert token.isascii()
    assert token.replace("-", "").replace("_", "").isalnum()
    assert read_your_writes.read_token(token) == position


def test_sources() -> None:
    """The sources that a token can name are those that there are."""
    assert set(read_your_writes.SOURCES) == {
        lease_svc.contracts.events.SOURCE,
        payment_svc.contracts.events.SOURCE,
    }


def written(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def test_tokens_of_before() -> None:
    """A token without a check was given by an earlier version, and stands in outcomes that are replayed."""
    assert read_your_writes.read_token(written(f"/lease-svc:3:{LEASE}")) == Position("/lease-svc", 3, LEASE)


FUTURE = "ffff0000" + LEASE[8:]
GOOD = read_your_writes.token(Position("/lease-svc", 3, LEASE))
HALF_VALID = [
    *(GOOD[:-1], GOOD[1:], GOOD + "A", GOOD + "AAAA", GOOD + "=", GOOD + "!", GOOD + GOOD, GOOD.lower()),
    *(f"{GOOD[:10]}!{GOOD[10:]}", f"{GOOD[:10]} {GOOD[10:]}", f" {GOOD}", GOOD.replace("L", "K", 1)),
    written(f"/lease-svc:4:{LEASE}:{base64.urlsafe_b64decode(GOOD + '==').decode()[-8:]}"),
    *(written(f"/lease-svc:3:{LEASE}:{check}") for check in ("", "0" * 8, "F" * 8, "0" * 7, "0" * 9)),
    *(written(f"{source}:3:{LEASE}") for source in ("", "/ledger-svc", "/nobody", "lease-svc", "/LEASE-SVC")),
    *(
        written(f"/lease-svc:{number}:{LEASE}")
        for number in ("", "-1", "+3", "03", "00", "3.0", "1e3", " 3", "\u0663", "1000000000", "9" * 300)
    ),
    *(
        written(f"/lease-svc:3:{each}")
        for each in (
            LEASE.upper(),
            LEASE[:-1],
            LEASE + "0",
            LEASE.replace("-", ""),
            f"{{{LEASE}}}",
            "",
            FUTURE,
        )
    ),
    written("/lease-svc:3:8f14e45f-ceea-467f-a8de-9d5e2f8b1c11"),  # no id that a front makes
    *(written(f"/lease-svc:3:{LEASE}{more}") for more in ("\n", " ", ":", "x", "\x00")),
]


@pytest.mark.parametrize("text", HALF_VALID)
def test_half_valid_tokens(text: str) -> None:
    """What only looks like a token is none: nothing of it is passed over, cut off or rounded."""
    with pytest.raises(ProblemError) as caught:
        read_your_writes.read_token(text)
    assert (caught.value.status, caught.value.errors[0].pointer) == (422, "/Consistency-Token")


def test_every_outcome_has_a_token() -> None:
    """One that has none of its own stands for nothing, and is caught up with everywhere."""
    outcome = Outcome(command_id=LEASE, status="rejected", http_status=404)
    position = read_your_writes.read_token(read_your_writes.token_of(outcome))
    assert position.sequence == 0
    assert read_your_writes.token_of(msgspec.structs.replace(outcome, token=GOOD)) == GOOD


def test_a_source_knows_its_own() -> None:
    """A source's own position is reached where it has told of it; beyond it was never given."""
    position = Position("/lease-svc", 3, LEASE)
    assert read_your_writes.own(position, 3)
    assert read_your_writes.own(position, 4)
    for told in (2, 0, None):
        with pytest.raises(ProblemError) as caught:
            read_your_writes.own(position, told)
        assert caught.value.status == 422


@given(st.text(max_size=300))
def test_no_tokens(text: str) -> None:
    """Anything else is refused, whatever it is made of."""
    with pytest.raises(ProblemError) as caught:
        read_your_writes.read_token(text)
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

    await read_your_writes.wait_until_caught_up(request_with(), never)  # type: ignore[arg-type]
    nothing = ("Consistency-Token", read_your_writes.token(Position("", 0, LEASE)))
    await read_your_writes.wait_until_caught_up(request_with(nothing), never)  # type: ignore[arg-type]
    token = ("Consistency-Token", read_your_writes.token(position))
    await read_your_writes.wait_until_caught_up(request_with(token), third_time)  # type: ignore[arg-type]
    assert asked == [position] * 3
    loop = asyncio.get_running_loop()
    started = loop.time()
    with pytest.raises(ProblemError) as caught:
        await read_your_writes.wait_until_caught_up(request_with(token, ("Prefer", "wait=0")), never)  # type: ignore[arg-type]
    assert (caught.value.status, caught.value.headers) == (503, {"Retry-After": "1"})
    assert loop.time() - started < 0.2


async def test_no_longer_than_asked() -> None:
    """The wait is never longer than the client's word, also where asking takes its time."""

    async def slow(_where: Position) -> bool:
        await asyncio.sleep(0.05)
        return False

    token = ("Consistency-Token", read_your_writes.token(Position("/lease-svc", 1, uuid7())))
    loop = asyncio.get_running_loop()
    started = loop.time()
    with pytest.raises(ProblemError):
        await read_your_writes.wait_until_caught_up(request_with(token, ("Prefer", "wait=1")), slow)  # type: ignore[arg-type]
    assert 0.8 < loop.time() - started < 1.2
