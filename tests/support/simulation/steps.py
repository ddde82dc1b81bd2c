"""What the steps of a random run have in common: what can be drawn for them, and how they are done."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine
from hypothesis.strategies import SearchStrategy

from common.kernel.clock import utcnow
from tests.support.fakes.scripted_gateway import PLANS, Plan
from tests.support.simulation.drain import come_to_rest
from tests.support.simulation.invariants import check_at_rest
from tests.support.simulation.workers import Message, Worker
from tests.support.simulation.world import World

# Nothing drawn depends on what is there: a number stands for one of as many things as there are.
ANY = st.integers(0, 59)
# Quarters of what there is; 5 is too much, None all of it.
SHARE = st.sampled_from([None, 1, 2, 4, 5])
# None: the call stays on its way. Money that moves is what most of the rest is about.
PLAN = st.sampled_from([*PLANS, *["done"] * 6, None, None])
# Which worker, and after how many more steps of its own it dies; a command takes fifteen or so.
WORKER = st.tuples(st.integers(0, 1), st.sampled_from([None, None, None]) | st.integers(0, 15))
# A command is left in its queue, is delivered, or more than once.
HOW_OFTEN = st.sampled_from([1, 1, 1, 0, 2])

Step = tuple[str, dict[str, Any]]  # a method of the machine, and what to call it with

To = tuple[int, int | None]
ALIVE: To = (0, None)


def step(weight: int = 1, **arguments: SearchStrategy[Any]) -> Callable[[Callable], Callable]:
    """Marks a method as a step: how often it is drawn, compared with others, and what for.

    They are not rules of their own, for Hypothesis leaves out half of the rules in each run: all but a few
    runs would be without money, without a gateway, or without a broker.
    """

    def mark(method: Callable) -> Callable:
        method.drawn = weight, arguments  # type: ignore[attr-defined]
        return method

    return mark


def steps_of(machine: type) -> SearchStrategy[Step]:
    """Any of a class's steps."""
    drawn = {
        name: getattr(machine, name).drawn
        for name in dir(machine)
        if hasattr(getattr(machine, name), "drawn")
    }
    names = [name for name, (weight, _) in drawn.items() for _ in range(weight)]
    made = {
        name: st.tuples(st.just(name), st.fixed_dictionaries(arguments))
        for name, (_, arguments) in drawn.items()
    }
    return st.sampled_from(names).flatmap(made.__getitem__)


class Steps(RuleBasedStateMachine):
    """One run in one world. Steps may be told from outside too, one by one."""

    def __init__(self, runner: asyncio.Runner, world: World) -> None:
        super().__init__()
        self.loop = runner
        self.world = world
        self.failed = False
        self.today = utcnow().date()
        self.as_of = self.today - timedelta(days=30)

    def do(self, step: Coroutine[Any, Any, Any]) -> None:
        """Do this, and whatever the workers make of it."""

        async def until_idle() -> None:
            await step
            await self.world.idle()

        try:
            self.loop.run(until_idle())
        except BaseException:
            self.failed = True
            raise

    def chosen(self, service: str, to: To) -> Worker:
        """That worker, which may be about to die."""
        worker = self.world.worker(service, to[0])
        worker.life.fuse = to[1] if to[1] is not None else worker.life.fuse
        return worker

    def lease(self, index: int) -> str:
        """One of the leases."""
        return self.world.leases[index % len(self.world.leases)]

    def picked(self, service: str, picks: list[int], *, old: bool) -> list[Message]:
        """Some commands of a service's queue, counted from the newest; `old`: also those that are done."""
        theirs = [each for each in self.world.messages if each.service == service and (old or not each.acked)]
        return [theirs[-1 - pick % len(theirs)] for pick in picks] if theirs else []

    async def issue(
        self, service: str, type_: str, asked: object, plan: Plan | None, to: To, times: int
    ) -> None:
        """Publish a command, deliver it so many times, and have the call it leads to answered."""
        before = len(self.world.gateway.parked)
        await self.hand_over(self.world.send(service, type_, asked), to, times)
        await self.answered(plan, before)

    async def hand_over(self, message: Message, to: To, times: int) -> None:
        """Deliver a command so many times, each time to the next worker."""
        for turn in range(times):
            worker = self.chosen(message.service, (to[0] + turn, to[1]))
            await self.world.deliver(worker, [message])
            await self.world.idle()

    async def answered(self, plan: Plan | None, before: int) -> None:
        """End the first call that was not there `before`, else the newest, like this; None: not yet."""
        await self.world.idle()
        if plan is not None:
            self.world.gateway.answer(min(before, len(self.world.gateway.parked) - 1), plan)
            await self.world.idle()

    async def work(self, to: To) -> None:
        """One worker's next step in collections."""
        worker = self.chosen("payment", to)
        await self.world.run(worker, worker.collector._work())
        await self.world.idle()

    async def at_rest(self, plan: Plan) -> None:
        """Bring everything to rest and look."""
        await come_to_rest(self.world, plan)
        await check_at_rest(self.world)
