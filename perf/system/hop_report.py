"""The hop-by-hop measurement's tables, its figures, and whether each request went through, once."""

from perf.load.driver import Phase
from perf.probes import trace_join
from perf.probes.trace_join import Hop, Way
from perf.reporting.phases import rates
from perf.stats.run import Figure, Rows, at_most
from perf.thresholds import E2eLatency

LATENCIES = ["mean ms", "p50", "p95", "p99"]
EVENTS = {"creation": 1, "attempt": 2}  # that the ledger gets of each: an attempt is started, then succeeds


def hop_rows(phase: Phase, way: Way) -> Rows:
    """The hops of a request's way with their shares, and what goes on behind its answer."""
    latencies = phase.result.latencies
    whole = (latencies.mean_ms, *map(latencies.percentile_ms, (50, 95, 99)))
    sides = [hop for side in trace_join.SIDE for hop in trace_join.along(phase.traces.values(), [side])]
    return Rows(
        title=f"{phase.name}, hop by hop ({phase.rate:,.0f}/s, open model)",
        columns=["hop", *LATENCIES, "share"],
        rows=[
            *(_hop(hop, f"{hop.share:.0%}") for hop in trace_join.along(phase.traces.values(), way)),
            ["= intended start to answer", *(f"{ms:.2f}" for ms in whole), "100%"],
            *(
                _hop(hop, f"{hop.share:.0%} behind")
                for hop in trace_join.along(phase.traces.values(), trace_join.TO_LEDGER)
            ),
            *(_hop(hop, "beside") for hop in sides),
        ],
    )


def _hop(hop: Hop, share: str) -> list[str]:
    values = (hop.latencies.mean_ms, *map(hop.latencies.percentile_ms, (50, 95, 99)))
    return [hop.name, *(f"{value:.2f}" for value in values), share]


def _counts(phase: Phase) -> dict[str, int]:
    passed = trace_join.passed(phase.traces)
    events = EVENTS[phase.name]
    return {
        "sent": phase.result.intended - phase.result.dropped,
        "answered 201": phase.result.statuses[201],
        "confirmed": passed["broker.confirmed"],
        "committed": passed[_last(phase)],
        "in the ledger": trace_join.passed(phase.traces, events)["ledger.visible"],
        "committed twice": trace_join.passed(phase.traces, 2)[_last(phase)],
        "in the ledger twice": trace_join.passed(phase.traces, events + 1)["ledger.visible"],
        "dropped": phase.result.dropped,
        "unanswered": phase.result.unanswered,
    }


def _last(phase: Phase) -> str:
    return "worker.settled" if phase.name == "attempt" else "worker.committed"


def conservation_rows(*phases: Phase) -> Rows:
    """How many requests were seen where."""
    counts = {phase.name: _counts(phase) for phase in phases}
    names = next(iter(counts.values()))
    return Rows(
        title="Conservation",
        columns=["requests", *(f"{name}s" for name in counts)],
        rows=[[name, *(f"{each[name]:,}" for each in counts.values())] for name in names],
    )


def not_conserved(phase: Phase) -> list[str]:
    """Why a run fails; empty where each request was sent, confirmed, committed and recorded, once."""
    counts = _counts(phase)
    said = ", ".join(f"{count:,} {what}" for what, count in counts.items())
    numbers = list(counts.values())
    found = []
    if len(set(numbers[:5])) > 1 or any(numbers[5:]):
        found.append(f"Not every {phase.name} is accounted for, once: {said}.")
    if phase.result.void is not None:
        found.append(f"The {phase.name}s are void: {phase.result.void}.")
    return found


def figures(creations: Phase, attempts: Phase, bounds: E2eLatency) -> list[Figure]:
    """The few numbers to read first."""
    [visible] = trace_join.along(creations.traces.values(), [("", "worker.committed", "ledger.visible")])
    return [
        Figure(name="creation, p50", value=creations.result.latencies.percentile_ms(50), unit="ms"),
        at_most("creation, p99", creations.result.latencies.percentile_ms(99), "ms", bounds.creation_p99_ms),
        at_most("attempt, p99", attempts.result.latencies.percentile_ms(99), "ms", bounds.attempt_p99_ms),
        at_most("commit to ledger, p99", visible.latencies.percentile_ms(99), "ms", bounds.ledger_p99_ms),
        *rates(creations),
        Figure(name="the generator's lag, p99", value=creations.result.lag.percentile_ms(99), unit="ms"),
    ]
