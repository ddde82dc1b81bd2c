"""What else this machine can do in the same run: a bare server, and a creation's inserts without a broker."""

from collections.abc import Sequence
from dataclasses import dataclass

from deployment.local.stack import Stack
from perf.load import http_generator
from perf.load.http_messages import get, post
from perf.load.result import Result
from perf.targets.processes import running
from perf.targets.sample_lease import creation

REFERENCE_S = 5.0  # that each is measured for


@dataclass(frozen=True)
class References:
    """What else this machine can do, in the same run."""

    bare_per_s: float  # answers of an aiohttp server that does nothing else, closed loop
    direct_per_s: float  # a creation's inserts in a handler of their own, no broker, closed loop
    direct_at_rate: Result | None  # the same at the measurement's own rate, open model


async def measure(
    stack: Stack,
    lease_id: str,
    *,
    connections: int,
    starts: Sequence[float] = (),
    seconds: float = REFERENCE_S,
) -> References:
    """Measure them beside a system that rests; `lease_id` names a lease of it, whose rows are the pattern.

    Raises TimeoutError where a server does not come up, OSError where it cannot be reached.
    """
    async with running("perf.targets.echo_baseline") as url:
        asked = get(url)
        bare = await http_generator.closed_loop(
            url, lambda _: asked, seconds=seconds, connections=connections
        )
    environment = {"DATABASE_URL": stack.addresses.database}
    async with running("perf.targets.direct_baseline", lease_id, environment=environment) as url:
        request = post(url, creation(0))
        fast = await http_generator.closed_loop(
            url, lambda _: request, seconds=seconds, connections=connections
        )
        at_rate = await http_generator.open_loop(url, lambda _: request, starts) if starts else None
    return References(bare.rate_of(200), fast.rate_of(201), at_rate)
