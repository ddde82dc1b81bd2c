"""The whole machine: leases to begin with, the steps of workers and of time, and what has to hold."""

import os
from datetime import timedelta

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from common.kernel.ids import uuid7
from lease_svc.contracts.commands import CreateLease
from lease_svc.contracts.values import Fee, LateFee
from lease_svc.entrypoints.http.requests import NewLease
from tests.support.fakes.scripted_gateway import PLANS, Plan
from tests.support.servers.database import empty
from tests.support.simulation.calendar import Calendar
from tests.support.simulation.commands import Commands
from tests.support.simulation.invariants import check_always
from tests.support.simulation.occurrences import TALLY, count
from tests.support.simulation.steps import ANY, PLAN, WORKER, Step, To, step, steps_of

TERMS = st.fixed_dictionaries(
    {
        "principal": st.sampled_from([100, 9_999, 60_000]),
        "annual_rate": st.sampled_from(["0", "0.1299", "2"]),
        "term": st.integers(2, 4),
        "frequency": st.sampled_from(["weekly", "monthly"]),
        "fees": st.sampled_from([[], [Fee(code="origination", amount=250)]]),
        "autopay": st.sampled_from([True, True, False]),
        "late_fee": st.sampled_from([None, LateFee(grace_days=2, amount=150)]),
    }
)


# The one step that does not do the same each time, so it is left out unless asked for.
RACES = int(os.environ.get("MONEY_RACES", "0"))
PICKS = st.lists(ANY, min_size=1, max_size=4)
MISHAPS = ("kill 0", "kill 1", "silence", "words", "arrival", "1", "21", "30")


class Workings(Commands):
    """Steps of workers, relays, the broker, the gateway, and of time."""

    @step(weight=2, to=WORKER)
    def work_on_collections(self, to: To) -> None:
        """A worker does the next thing about collection runs."""
        self.do(self.work(to))

    @step(to=WORKER, plan=PLAN)
    def work_on_returns(self, to: To, plan: Plan | None) -> None:
        """A worker gives back what came in for closed leases."""

        async def doing() -> None:
            worker, before = self.chosen("payment", to), len(self.world.gateway.parked)
            await self.world.run(worker, worker.returns._take_up())
            await self.answered(plan, before)

        self.do(doing())

    @step(weight=2, index=ANY, plan=st.sampled_from(PLANS))
    def answer(self, index: int, plan: Plan) -> None:
        """The gateway ends one of the calls."""

        async def doing() -> None:
            self.world.gateway.answer(index, plan)

        self.do(doing())

    @step(weight=2, picks=PICKS, to=WORKER, old=st.booleans())
    def deliver(self, picks: list[int], to: To, old: bool) -> None:
        """Commands in some order, also those that a worker has; `old`: those that are done, too."""

        there = [each for each in self.world.messages if old or not each.acked]
        if there:
            service = there[-1 - picks[0] % len(there)].service
            batch = self.picked(service, picks, old=old)
            self.do(self.world.deliver(self.chosen(service, to), batch))

    @step(weight=RACES, picks=PICKS, others=PICKS, plan=PLAN, to=WORKER, old=st.booleans())
    def deliver_at_once(
        self, picks: list[int], others: list[int], plan: Plan | None, to: To, old: bool
    ) -> None:
        """Both payment workers have commands in hand while a call ends, and race for the same rows."""
        batches = [self.picked("payment", each, old=old) for each in (picks, others)]
        workers = [self.chosen("payment", to), self.world.worker("payment", to[0] + 1)]

        async def doing() -> None:
            if plan is not None:
                self.world.gateway.answer(-1, plan)
            await self.world.at_once(*map(self.world.deliver, workers, batches))

        self.do(doing())

    @step(service=st.sampled_from(["lease", "payment"]), count=st.integers(1, 6), marked=st.booleans())
    def relay(self, service: str, count: int, marked: bool) -> None:
        """Events are published, perhaps not for the last time."""
        self.do(self.world.publish(service, count, marked=marked))

    @step(
        service=st.sampled_from(["lease", "payment"]),
        count=st.integers(1, 6),
        skip=st.sampled_from([0, 0, 0, 1, 3]),
        again=st.integers(0, 3),
        to=WORKER,
    )
    def project(self, service: str, count: int, skip: int, again: int, to: To) -> None:
        """Events are delivered, some of them again, or too early."""
        worker = self.chosen(service, to)
        self.do(self.world.project(worker, count, skip=skip, again=again))

    @step(count=st.integers(1, 9), again=st.integers(0, 5))
    def record(self, count: int, again: int) -> None:
        """The ledger reads on."""
        self.do(self.world.write_ledger(count, again))

    @step()
    def flow(self) -> None:
        """All events get everywhere."""
        self.do(self.world.flow())

    @step(
        weight=2, what=st.sampled_from(["kill 0", "kill 1", "silence", "words", "arrival", "1", "21", "30"])
    )
    def mishap(self, what: str) -> None:
        """A worker is killed while it waits (the one in its place asks about what is unknown); the gateway
        cannot be asked, or can again, or does what it was asked long ago; or hours pass, in which calls end
        and keys are forgotten.
        """
        match what:
            case "kill 0" | "kill 1":
                self.do(self.world.restart(self.world.worker("payment", int(what[-1]))))
            case "silence" | "words":
                self.world.gateway.silent = what == "silence"
            case "arrival":
                self.world.gateway.arrive()
            case hours:
                self.do(self.world.hours_pass(int(hours)))

    @step(days=st.sampled_from([2, 3, 5]), to=WORKER, plan=PLAN)
    def make_up(self, days: int, to: To, plan: Plan | None) -> None:
        """Nobody ran for some days; the scheduler asks for each, when the one before is completed."""

        async def doing() -> None:
            self.as_of += timedelta(days=days)
            calendar = Calendar(self.world, self.as_of)
            for _ in range(days):
                message = await calendar.next_run()
                if message is None:
                    break
                await self.hand_over(message, to, 1)
                for _ in range(3):
                    before = len(self.world.gateway.parked)
                    await self.work(to)
                    await self.answered(plan, before)

        self.do(doing())

    @step(plan=st.sampled_from(PLANS))
    def rest(self, plan: Plan) -> None:
        """Everything comes to rest, and the books are held against each other."""
        self.do(self.at_rest(plan))


class MoneyMachine(Workings):
    """Everything that can happen."""

    @initialize(terms=st.lists(TERMS, min_size=1, max_size=3), started=st.integers(0, 40))
    def create(self, terms: list[dict], started: int) -> None:
        """Leases, known to all."""

        async def doing() -> None:
            for service in ("lease", "payment", "ledger"):
                await empty(self.world.owner, service)
            await self.world.start()
            for each in terms:
                lease_id = uuid7()
                start = self.today - timedelta(days=started)
                lease = NewLease(
                    customer_id="cus-1", currency="USD", start_date=start, payment_method="pm_1", **each
                )
                self.world.leases.append(lease_id)
                asked = CreateLease(lease_id=lease_id, terms=lease)
                message = self.world.send("lease", "CreateLease", asked)
                await self.world.deliver(self.world.worker("lease"), [message])
            await self.world.flow()

        self.do(doing())

    @rule(step=steps_of(Workings))
    def any(self, step: Step) -> None:
        """The next step."""
        name, arguments = step
        TALLY["steps"] += 1
        getattr(self, name)(**arguments)

    @invariant()
    def always(self) -> None:
        """No money twice."""
        if self.world.workers:
            self.do(check_always(self.world))

    def teardown(self) -> None:
        """The end of a run."""
        try:
            if self.world.workers and not self.failed:
                self.do(self.at_rest("done"))
                self.do(count(self.world))
        finally:
            self.loop.run(self.world.stop())
