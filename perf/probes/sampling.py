"""What a stack's processes, queues and database do while it is under load, looked at once a second."""

import asyncio
import time
from dataclasses import dataclass, field

import aiormq
import asyncpg
import psutil

from common.messaging import topology
from deployment.local.stack import Stack
from perf.stats.run import Figure, Series

EVERY_S = 1.0
_PENDING = """
SELECT (SELECT count(*) FROM lease.outbox_pending) + (SELECT count(*) FROM payment.outbox_pending) AS outbox,
       (SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()) AS commits
"""


@dataclass(frozen=True)
class Sample:
    """One look."""

    at_s: float  # from the first
    cpu_percent: dict[str, float]  # by process and its children, as the next two; 100 is one core
    rss_mb: dict[str, float]  # MB of 10⁶ bytes; what children share with others is left out
    open_files: dict[str, int]
    queued: dict[str, int]  # messages waiting, by work queue
    outbox: int  # events committed and not yet published
    commits_per_s: float


SERVERS = ("postgres", "rabbitmq", "epmd")  # the processes that are not ours


@dataclass(frozen=True)
class _Look:
    cpu_s: float
    rss_mb: float
    open_files: int


async def depths(channel: aiormq.abc.AbstractChannel) -> dict[str, int]:
    """Messages that wait, by work queue."""
    found = {}
    for queue in topology.WORK_QUEUES:
        declared = await channel.queue_declare(queue.name, passive=True)
        found[queue.name] = declared.message_count or 0
    return found


def _family(process: psutil.Process) -> _Look | None:
    """A process with its children (PostgreSQL has one for each connection); None where it has died."""
    try:
        members = [process, *process.children(recursive=True)]
        times = [each.cpu_times() for each in members]
        memory = [each.memory_info() for each in members]
        return _Look(
            cpu_s=sum(each.user + each.system for each in times),
            rss_mb=(sum(each.rss - each.shared for each in memory) + memory[0].shared) / 1e6,
            open_files=sum(each.num_fds() for each in members),
        )
    except psutil.Error:
        return None


def _python_mb(sample: Sample) -> float:
    return sum(mb for name, mb in sample.rss_mb.items() if name not in SERVERS)


@dataclass
class Sampler:
    """Use as a context: samples come in until its end."""

    stack: Stack
    samples: list[Sample] = field(default_factory=list)

    async def __aenter__(self) -> "Sampler":
        self._processes = {
            name: psutil.Process(state.pid)
            for name, state in (await asyncio.to_thread(self.stack.states)).items()
            if state.pid
        }
        self._looks: dict[str, _Look | None] = {}
        self._looked_at = 0.0
        self._database = await asyncpg.connect(self.stack.addresses.database)
        self._broker = await aiormq.connect(self.stack.addresses.amqp)
        self._channel = await self._broker.channel()
        self._began = time.monotonic()
        self._commits: tuple[float, int] | None = None
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, failed: type[BaseException] | None, *_: object) -> None:
        """Raises what ended the sampling too early: half of a run would be shown as if it were all of it."""
        self._task.cancel()
        [ended] = await asyncio.gather(self._task, return_exceptions=True)
        await self._broker.close()
        await self._database.close()
        if failed is None and isinstance(ended, Exception):
            raise ended

    async def look(self) -> Sample:
        """One look, beside those of every second."""
        at_s = time.monotonic() - self._began
        row = await self._database.fetchrow(_PENDING)
        queued = await depths(self._channel)
        earlier, self._commits = self._commits, (at_s, row["commits"])
        looks = {name: _family(process) for name, process in self._processes.items()}
        cpu = {}
        for name, look in looks.items():
            before = self._looks.get(name)
            if look and before:
                cpu[name] = 100 * max(0.0, look.cpu_s - before.cpu_s) / (at_s - self._looked_at)
        self._looks, self._looked_at = looks, at_s
        return Sample(
            at_s=at_s,
            cpu_percent=cpu,
            rss_mb={name: look.rss_mb for name, look in looks.items() if look},
            open_files={name: look.open_files for name, look in looks.items() if look},
            queued=queued,
            outbox=row["outbox"],
            commits_per_s=(row["commits"] - earlier[1]) / (at_s - earlier[0]) if earlier else 0.0,
        )

    async def _run(self) -> None:
        while True:
            self.samples.append(await self.look())
            await asyncio.sleep(EVERY_S)

    def figures(self) -> list[Figure]:
        """The peaks: of one process of the system, of its Python processes together, and of all."""
        whole = self.samples[1:]  # the first has nothing to compare CPU times with
        busiest = max((cpu for each in whole for cpu in each.cpu_percent.values()), default=0.0)
        return [
            Figure(name="busiest process, peak", value=busiest, unit="% of a core"),
            Figure(
                name="system, peak",
                value=max((sum(each.cpu_percent.values()) for each in whole), default=0.0),
                unit="% of a core",
            ),
            Figure(
                name="memory of the Python processes, peak",
                value=max((_python_mb(each) for each in self.samples), default=0.0),
                unit="MB",
            ),
            Figure(
                name="memory with PostgreSQL and RabbitMQ, peak",
                value=max((sum(each.rss_mb.values()) for each in self.samples), default=0.0),
                unit="MB",
            ),
        ]

    def series(self) -> list[Series]:
        """The samples as plots of a report."""
        found = []
        for group, unit, member in (
            ("CPU", "% of a core", "cpu_percent"),
            ("Memory", "MB", "rss_mb"),
            ("Open files", "files", "open_files"),
            ("Messages waiting", "messages", "queued"),
        ):
            by_name: dict[str, list[tuple[float, float]]] = {}
            for sample in self.samples:
                for name, value in getattr(sample, member).items():
                    by_name.setdefault(name, []).append((sample.at_s, float(value)))
            found += [
                Series(group=group, name=name, unit=unit, points=points) for name, points in by_name.items()
            ]
        outbox = [(each.at_s, float(each.outbox)) for each in self.samples]
        commits = [(each.at_s, each.commits_per_s) for each in self.samples[1:]]
        found.append(Series(group="Messages waiting", name="outboxes", unit="messages", points=outbox))
        found.append(Series(group="Transactions", name="commits", unit="per second", points=commits))
        return found
