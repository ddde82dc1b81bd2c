"""Joins the hop stamps of all processes: where the time of a request went, message by message.

`common/observability/trace_stamps.py` says how they are made. All are of one clock, so the hops of a way add
up to its whole time.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from perf.stats.latencies import Latencies

# A creation, from its intended start to the answer. What waits for a confirm is a side branch: the worker may
# have the message before the front knows that the broker has it safe.
CREATION = (
    ("waits for a connection", "client.intended", "client.sent"),
    ("network, front's queue", "client.sent", "front.entered"),
    ("front, broker, worker's queue", "front.entered", "worker.delivered"),
    ("worker: batch, transaction", "worker.delivered", "worker.committed"),
    ("reply over the broker", "worker.committed", "reply.received"),
    ("front's answer", "reply.received", "front.answered"),
    ("network, client", "front.answered", "client.answered"),
)
# An attempt has a second step: the gateway, and the transaction that records its answer.
ATTEMPT = (
    *CREATION[:4],
    ("way to the gateway call", "worker.committed", "gateway.asked"),
    ("gateway", "gateway.asked", "gateway.answered"),
    ("worker: batch, transaction", "gateway.answered", "worker.settled"),
    ("reply over the broker", "worker.settled", "reply.received"),
    *CREATION[5:],
)
# What goes on behind the answer, until auditors can see it.
TO_LEDGER = (
    ("outbox, until the relay has it", "worker.committed", "relay.picked"),
    ("relay, stream", "relay.picked", "ledger.delivered"),
    ("ledger: batch, seal, transaction", "ledger.delivered", "ledger.visible"),
)
SIDE = (
    ("command confirmed to the front", "front.entered", "broker.confirmed"),
    ("event confirmed to the relay", "relay.picked", "stream.published"),
)

Way = Sequence[tuple[str, str, str]]
Trace = dict[str, list[int]]  # stamps by point, ns


@dataclass(frozen=True)
class Hop:
    """One hop over all traces."""

    name: str
    latencies: Latencies
    share: float  # of the way's whole time


def read(directory: Path) -> dict[str, Trace]:
    """The stamps of all processes by trace-id. A last line that was cut short is left out."""
    traces: defaultdict[str, Trace] = defaultdict(dict)
    for path in sorted(directory.glob("*.hops")):
        with path.open() as lines:
            for line in lines:
                fields = line.split()
                if line.endswith("\n") and len(fields) == 3:
                    traces[fields[0]].setdefault(fields[1], []).append(int(fields[2]))
    return dict(traces)


def along(traces: Iterable[Trace], way: Way) -> list[Hop]:
    """The hops of a way, over the traces that have all of its points. First stamps count."""
    points = {point for _, start, end in way for point in (start, end)}
    whole = [trace for trace in traces if points <= trace.keys()]
    sums = [sum(trace[end][0] - trace[start][0] for trace in whole) for _, start, end in way]
    total = sum(sums) or 1
    return [
        Hop(
            name,
            Latencies((trace[end][0] - trace[start][0]) / 1e9 for trace in whole),
            spent / total,
        )
        for (name, start, end), spent in zip(way, sums, strict=True)
    ]


def passed(traces: Mapping[str, Trace], times: int = 1) -> Counter[str]:
    """How many traces have passed each point at least so many times."""
    return Counter(
        point for trace in traces.values() for point, stamps in trace.items() if len(stamps) >= times
    )
