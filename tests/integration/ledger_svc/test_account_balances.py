"""The journal and the trial balance over HTTP, on a log in real tables; also on one begun without them."""

import json
from collections.abc import AsyncIterator, Sequence
from itertools import accumulate
from random import Random
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from msgspec.structs import replace

from common.kernel.clock import utcnow
from common.kernel.ids import uuid7
from common.postgres.pool import Pool
from common.web import read_your_writes
from common.web.read_your_writes import Position
from ledger_svc.accounting import totals
from ledger_svc.accounting.account_balances import Books, Sums, post
from ledger_svc.accounting.journal import book
from ledger_svc.contracts import envelope as ledger_events
from ledger_svc.event_types import registry
from ledger_svc.log import balance_metrics, opening_balances, recorded_closings, repository
from ledger_svc.log.entry import seal
from ledger_svc.log.recorded_closings import Recorded
from ledger_svc.log.repository import Head
from ledger_svc.replay import balances as sums
from ledger_svc.replay import recorded_log
from tests.support.builders.event_mixes import causal, random_life
from tests.support.builders.events import PAYMENTS, Life
from tests.support.servers.apis import Fronts
from tests.support.servers.database import empty, owner, pools
from tests.support.servers.servers import Servers

pytestmark = pytest.mark.asyncio(loop_scope="session")

TRIAL_BALANCE = "/api/v1/audit/trial-balance"


@pytest_asyncio.fixture(loop_scope="session")
async def its(servers: Servers) -> AsyncIterator[asyncpg.Connection]:
    async with owner(servers) as connection:
        await empty(connection, "ledger")
        yield connection
        await empty(connection, "ledger")


@pytest_asyncio.fixture(loop_scope="session")
async def pool(servers: Servers, its: asyncpg.Connection) -> AsyncIterator[Pool]:
    async with pools(servers, "ledger", role="ledger_writer") as [opened]:
        yield opened


async def append(pool: Pool, raws: Sequence[bytes], *, with_books: bool = True) -> Head:
    """Append a batch as the writer does, or as it did when no books were kept."""
    read = [ledger_events.decode(raw) for raw in raws]
    async with pool.acquire() as connection, connection.transaction():
        head = await repository.head(connection)
        recorded = await recorded_closings.recorded(connection, read)
        sums = head.totals if with_books else replace(head.totals, books=None)
        entries = []
        for event, raw in zip(read, raws, strict=True):
            entries.append(seal(event, raw, seq=head.last_seq + len(entries) + 1, recorded_at=utcnow()))
            sums = totals.add(sums, event, recorded.of(event))
            recorded.note(event)
        head = Head(
            last_seq=entries[-1].seq,
            stream_offset=entries[-1].seq,
            event_id=entries[-1].event_id,
            totals=sums,
            recorded_at=utcnow(),
            checkpoint="not signed here",
        )
        await repository.append(connection, entries, [], head, "no key")
    return head


def lives(random: Random, count: int) -> list[bytes]:
    """The events of several lives, those of each in an order in which they can have been told."""
    queues = [causal(random_life(random), random) for _ in range(count)]
    mixed = []
    while queues := [queue for queue in queues if queue]:
        mixed.append(random.choice(queues).pop(0))
    return mixed


def books_after_each(raws: Sequence[bytes]) -> list[Books]:
    """The books from memory: before the first event, and after each."""
    recorded = Recorded()

    def with_one_more(books: Books, raw: bytes) -> Books:
        event = ledger_events.decode(raw)
        booking = book(event, registry.data_of(event), recorded.of(event))
        recorded.note(event)
        return post(books, booking)

    return list(accumulate(raws, with_one_more, initial={}))


def shown_sums(balances: dict[str, Any]) -> Books:
    """What an answer shows; what it adds up itself is checked."""
    for its in balances.values():
        accounts = its["accounts"]
        assert its["debits"] == its["credits"] == sum(each["debits"] for each in accounts)
        assert its["difference"] == sum(each["balance"] for each in accounts) == 0
    return {
        currency: {each["account"]: Sums(each["debits"], each["credits"]) for each in its["accounts"]}
        for currency, its in balances.items()
    }


async def balances_at(fronts: Fronts, seq: int | None = None) -> tuple[int, Books]:
    answer = await fronts.ask("ledger", "GET", TRIAL_BALANCE + ("" if seq is None else f"?seq={seq}"))
    assert answer.status == 200, answer.body
    return answer.json["seq"], shown_sums(answer.json["balances"])


async def test_the_journal_of_a_lease(fronts: Fronts, pool: Pool) -> None:
    """In pages, oldest first, what moved anything and nothing else; the balances are of the whole lease."""
    life = Life(term=2, principal=100_000)
    life.create()
    paying = life.start(1, 3_000)
    life.succeed(paying)
    life.refund(paying, 700)
    life.close()
    await append(pool, life.raws)
    url = f"/api/v1/audit/leases/{life.lease_id}/journal"
    whole = (await fronts.ask("ledger", "GET", url)).json
    assert [(item["seq"], item["type"]) for item in whole["items"]] == [
        (1, "lease.created"),
        (3, "payment.succeeded"),
        (5, "payment.refunded"),
        (6, "lease.charged_off"),
    ]
    told = [json.loads(raw) for raw in life.raws]
    for item in whole["items"]:
        assert (item["event_id"], item["at"]) == (told[item["seq"] - 1]["id"], told[item["seq"] - 1]["time"])
    usd = {"currency": "USD"}
    assert whole["items"][2]["postings"] == [
        {"account": "receivable:fees", "side": "debit", "amount": 200} | usd,
        {"account": "income:interest", "side": "debit", "amount": 500} | usd,
        {"account": "cash", "side": "credit", "amount": 700} | usd,
    ]
    shown = {each["account"]: each["balance"] for each in whole["balances"]["USD"]["accounts"]}
    assert shown == {
        "cash": 2_300,
        "receivable:principal": 0,
        "receivable:fees": 0,
        "funding": -100_000,
        "income:fees": -2_500,
        "income:interest": 0,
        "loss:charge_off": 100_200,
    }
    assert shown_sums(whole["balances"]) == books_after_each(life.raws)[-1]
    paged: list[Any] = []
    following = ""
    while following is not None:
        query = "?limit=1" + (f"&cursor={following}" if following else "")
        page = (await fronts.ask("ledger", "GET", url + query)).json
        assert (page["lease_id"], page["balances"]) == (life.lease_id, whole["balances"])
        paged += page["items"]
        following = page["next_cursor"]
    assert paged == whole["items"]


async def test_what_a_journal_refuses(fronts: Fronts, pool: Pool) -> None:
    """No such lease; a limit, a cursor and a parameter that are none; an event nobody knows."""
    life = Life()
    life.create()
    await append(pool, life.raws)
    (await fronts.ask("ledger", "GET", f"/api/v1/audit/leases/{uuid7()}/journal")).problem(404)
    (await fronts.ask("ledger", "GET", "/api/v1/audit/leases/x/journal")).problem(404, 422)
    url = f"/api/v1/audit/leases/{life.lease_id}/journal"
    for query in ("limit=0", "limit=201", "cursor=x", "seq=1"):
        answer = (await fronts.ask("ledger", "GET", f"{url}?{query}")).problem(422)
        assert answer.pointers == {f"/{query.partition('=')[0]}"}
    for query in ("seq=-1", "seq=x", "limit=5"):
        (await fronts.ask("ledger", "GET", f"{TRIAL_BALANCE}?{query}")).problem(422)
    before = await balances_at(fronts)
    life.emit(PAYMENTS, "payment.imagined", {"amount": 5})
    await append(pool, life.raws[-1:])
    (await fronts.ask("ledger", "GET", url)).problem(409)
    assert await balances_at(fronts) == (before[0] + 1, before[1])


async def test_reading_what_was_written(fronts: Fronts, pool: Pool) -> None:
    """With a Consistency-Token both wait until the event is there, and say 503 where it does not come."""
    life = Life()
    life.create()
    await append(pool, life.raws)
    for url in (f"/api/v1/audit/leases/{life.lease_id}/journal", TRIAL_BALANCE):
        for sequence, wait, status in ((1, "wait=5", 200), (2, "wait=0", 503)):
            token = read_your_writes.token(Position("/lease-svc", sequence, life.lease_id))
            answer = await fronts.ask("ledger", "GET", url, Consistency_Token=token, Prefer=wait)
            assert answer.status == status


async def test_the_trial_balance_at_any_entry(
    fronts: Fronts, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By every seq, at the end of a batch and within one, it is what the events up to it add up to."""
    monkeypatch.setattr(opening_balances, "EVENTS_AT_ONCE", 7)
    random = Random(4)
    raws = lives(random, 6)
    expected = books_after_each(raws)
    done = 0
    while done < len(raws):
        size = random.randint(1, 40)
        await append(pool, raws[done : done + size])
        done += size
    for seq in {0, 1, len(raws) - 1, *random.sample(range(len(raws)), 20)}:
        assert await balances_at(fronts, seq) == (seq, expected[seq])
    for beyond in (None, len(raws), len(raws) + 1, 2**62):
        assert await balances_at(fronts, beyond) == (len(raws), expected[-1])


async def test_a_log_that_was_begun_without_books(
    fronts: Fronts, pool: Pool, its: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are made up once, from all entries; until then nobody is told that all balances are 0."""
    monkeypatch.setattr(opening_balances, "EVENTS_AT_ONCE", 11)
    raws = lives(Random(5), 6)
    expected = books_after_each(raws)
    half = len(raws) // 2
    await append(pool, raws[: half - 3], with_books=False)
    await append(pool, raws[half - 3 : half], with_books=False)
    answer = (await fronts.ask("ledger", "GET", TRIAL_BALANCE)).problem(503)
    assert answer.headers["retry-after"] == "5"
    balance_metrics.show(await repository.head(pool))  # has nothing to show yet
    for _ in range(2):
        async with pool.acquire() as connection:
            opened = await opening_balances.opened(connection, await repository.head(connection))
        assert (opened.last_seq, opened.totals.books) == (half, expected[half])
    assert await its.fetchval("SELECT array_agg(last_seq) FROM ledger.openings") == [half]
    assert await balances_at(fronts) == (half, expected[half])
    await append(pool, raws[half:])
    assert await balances_at(fronts) == (len(raws), expected[-1])
    for seq in (half, half + 1, len(raws) - 1):
        assert await balances_at(fronts, seq) == (seq, expected[seq])
    (await fronts.ask("ledger", "GET", f"{TRIAL_BALANCE}?seq={half - 1}")).problem(404)
    for first in (0, half - 3, half - 1, half + 1):  # folded again, from before and after
        async with pool.acquire() as connection:
            folded = await sums.as_of(connection, first)
            async for batch in recorded_log.batches(connection, first, len(raws)):
                following = [ledger_events.decode(raw) for raw in raws[first : batch.last_seq]]
                await folded.look_up(following, first)
                for event in following:
                    folded.add(event)
                assert folded.differ(batch) == []
                first = batch.last_seq


async def test_the_live_check(
    fronts: Fronts, pool: Pool, its: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The front's metrics: nothing is out of balance, and what is shows."""
    life = Life(term=2, principal=100_000, currency="KWD")
    life.create()
    head = await append(pool, life.raws)
    balance_metrics.show(head)

    async def shown() -> dict[str, float]:
        lines = (await fronts.ask("ledger", "GET", "/metrics")).body.decode().splitlines()
        pairs = [line.split(" ") for line in lines if '{currency="KWD"}' in line]
        return {name.partition("{")[0].removeprefix("ledger_"): float(value) for name, value in pairs}

    assert await shown() == {
        "trial_balance_difference": 0,
        "suspense": 0,
        "suspense_turnover": 0,
        "unearned_interest": 1_500,
    }
    wrong = {"KWD": {"cash": Sums(5, 0), "suspense": Sums(0, 2), "receivable:fees": Sums(200_000, 0)}}
    balance_metrics.show(replace(head, totals=replace(head.totals, books=wrong)))
    assert await shown() == {
        "trial_balance_difference": 200_003,
        "suspense": -2,
        "suspense_turnover": 2,
        "unearned_interest": 104_000 - 200_000,
    }
    balance_metrics.show(head)


async def test_money_that_does_not_fit_shows(fronts: Fronts, pool: Pool) -> None:
    """An amount that is not its parts, and one that makes up for it: all is in balance, and it shows."""
    life = Life(term=2, principal=100_000, currency="CHF")
    life.create()
    for number in (1, 2):
        life.succeed(life.start(number, 3_000))
    wrong = list(life.raws)
    for place, more in ((2, 40), (4, -40)):
        told = json.loads(wrong[place])
        told["data"]["allocation"]["principal"] += more
        wrong[place] = json.dumps(told).encode()
    balance_metrics.show(await append(pool, wrong))
    lines = (await fronts.ask("ledger", "GET", "/metrics")).body.decode().splitlines()
    shown = {name: float(value) for name, value in (line.split(" ") for line in lines if "CHF" in line)}
    assert shown['ledger_trial_balance_difference{currency="CHF"}'] == 0
    assert shown['ledger_suspense{currency="CHF"}'] == 0
    assert shown['ledger_suspense_turnover{currency="CHF"}'] == 80
