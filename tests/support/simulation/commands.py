"""Steps of people and of the gateway: what they ask the services to do, or tell them."""

from datetime import timedelta

from hypothesis import strategies as st

from common.kernel.ids import payment_id, uuid7
from lease_svc.contracts.commands import CancelLease, ChargeOffLease
from payment_svc.contracts.commands import (
    AttemptPayment,
    PayOffLease,
    QuotePayoff,
    RefundAttempt,
    RunCollections,
    SetAutopay,
)
from tests.support.fakes.scripted_gateway import Plan
from tests.support.simulation.steps import ALIVE, ANY, HOW_OFTEN, PLAN, SHARE, WORKER, Steps, To, step

DAYS = st.sampled_from([0, 0, 0, 3, 61])
REASONS = st.sampled_from(["broken", "broken", "refund_due"])

# What a dry run must not touch, as one value.
_ALL_OF_IT = """
SELECT md5(concat((SELECT string_agg(a::text, '' ORDER BY lease_id) FROM payment.accounts AS a),
                  (SELECT string_agg(p::text, '' ORDER BY payment_id) FROM payment.payments AS p),
                  (SELECT count(*) FROM payment.outbox), (SELECT count(*) FROM payment.attempts),
                  (SELECT count(*) FROM payment.collection_runs)))
"""


class Commands(Steps):
    """Each publishes a command; most are delivered at once, and answered."""

    @step(weight=3, lease=ANY, number=ANY, share=SHARE, plan=PLAN, to=WORKER, times=HOW_OFTEN)
    def attempt(
        self, lease: int, number: int, share: int | None, plan: Plan | None, to: To, times: int
    ) -> None:
        """Somebody pays an instalment."""

        async def doing() -> None:
            chosen = self.lease(lease)
            due = await self.world.owner.fetch(
                "SELECT principal + interest + fees + late_fees - paid_principal - paid_interest - paid_fees"
                " - paid_late_fees FROM payment.payments WHERE lease_id = $1 ORDER BY number",
                chosen,
            )
            place = number % len(due)
            asked = AttemptPayment(
                attempt_id=uuid7(),
                payment_id=payment_id(chosen, place + 1),
                payment_method="pm_1",
                amount=_part(due[place][0], share),
            )
            await self.issue("payment", "AttemptPayment", asked, plan, to, times)

        self.do(doing())

    @step(weight=3, lease=ANY, to=WORKER)
    def pay_next(self, lease: int, to: To) -> None:
        """As most do: all of the first instalment that is open."""

        async def doing() -> None:
            chosen = await self.world.owner.fetchval(
                "SELECT payment_id::text FROM payment.payments WHERE lease_id = $1"
                " AND status NOT IN ('paid', 'cancelled') ORDER BY number LIMIT 1",
                self.lease(lease),
            )
            if chosen:
                asked = AttemptPayment(
                    attempt_id=uuid7(), payment_id=chosen, payment_method="pm_1", amount=None
                )
                await self.issue("payment", "AttemptPayment", asked, "done", to, 1)

        self.do(doing())

    @step(lease=ANY, left=st.sampled_from([0, 1, 1, 500]), plan=PLAN, to=WORKER)
    def pay_off_ahead(self, lease: int, left: int, plan: Plan | None, to: To) -> None:
        """Somebody pays all instalments at once, the last one first, but for so much of the first; then the
        lease is paid off: interest that was paid ahead is due back.
        """

        async def doing() -> None:
            chosen = self.lease(lease)
            due = await self.world.owner.fetch(
                "SELECT payment_id::text, number, principal + interest + fees + late_fees - paid_principal"
                " - paid_interest - paid_fees - paid_late_fees AS due FROM payment.payments"
                " WHERE lease_id = $1 ORDER BY number DESC",
                chosen,
            )
            for each in due:
                amount = each["due"] - (left if each["number"] == 1 else 0)
                asked = AttemptPayment(
                    attempt_id=uuid7(),
                    payment_id=each["payment_id"],
                    payment_method="pm_1",
                    amount=max(1, amount),
                )
                await self.issue("payment", "AttemptPayment", asked, "done", ALIVE, 1)
            await self.pay_off_all(chosen, None, plan, to, 1)

        self.do(doing())

    @step(weight=2, lease=ANY, days=st.sampled_from([7, 31]), plan=PLAN, to=WORKER)
    def pay_off_late(self, lease: int, days: int, plan: Plan | None, to: To) -> None:
        """A payoff is quoted, then collections run and may fine, then somebody pays what was quoted."""

        async def doing() -> None:
            fined = await self.world.owner.fetch(
                "SELECT lease_id::text FROM payment.accounts WHERE late_fee > 0 AND closed IS NULL"
                " ORDER BY autopay, lease_id"
            )
            chosen = fined[lease % len(fined)][0] if fined and lease % 2 else self.lease(lease)
            await self.quoted(chosen, 3)
            await self.run_for(days, "soft", ALIVE)
            await self.pay_off_as_quoted(chosen, plan, to, 1)

        self.do(doing())

    @step(lease=ANY, days=DAYS)
    def quote(self, lease: int, days: int) -> None:
        """Somebody asks what a payoff costs."""
        self.do(self.quoted(self.lease(lease), days))

    @step(
        weight=2,
        lease=ANY,
        quoted=st.sampled_from([None, "before", "now"]),
        days=DAYS,
        plan=PLAN,
        to=WORKER,
        times=HOW_OFTEN,
    )
    def pay_off(
        self, lease: int, quoted: str | None, days: int, plan: Plan | None, to: To, times: int
    ) -> None:
        """Somebody pays a whole lease, perhaps as it was last quoted, or is quoted now."""

        async def doing() -> None:
            chosen = self.lease(lease)
            if quoted == "now":
                await self.quoted(chosen, days)
            if quoted:
                await self.pay_off_as_quoted(chosen, plan, to, times)
                return
            await self.pay_off_all(chosen, None, plan, to, times)

        self.do(doing())

    @step(weight=2, of=ANY, share=SHARE, plan=PLAN, to=WORKER, times=HOW_OFTEN, reason=REASONS)
    def refund(
        self, of: int, share: int | None, plan: Plan | None, to: To, times: int, reason: str = "broken"
    ) -> None:
        """Money is given back."""

        async def doing() -> None:
            collected = await self.world.owner.fetch(
                "SELECT attempt_id::text, amount - refunded FROM payment.attempts"
                " WHERE refunds IS NULL AND status = 'succeeded' ORDER BY created_at, attempt_id"
            )
            if collected:
                original, left = collected[of % len(collected)]
                asked = RefundAttempt(
                    attempt_id=uuid7(), refunds=original, amount=_part(left, share), reason=reason
                )
                await self.issue("payment", "RefundAttempt", asked, plan, to, times)

        self.do(doing())

    @step(weight=2, of=ANY, share=st.sampled_from([1, 2, 4]), by=st.integers(0, 2), heard=st.booleans())
    def charge_back(self, of: int, share: int, by: int, heard: bool) -> None:
        """An issuer takes money back, and tells of it at once or later."""

        async def doing() -> None:
            self.world.gateway.charge_back(of, share, by)
            if heard:
                self.world.tell_of_chargebacks()
                await self.world.deliver(self.world.worker("payment"), self.world.waiting("payment")[-1:])

        self.do(doing())

    @step(weight=2, of=ANY, wrong=st.sampled_from([False] * 5 + [True]), to=WORKER, times=HOW_OFTEN)
    def tell(self, of: int, wrong: bool, to: To, times: int) -> None:
        """The gateway tells how a charge ended: soon, late, once more, or of the wrong amount."""

        async def doing() -> None:
            charges = self.world.gateway.charges()
            if charges:
                message = self.world.tell_of_end(charges[of % len(charges)], wrong=wrong)
                await self.hand_over(message, to, times)

        self.do(doing())

    @step(index=ANY, plan=st.sampled_from(["done", "soft", "hard"]), to=WORKER)
    def tell_first(self, index: int, plan: Plan, to: To) -> None:
        """What the gateway tells of a charge is faster than its answer."""

        async def doing() -> None:
            record = self.world.gateway.act(index, plan)
            if record in self.world.gateway.charges():
                await self.hand_over(self.world.tell_of_end(record, wrong=False), to, 1)

        self.do(doing())

    @step(lease=ANY, cancelled=st.booleans(), seen=st.booleans())
    def close(self, lease: int, cancelled: bool, seen: bool) -> None:
        """A lease is cancelled or charged off; `seen`: the payment service hears of it at once."""

        async def doing() -> None:
            asked = (CancelLease if cancelled else ChargeOffLease)(lease_id=self.lease(lease), reason="gone")
            await self.issue("lease", type(asked).__name__, asked, None, ALIVE, 1)
            if seen:
                await self.world.flow()

        self.do(doing())

    @step(weight=3, days=st.sampled_from([0, 1, 2, 7, 31]), to=WORKER, times=HOW_OFTEN, works=ANY, plan=PLAN)
    def collect(self, days: int, to: To, times: int, works: int, plan: Plan | None) -> None:
        """Collections are run for a day, at least in part."""

        async def doing() -> None:
            before = len(self.world.gateway.parked)
            self.as_of += timedelta(days=days)
            asked = RunCollections(as_of=self.as_of, allow_future=True)
            await self.issue("payment", "RunCollections", asked, None, to, times)
            for _ in range(works % 4):
                await self.work(to)
            await self.answered(plan, before)

        self.do(doing())

    @step(
        weight=2,
        days=st.sampled_from([0, 1, 7, 31]),
        plan=st.sampled_from(["done", "soft", "hard", "nothing"]),
        to=WORKER,
    )
    def collect_all(self, days: int, plan: Plan, to: To) -> None:
        """A whole run, all of whose attempts end like this, one after the other."""
        self.do(self.run_for(days, plan, to))

    @step(
        weight=2,
        lease=ANY,
        on=st.sampled_from([True, True, True, False]),
        method=st.sampled_from([None, "pm_1", "pm_2"]),
        to=WORKER,
        times=HOW_OFTEN,
    )
    def change_autopay(self, lease: int, on: bool, method: str | None, to: To, times: int) -> None:
        """Autopay is turned on or off, or takes up what was stopped, perhaps by another method."""

        async def doing() -> None:
            asked = SetAutopay(lease_id=self.lease(lease), autopay=on, payment_method=method)
            await self.issue("payment", "SetAutopay", asked, None, to, times)

        self.do(doing())

    @step(days=st.sampled_from([-3, 0, 1, 40]), to=WORKER, times=HOW_OFTEN)
    def look_ahead(self, days: int, to: To, times: int) -> None:
        """Somebody asks what a run would do on some day; it does nothing."""

        async def doing() -> None:
            workers, before = list(self.world.workers), await self.world.owner.fetchval(_ALL_OF_IT)
            asked = RunCollections(as_of=self.as_of + timedelta(days=days), dry_run=True)
            await self.issue("payment", "RunCollections", asked, None, to, times)
            if workers == self.world.workers:  # one that is new takes up what another has left behind
                assert await self.world.owner.fetchval(_ALL_OF_IT) == before

        self.do(doing())

    async def run_for(self, days: int, plan: Plan, to: To) -> None:
        """Run collections, until the run has nothing left to do or so; its attempts end like this."""
        self.as_of += timedelta(days=days)
        asked = RunCollections(as_of=self.as_of, allow_future=True)
        await self.issue("payment", "RunCollections", asked, None, to, 1)
        for _ in range(6):
            before = len(self.world.gateway.parked)
            await self.work(to)
            while len(self.world.gateway.parked) > before:
                await self.answered(plan, before)

    async def pay_off_as_quoted(self, lease_id: str, plan: Plan | None, to: To, times: int) -> None:
        """Pay a lease as it was last quoted, if it was."""
        last = "SELECT quote_id::text FROM payment.quotes WHERE lease_id = $1 ORDER BY quote_id DESC LIMIT 1"
        quote_id = await self.world.owner.fetchval(last, lease_id)
        await self.pay_off_all(lease_id, quote_id, plan, to, times)

    async def pay_off_all(
        self, lease_id: str, quote_id: str | None, plan: Plan | None, to: To, times: int
    ) -> None:
        """Pay a lease off, by a quote or as of today."""
        asked = PayOffLease(attempt_id=uuid7(), lease_id=lease_id, payment_method="pm_1", quote_id=quote_id)
        await self.issue("payment", "PayOffLease", asked, plan, to, times)

    async def quoted(self, lease_id: str, days: int) -> None:
        """Ask for a quote, for so many days ahead."""
        asked = QuotePayoff(quote_id=uuid7(), lease_id=lease_id, as_of=self.today + timedelta(days=days))
        await self.issue("payment", "QuotePayoff", asked, None, ALIVE, 1)


def _part(of: int, share: int | None) -> int | None:
    return None if share is None else max(1, of * share // 4)
