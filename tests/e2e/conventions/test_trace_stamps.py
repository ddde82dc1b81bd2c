"""What `make e2e-latency`, `make capacity` and `make soak` measure, for a moment each."""

import asyncio

import pytest

from deployment.roles import SERVICES
from perf.checks.private_system import SystemTotals
from perf.load import references
from perf.load.driver import Driver, Phase
from perf.probes import trace_join
from perf.probes.sampling import Sampler
from perf.reporting import page
from perf.system import capacity, hop_report, soak
from tests.support.oracles.invariants import come_to_rest
from tests.support.system.system import System


async def test_hop_by_hop(system: System) -> None:
    """Creations and attempts: each has all stamps in order, they add up, and the same inserts can be done."""
    await come_to_rest(system)
    async with SystemTotals(system.stack) as books:
        driver = Driver(system.stack, books, seed=1)
        await driver.begin()
        creations = await driver.create(rate=60, seconds=1.5, traced=True)
        attempts = await driver.attempt(rate=30, seconds=1)
        wrong = await driver.unaccounted()
        assert not wrong
        await asyncio.sleep(1)  # until the last stamps are written
    joined = trace_join.read(system.hops)
    for phase, way, last in (
        (creations, trace_join.CREATION, "worker.committed"),
        (attempts, trace_join.ATTEMPT, "worker.settled"),
    ):
        phase.join(joined)
        _check(phase, way, last)
        assert hop_report.not_conserved(phase) == ([] if phase.result.void is None else [phase.result.void])
    lease_id, _ = driver.created[0]
    reference = await references.measure(
        system.stack, lease_id, connections=5, starts=[0.0, 0.01, 0.02], seconds=0.5
    )
    assert reference.bare_per_s > reference.direct_per_s > 0
    assert reference.direct_at_rate is not None
    assert reference.direct_at_rate.statuses == {201: 3}


async def test_capacity_and_soak(system: System) -> None:
    """One rate of the search, and a soak of three seconds: samples of all processes, and pages of it all."""
    await come_to_rest(system)
    async with SystemTotals(system.stack) as books, Sampler(system.stack) as sampler:
        driver = Driver(system.stack, books, seed=2)
        await driver.begin()
        step = await capacity.one_step(driver, rate=30, seconds=1, p99_ms=5_000)
        assert step.per_second > 10
        assert all("void" in failure for failure in step.failures), step  # on a busy machine
        assert not step.wrong
        phase = await driver.create(rate=30, seconds=3, traced=False)
        wrong = await driver.unaccounted()
    text = page.render(capacity.run_of(30.0, [step], settings={}, series=sampler.series()))
    assert all(words in text for words in ("Steps", "Latency by rate", "Open files"))
    run = soak.run_of(phase, sampler, 3, 2, wrong)
    assert all("void" in remark for remark in run.remarks), run.remarks
    groups = {series.group for series in run.series}
    assert groups >= {"CPU", "Memory", "Messages waiting", "Transactions", "Throughput"}
    sampled = {series.name for series in run.series if series.group == "CPU"}
    assert sampled >= {service.name for service in SERVICES} | {"postgres", "rabbitmq"}
    assert "Slopes" in page.render(run)
    await come_to_rest(system)


def _check(phase: Phase, way: trace_join.Way, last: str) -> None:
    count = phase.result.intended
    assert phase.result.statuses == {201: count}
    assert len(phase.traces) == count > 10
    passed = trace_join.passed(phase.traces)
    assert passed["broker.confirmed"] == passed[last] == passed["ledger.visible"] == count
    assert not trace_join.passed(phase.traces, 2)[last]
    found = trace_join.along(phase.traces.values(), way)
    assert all(hop.latencies.count == count and hop.latencies.min_ms >= 0 for hop in found)
    assert sum(hop.share for hop in found) == pytest.approx(1)
    total_ms = sum(hop.latencies.mean_ms for hop in found)
    assert total_ms == pytest.approx(phase.result.latencies.mean_ms, rel=0.05)
    behind = trace_join.along(phase.traces.values(), trace_join.TO_LEDGER)
    assert all(hop.latencies.count == count for hop in behind)
