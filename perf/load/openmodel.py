"""`make loadtest RATE=…`: the same mix of requests in an open model, arriving at random and not politely.

Locust's users wait for their answers, so a slow system is asked less. Here every service gets a third of the
rate in a seeded Poisson schedule; what it is asked, and with what weights, is as in the classes of users.
Latency counts from the intended start (perf/openloop.py).
"""

import asyncio
import json
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import aiohttp
import uvloop
from rich.console import Console

from perf import loadgen, openloop, show, thresholds
from perf.addresses import addresses
from perf.latencies import Latencies
from perf.load import leases
from perf.openloop import Request, Result
from perf.report import page
from perf.report.run import Figure, Rows, Run, Spectrum

MADE_AT_ONCE = 50
LOOKED_AT = 200  # leases that are read again and again
DAYS_AGO = 200  # six instalments of twelve are due
SPARE = 1.3  # more leases are made than the weights ask for: which request comes when is drawn

console = Console()


@dataclass(frozen=True)
class Kind:
    """One kind of request."""

    name: str  # "POST /api/v1/leases", as in the thresholds
    weight: int
    make: Callable[[], bytes]
    expect: int = 200


@dataclass
class Stock:
    """Leases to ask about and to pay; each payment and each payoff is asked for once."""

    looked_at: list[str] = field(default_factory=list)
    payments: list[str] = field(default_factory=list)
    payoffs: list[str] = field(default_factory=list)


class Mix:
    """What one service is asked, drawn by weight."""

    def __init__(self, service: str, kinds: Sequence[Kind], seed: int) -> None:
        self.service = service
        self._kinds = kinds
        self._random = random.Random(f"{service}{seed}")
        self._asked: dict[int, Kind] = {}
        self.latencies = {kind.name: Latencies() for kind in kinds}
        self.wrong = {kind.name: 0 for kind in kinds}

    def make(self, number: int) -> bytes:
        """The next request."""
        [kind] = self._random.choices(self._kinds, [each.weight for each in self._kinds])
        self._asked[number] = kind
        return kind.make()

    def answered(self, request: Request, _body: bytes) -> None:
        """An answer has come."""
        kind = self._asked.pop(request.number)
        self.latencies[kind.name].record((request.answered - request.intended) / 1e9)
        self.wrong[kind.name] += request.status != kind.expect


def mixes(stock: Stock, seed: int) -> list[Mix]:
    """The three services' mixes, with the weights of the classes of users."""
    lease, payment, ledger = (addresses()[name] for name in ("lease", "payment", "ledger"))
    pick = random.Random(seed)

    def get(base: str, path: str) -> Callable[[], bytes]:
        return lambda: loadgen.get(base + path.format(id=pick.choice(stock.looked_at)))

    def post(
        base: str, path: str, body: Callable[[], object], of: list[str] | None = None
    ) -> Callable[[], bytes]:
        def make() -> bytes:
            chosen = of.pop() if of is not None else pick.choice(stock.looked_at)
            return loadgen.post(base + path.format(id=chosen), json.dumps(body()).encode())

        return make

    card = {"payment_method": "pm_card_ok"}
    audit = "/api/v1/audit/leases/{id}"
    return [
        Mix(
            "lease",
            [
                Kind("POST /api/v1/leases", 3, post(lease, "/api/v1/leases", leases.terms), 201),
                Kind("GET /api/v1/leases/{id}", 2, get(lease, "/api/v1/leases/{id}")),
                Kind("GET /api/v1/leases/{id}/history", 2, get(lease, "/api/v1/leases/{id}/history")),
                Kind("GET /api/v1/leases", 2, get(lease, "/api/v1/leases")),
                Kind("GET /health", 1, get(lease, "/health")),
            ],
            seed,
        ),
        Mix(
            "payment",
            [
                Kind("GET /api/v1/leases/{id}/payments", 2, get(payment, "/api/v1/leases/{id}/payments")),
                Kind(
                    "POST /api/v1/payments/{id}/attempt",
                    6,
                    post(payment, "/api/v1/payments/{id}/attempt", lambda: card, stock.payments),
                    201,
                ),
                Kind(
                    "POST /api/v1/leases/{id}/payoff",
                    1,
                    post(payment, "/api/v1/leases/{id}/payoff", lambda: card, stock.payoffs),
                    201,
                ),
                Kind("GET /health", 1, get(payment, "/health")),
            ],
            seed,
        ),
        Mix(
            "ledger",
            [
                Kind(f"GET {audit}", 3, get(ledger, audit)),
                Kind(f"GET {audit}/timeline", 2, get(ledger, f"{audit}/timeline")),
                Kind(
                    f"POST {audit}/state-at-point",
                    2,
                    post(ledger, f"{audit}/state-at-point", lambda: {"seq": 10**9}),
                ),
                Kind(f"GET {audit}/export", 2, get(ledger, f"{audit}/export")),
                Kind("GET /api/v1/audit/metrics", 1, get(ledger, "/api/v1/audit/metrics")),
            ],
            seed,
        ),
    ]


async def _stock(requests: float) -> Stock:
    """As many leases as the payment service's part of the requests will need."""
    attempts, payoffs = requests * 0.6 * SPARE + 20, requests * 0.1 * SPARE + 20
    stock = Stock()
    places = asyncio.Semaphore(MADE_AT_ONCE)
    last: dict[str, str] = {}
    async with aiohttp.ClientSession() as session:

        async def lease() -> dict[str, object]:
            body = leases.terms(DAYS_AGO)
            async with places, session.post(f"{addresses()['lease']}/api/v1/leases", json=body) as response:
                response.raise_for_status()
                last["token"] = response.headers["Consistency-Token"]
                made: dict[str, object] = await response.json()
                return made

        to_pay = await asyncio.gather(*(lease() for _ in range(int(attempts / leases.TERM) + 1)))
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


async def measure(rate: float, seconds: int, seed: int) -> Run:
    """All of it."""
    with console.status("making leases to ask about …") as status:
        asked = mixes(await _stock(rate / 3 * seconds), seed)
        status.update(f"{rate:g} requests a second for {seconds} s, arriving at random …")
        results = await asyncio.gather(
            *(
                openloop.run(
                    addresses()[mix.service],
                    mix.make,
                    openloop.poisson(rate / 3, seconds, seed + number),
                    on_answer=mix.answered,
                )
                for number, mix in enumerate(asked)
            )
        )
    return _run(rate, seconds, seed, asked, results)


def _run(rate: float, seconds: int, seed: int, asked: Sequence[Mix], results: Sequence[Result]) -> Run:
    bounds = thresholds.load().load
    together = Latencies()
    for result in results:
        together.merge(result.latencies)
    sent = sum(result.intended for result in results)
    wrong = sum(sum(mix.wrong.values()) for mix in asked)
    lost = sum(result.dropped + result.unanswered for result in results)
    success = 1 - (wrong + lost) / sent
    remarks = [
        f"{mix.service}: void, {result.void}."
        for mix, result in zip(asked, results, strict=True)
        if result.void
    ]
    if success < bounds.success_rate:
        remarks.append(f"{success:.2%} succeeded, at least {bounds.success_rate:.0%} should.")
    return Run(
        **show.about("loadtest-open", "Load test, open model"),
        settings={"requests a second": f"{rate:g}", "seconds": str(seconds), "seed": str(seed)},
        verdict=not remarks,
        remarks=remarks,
        figures=[
            Figure(name="answered", value=sum(result.per_second for result in results), unit="a second"),
            Figure(
                name="succeeded",
                value=100 * success,
                unit="%",
                threshold=100 * bounds.success_rate,
                at_least=True,
            ),
            Figure(name="p99 of all", value=together.percentile_ms(99), unit="ms", threshold=bounds.p99_ms),
            Figure(name="dropped or unanswered", value=lost, unit="requests"),
            Figure(
                name="the generator's lag, p99",
                value=max(result.lag.percentile_ms(99) for result in results),
                unit="ms",
            ),
        ],
        tables=[
            Rows(
                title="Latencies from the intended start, ms",
                columns=["endpoint", "requests", "wrong", "min", "avg", "p95", "p99"],
                rows=[
                    [name, f"{found.count:,}", f"{mix.wrong[name]:,}", *_cells(found)]
                    for mix in asked
                    for name, found in mix.latencies.items()
                ],
            )
        ],
        spectra=[
            Spectrum(name=mix.service, points=result.latencies.spectrum())
            for mix, result in zip(asked, results, strict=True)
        ],
        series=[series for result in results[:1] for series in show.throughput(result)],
    )


def _cells(found: Latencies) -> list[str]:
    values = (found.min_ms, found.mean_ms, found.percentile_ms(95), found.percentile_ms(99))
    return [f"{value:.1f}" for value in values]


def main(rate: float, seconds: int, seed: int) -> int:
    """The exit code."""
    try:
        run = uvloop.run(measure(rate, seconds, seed))
        path = page.write(run)
    except (OSError, aiohttp.ClientError) as error:
        print(f"The system cannot be used ({error}): start it with `make up`.", file=sys.stderr)
        return 2
    show.told(console, run, path)
    return 0 if run.verdict else 1
