"""The lease: its state, and how commands and payments change it. Pure."""

from datetime import date, datetime
from typing import Literal

import msgspec

from lease_svc.contracts.consumed_events import (
    Autopay,
    LateFeeAssessed,
    MoneyTakenBack,
    PaymentSucceeded,
    PayoffSucceeded,
)
from lease_svc.contracts.events import LeasePaidOff, LeaseReopened
from lease_svc.contracts.values import Allocation, Status
from lease_svc.domain import instalments
from lease_svc.domain.instalments import Due

encode = msgspec.json.Encoder().encode


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a lease's history."""

    lease_id: str
    version: int
    type: str  # the event's
    occurred_at: datetime
    status_before: Status | None
    status_after: Status
    balance: int  # minor units, after the change
    data: bytes  # JSON: what changed it


class _Currency(msgspec.Struct, frozen=True):
    currency: str


class Lease(msgspec.Struct, kw_only=True):
    """A lease as the lease service knows it; see the migration for each column's meaning."""

    lease_id: str
    customer_id: str
    status: Status
    version: int
    amount_paid: int  # minor units
    balance: int  # minor units
    principal_left: int  # minor units of the balance, as are the next two; the rest of it is interest
    fees_left: int
    late_fees_left: int
    next_due_date: date | None
    payments_made: int
    paid: list[int]  # minor units paid on instalment 1, 2, 3 …
    contract: bytes  # JSON of Contract
    schedule: bytes  # JSON of list[Instalment]
    amended: bytes | None = None  # see instalments.py; None: all instalments are as in the schedule
    autopay_now: bytes | None = None  # JSON of Autopay; None: as agreed in the contract
    event_sequence: int
    payment_sequence: int
    created_at: datetime
    updated_at: datetime

    def pay(self, payment: PaymentSucceeded, data: bytes, now: datetime) -> list[Change]:
        """Money came in for one instalment."""
        self.paid[payment.number - 1] += payment.amount
        self._count(self._instalments())
        self._allocate(payment.allocation, -1)
        return self._collected("payment.succeeded", payment.amount, payment.amount, data, now)

    def pay_off(self, payoff: PayoffSucceeded, data: bytes, now: datetime) -> list[Change]:
        """Everything still owed was settled at once; what was saved or waived is owed no longer.

        Interest that goes back to the customer was never part of the balance.
        """
        now_are = self._instalments()
        waived = payoff.waived.late_fees
        for each in payoff.instalments:
            self.paid[each.number - 1] = each.amount_paid
            was = now_are[each.number - 1]
            now_are[each.number - 1] = Due(
                due_date=was.due_date,
                amount=was.amount if self.closed else was.amount - each.late_fees_waived,
                cancelled=was.cancelled or each.status == "cancelled",
            )
        self._amend(now_are)
        self._allocate(payoff.allocation, -1)
        if not self.closed:
            self.late_fees_left -= waived
        settled = payoff.amount + payoff.interest_saved - payoff.refund_due + waived
        return self._collected("payoff.succeeded", payoff.amount, settled, data, now)

    def take_back(
        self, type_: str, taken: MoneyTakenBack, data: bytes, now: datetime
    ) -> tuple[list[Change], bool]:
        """Money was given or taken back and is owed again; and whether that has re-opened the lease."""
        now_are = self._instalments()
        for each in taken.instalments:
            was = now_are[each.number - 1]
            if not self.closed:
                due_before = 0 if was.cancelled else was.amount - self.paid[each.number - 1]
                self.balance += each.amount_due - due_before
            self.paid[each.number - 1] = each.amount_paid
            now_are[each.number - 1] = Due(
                due_date=was.due_date, amount=each.amount, cancelled=each.status == "cancelled"
            )
        self._amend(now_are)
        self._allocate(taken.allocation, +1)
        if not self.closed:
            self.late_fees_left += taken.late_fees_owed_again
        self.amount_paid -= taken.amount
        changes = [self._change(type_, self.status, data, now)]
        reopened = self.status == "paid_off" and self.balance > 0
        if reopened:
            changes.append(self._change("lease.reopened", "active", b"{}", now))
        return changes, reopened

    def _instalments(self) -> list[Due]:
        """All instalments as they are now, in order of number."""
        return instalments.now(self.schedule, self.amended)

    def _amend(self, now_are: list[Due]) -> None:
        """Keep what is not as in the schedule, and count again."""
        self.amended = instalments.amended(self.schedule, now_are)
        self._count(now_are)

    def _count(self, now_are: list[Due]) -> None:
        due = [each for each in now_are if not each.cancelled]
        left = [
            each
            for each, paid in zip(now_are, self.paid, strict=True)
            if not each.cancelled and paid < each.amount
        ]
        self.payments_made = len(due) - len(left)
        self.next_due_date = left[0].due_date if left and not self.closed else None

    def assess_late_fee(self, fee: LateFeeAssessed, data: bytes, now: datetime) -> list[Change]:
        """An instalment costs more, because it is late. The schedule stays what was agreed."""
        if not self.closed:
            now_are = self._instalments()
            was = now_are[fee.number - 1]
            now_are[fee.number - 1] = msgspec.structs.replace(was, amount=was.amount + fee.amount)
            self.balance += fee.amount
            self.late_fees_left += fee.amount
            self._amend(now_are)
        return [self._change("lease.late_fee_assessed", self.status, data, now)]

    def change_autopay(self, now_is: Autopay, data: bytes, now: datetime) -> list[Change]:
        """What autopay charges from now on, or that it is stopped. The contract stays what was agreed."""
        self.autopay_now = encode(now_is)
        return [self._change("lease.autopay_changed", self.status, data, now)]

    def turn(self, type_: str, before: Status, after: Status, data: bytes, now: datetime) -> list[Change]:
        """Its status changes from `before`; a lease that has another one by now keeps it."""
        return [self._change(type_, after, data, now)] if self.status == before else []

    def _allocate(self, money: Allocation, sign: Literal[-1, 1]) -> None:
        """Money that was collected (-1) or given back (+1), by what it was for."""
        if not self.closed:
            self.principal_left += sign * money.principal
            self.fees_left += sign * money.fees
            self.late_fees_left += sign * money.late_fees

    def _collected(self, type_: str, amount: int, settled: int, data: bytes, now: datetime) -> list[Change]:
        self.amount_paid += amount
        if self.closed:  # it was in flight then: the money is here, and nothing was owed any longer
            return [self._change(type_, self.status, data, now)]
        self.balance -= settled
        changes = [self._change(type_, self.status, data, now)]
        if self.balance == 0:
            changes.append(self._change("lease.paid_off", "paid_off", b"{}", now))
        return changes

    @property
    def closed(self) -> bool:
        """Whether it was closed before it was paid."""
        return self.status in ("cancelled", "charged_off")

    @property
    def left(self) -> Allocation:
        """What the balance is made of, while the lease is not closed."""
        rest = self.balance - self.principal_left - self.fees_left - self.late_fees_left
        return Allocation(
            late_fees=self.late_fees_left,
            fees=self.fees_left,
            interest=rest,
            principal=self.principal_left,
        )

    @property
    def currency(self) -> str:
        """ISO 4217 code."""
        return msgspec.json.decode(self.contract, type=_Currency).currency

    def close(
        self, status: Literal["cancelled", "charged_off"], type_: str, data: bytes, now: datetime
    ) -> Change:
        """Nothing is owed on it any longer; what was paid stays paid."""
        self.balance = 0
        self.next_due_date = None
        return self._change(type_, status, data, now)

    def _change(self, type_: str, status: Status, data: bytes, now: datetime) -> Change:
        self.version += 1
        self.updated_at = now
        before, self.status = self.status, status
        return Change(
            lease_id=self.lease_id,
            version=self.version,
            type=type_,
            occurred_at=now,
            status_before=before,
            status_after=status,
            balance=self.balance,
            data=data,
        )

    def paid_off(self, attempt_id: str, type_: str) -> LeasePaidOff:
        """The event that records that the balance reached zero."""
        return LeasePaidOff(
            lease_id=self.lease_id,
            currency=self.currency,
            amount_paid=self.amount_paid,
            attempt_id=attempt_id,
            cause="payoff" if type_ == "payoff.succeeded" else "payment",
        )

    def reopened(self, attempt_id: str, type_: str) -> LeaseReopened:
        """The event that records that something is owed again on a lease that was paid off."""
        return LeaseReopened(
            lease_id=self.lease_id,
            currency=self.currency,
            balance=self.balance,
            attempt_id=attempt_id,
            cause="refund" if type_ == "payment.refunded" else "chargeback",
        )
