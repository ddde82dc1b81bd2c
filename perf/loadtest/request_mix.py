"""What the open model asks, of leases made for it beforehand; with the weights of the classes of users."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import aiohttp
from rich.console import Console

from deployment.local.service_urls import addresses
from perf.checks.conservation import ConservationResult, RequestCounts
from perf.checks.ledger_totals import Check
from perf.load import http_messages
from perf.load.result import Request, Result
from perf.stats.latencies import Latencies
from perf.targets import sample_lease

MADE_AT_ONCE = 50
LOOKED_AT = 200  # leases that are read again and again
DAYS_AGO = 200  # six instalments of twelve are due
SPARE = 1.3  # more leases are made than the weights ask for: which request comes when is drawn


@dataclass(frozen=True)
class Kind:
    """One kind of request."""

    name: str  # "POST /api/v1/leases", as in the thresholds
    weight: int
    make: Callable[[], bytes]
    expect: int = 200

    @property
    def line(self) -> tuple[str, str]:
        """Method and path."""
        method, path = self.name.split(" ", 1)
        return method, path


@dataclass
class Stock:
    """Leases to ask about and to pay; each payment and each payoff is asked for once."""

    looked_at: list[str] = field(default_factory=list)
    payments: list[str] = field(default_factory=list)
    payoffs: list[str] = field(default_factory=list)


class Mix:
    """What one service is asked, drawn by weight."""

    def __init__(self, service: str, kinds: Sequence[Kind], seed: int, counts: RequestCounts) -> None:
        self.service = service
        self._kinds = kinds
        self._counts = counts
        self._random = random.Random(f"{service}{seed}")
        self._asked: dict[int, Kind] = {}
        self.latencies = {kind.name: Latencies() for kind in kinds}
        self.wrong = {kind.name: 0 for kind in kinds}

    @property
    def wrongs(self) -> int:
        """Answers with another status than the scenario expects."""
        return sum(self.wrong.values())

    def make(self, number: int) -> bytes:
        """The next request."""
        [kind] = self._random.choices(self._kinds, [each.weight for each in self._kinds])
        self._asked[number] = kind
        self._counts.sends(*kind.line)
        return kind.make()

    def answered(self, request: Request, body: bytes) -> None:
        """An answer has come."""
        kind = self._asked.pop(request.number)
        self._counts.hears(*kind.line, request.status, body)
        self.latencies[kind.name].record((request.answered - request.intended) / 1e9)
        self.wrong[kind.name] += request.status != kind.expect


class _Requests:
    """Makes the requests of one service about leases of the stock."""

    def __init__(self, base: str, stock: Stock, pick: random.Random) -> None:
        self._base = base
        self._stock = stock
        self._pick = pick

    def get(self, path: str, weight: int) -> Kind:
        """About any of the leases that are looked at."""

        def make() -> bytes:
            return http_messages.get(self._url(path))

        return Kind(f"GET {path}", weight, make)

    def post(
        self,
        path: str,
        weight: int,
        body: Callable[[], object],
        expect: int = 201,
        of: list[str] | None = None,
    ) -> Kind:
        """About one of `of`, each of them once; else about any of the leases that are looked at."""

        def make() -> bytes:
            url = self._url(path) if of is None else self._base + path.format(id=of.pop())
            return http_messages.post(url, json.dumps(body()).encode())

        return Kind(f"POST {path}", weight, make, expect)

    def _url(self, path: str) -> str:
        return self._base + path.format(id=self._pick.choice(self._stock.looked_at))


def mixes(stock: Stock, seed: int, counts: RequestCounts) -> list[Mix]:
    """The three services' mixes, with the weights of the classes of users."""
    pick = random.Random(seed)
    lease, payment, ledger = (
        _Requests(addresses()[name], stock, pick) for name in ("lease", "payment", "ledger")
    )
    leases, audit = "/api/v1/leases", "/api/v1/audit/leases/{id}"

    def card() -> object:
        return {"payment_method": "pm_card_ok"}

    kinds = {
        "lease": [
            lease.post(leases, 3, sample_lease.of_today),
            lease.get(f"{leases}/{{id}}", 2),
            lease.get(f"{leases}/{{id}}/history", 2),
            lease.get(leases, 2),
            lease.get("/health", 1),
        ],
        "payment": [
            payment.get(f"{leases}/{{id}}/payments", 2),
            payment.post("/api/v1/payments/{id}/attempt", 6, card, of=stock.payments),
            payment.post(f"{leases}/{{id}}/payoff", 1, card, of=stock.payoffs),
            payment.get("/health", 1),
        ],
        "ledger": [
            ledger.get(audit, 3),
            ledger.get(f"{audit}/timeline", 2),
            ledger.post(f"{audit}/state-at-point", 2, lambda: {"seq": 10**9}, 200),
            ledger.get(f"{audit}/export", 2),
            ledger.get("/api/v1/audit/metrics", 1),
        ],
    }
    return [Mix(service, its, seed, counts) for service, its in kinds.items()]


async def make_stock(requests: float, counts: RequestCounts) -> Stock:
    """As many leases as the payment service's part of the requests will need."""
    attempts, payoffs = requests * 0.6 * SPARE + 20, requests * 0.1 * SPARE + 20
    stock = Stock()
    places = asyncio.Semaphore(MADE_AT_ONCE)
    last: dict[str, str] = {}
    async with aiohttp.ClientSession() as session:

        async def lease() -> dict[str, object]:
            path = "/api/v1/leases"
            async with places:
                counts.sends("POST", path)
                async with session.post(
                    addresses()["lease"] + path, json=sample_lease.of_today(DAYS_AGO)
                ) as response:
                    counts.hears("POST", path, response.status, await response.read())
                    response.raise_for_status()
                    last["token"] = response.headers["Consistency-Token"]
                    made: dict[str, object] = await response.json()
                    return made

        to_pay = await asyncio.gather(*(lease() for _ in range(int(attempts / sample_lease.TERM) + 1)))
        to_pay_off = await asyncio.gather(*(lease() for _ in range(int(payoffs))))
        looked_at = await asyncio.gather(*(lease() for _ in range(LOOKED_AT)))
        # What the payment service and the ledger have of the last one they have of all.
        headers = {"Consistency-Token": last["token"], "Prefer": "wait=30"}
        for service, path in (("payment", "leases/{}/payments"), ("ledger", "audit/leases/{}")):
            url = f"{addresses()[service]}/api/v1/{path.format(looked_at[-1]['lease_id'])}"
            async with session.get(url, headers=headers) as response:
                response.raise_for_status()
    stock.payments = [row["payment_id"] for each in to_pay for row in each["schedule"]]  # type: ignore[attr-defined]
    stock.payoffs = [str(each["lease_id"]) for each in to_pay_off]
    stock.looked_at = [str(each["lease_id"]) for each in looked_at]
    return stock


async def carried_out(
    console: Console,
    words: str,
    payments: float,
    seed: int,
    ask: Callable[[Sequence[Mix]], Awaitable[list[Result]]],
) -> tuple[list[Mix], list[Result], ConservationResult]:
    """What was asked, what came of it, and whether the ledger has it all.

    `payments`: requests to the payment service that leases are made for; `words` are shown meanwhile.
    """
    check, counts = Check(addresses()["ledger"]), RequestCounts()
    with console.status("making leases to ask about …") as status:
        await asyncio.to_thread(check.begin)
        asked = mixes(await make_stock(payments, counts), seed, counts)
        status.update(words)
        results = await ask(asked)
        status.update("waiting until the ledger has it all …")
        return asked, results, await asyncio.to_thread(check.end, counts)
