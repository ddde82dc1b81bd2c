"""A lease's state from nothing but its events, as their catalogue describes them; no product code is used."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

CLOSINGS = ("lease.cancelled", "lease.charged_off")
SETTLED = ("paid", "cancelled")  # every other status is open


@dataclass
class Instalment:
    """One payment, in minor units."""

    amount: int
    status: str = "open"  # scheduled, due or late: that a day has come is not told
    paid: int = 0
    late_fees: int = 0


@dataclass
class Folded:
    """What a lease's events add up to."""

    status: str = ""
    collected: int = 0  # minor units, less what was given back
    refunded: int = 0  # minor units
    due_back: int = 0  # minor units that a payoff owes to the customer and that have not gone back
    instalments: dict[str, Instalment] = field(default_factory=dict)  # by payment_id
    last: dict[str, int] = field(default_factory=dict)  # sequence by source
    unsettled: set[str] = field(default_factory=set)  # attempts without an end
    ends: dict[str, str] = field(default_factory=dict)  # how attempts ended, by attempt_id
    delinquent: bool = False
    retries: dict[str, str] = field(default_factory=dict)  # days, by the attempt that was declined

    @property
    def closed(self) -> bool:
        """Closed before it was paid."""
        return f"lease.{self.status}" in CLOSINGS

    @property
    def balance(self) -> int:
        """Still to be paid."""
        open_ones = (each for each in self.instalments.values() if each.status not in SETTLED)
        return sum(each.amount - each.paid for each in open_ones)


def fold(events: Iterable[dict[str, Any]]) -> Folded:
    """The state after these events of one lease; each source's in the order of its sequence.

    AssertionError where a sequence has a gap, or an attempt ends twice or without having begun.
    """
    state = Folded()
    for event in sorted(events, key=lambda each: (each["source"], each["sequence"])):
        type_, data = event["type"], event["data"]
        before = state.last.get(event["source"], 0)
        assert event["sequence"] == before + 1, f"a gap after {before}: {event}"
        state.last[event["source"]] = event["sequence"]
        if type_ == "lease.created":
            state.status = "active"
            state.instalments = {row["payment_id"]: Instalment(row["amount"]) for row in data["schedule"]}
        elif type_ in ("lease.paid_off", *CLOSINGS):
            state.status = type_.removeprefix("lease.")
        elif type_ == "lease.reopened":
            state.status = "active"
            assert data["balance"] > 0
        elif type_ == "payment.attempt_started":
            state.unsettled.add(data["attempt_id"])
        elif type_ in ("payment.refunded", "payment.charged_back"):
            if type_ == "payment.refunded":  # nobody starts a chargeback
                state.unsettled.remove(data["attempt_id"])
            state.ends[data["attempt_id"]] = "succeeded"
            _take_back(state, data)
        elif type_ == "lease.late_fee_assessed":
            instalment = state.instalments[data["payment_id"]]
            assert not instalment.late_fees, "a late fee once"
            instalment.late_fees = data["amount"]
            instalment.amount += data["amount"]
            assert data["amount_due"] == instalment.amount - instalment.paid
        elif type_ in ("lease.delinquent", "lease.cured"):
            assert state.delinquent == (type_ == "lease.cured"), event
            state.delinquent = type_ == "lease.delinquent"
        elif type_ == "payment.retry_scheduled":
            assert state.ends[data["attempt_id"]] == "declined"
            state.retries[data["attempt_id"]] = data["retry_at"]
        elif type_ not in ("payment.unknown", "payment.resolved", "payoff.quoted", "lease.autopay_changed"):
            state.unsettled.remove(data["attempt_id"])
            state.ends[data["attempt_id"]] = type_.partition(".")[2]
            _move_money(state, type_, data)
    if state.closed:
        for instalment in state.instalments.values():
            if instalment.status != "paid":
                instalment.status = "cancelled"
    else:
        paid = (each for each in state.instalments.values() if each.status == "paid")
        assert all(each.amount == each.paid for each in paid)
    if state.status == "active" and state.delinquent:
        state.status = "delinquent"
    return state


def _move_money(state: Folded, type_: str, data: dict[str, Any]) -> None:
    if type_ == "payment.succeeded":
        instalment = state.instalments[data["payment_id"]]
        instalment.paid += data["amount"]
        assert instalment.paid == data["amount_paid"] <= instalment.amount
        assert sum(data["allocation"].values()) == data["amount"]
        instalment.status = "paid" if instalment.paid == instalment.amount else "open"
        if data["payment_status"] == "cancelled":  # the lease had been closed while it was in flight
            instalment.status = "cancelled"
        state.collected += data["amount"]
    elif type_ == "payoff.succeeded":
        for each in data["instalments"]:
            instalment = state.instalments[each["payment_id"]]
            instalment.amount -= each.get("late_fees_waived", 0)
            instalment.status, instalment.paid = each["status"], each["amount_paid"]
        waived = sum(each.get("late_fees_waived", 0) for each in data["instalments"])
        assert data["waived"] == ({"late_fees": waived} if waived else {})
        assert sum(data["allocation"].values()) == data["amount"]
        assert 0 in (data["amount"], data["refund_due"])
        state.due_back = data["refund_due"]
        state.collected += data["amount"]


def _take_back(state: Folded, data: dict[str, Any]) -> None:
    before = state.balance
    assert sum(data["allocation"].values()) == data["amount"]
    state.collected -= data["amount"]
    state.refunded += data["amount"]
    if data["refund_due_of"]:
        assert (data["reason"], data["instalments"], data["interest_owed_again"]) == ("refund_due", [], 0)
        state.due_back -= data["amount"]
        assert state.due_back >= 0
        return
    state.due_back -= data["refund_lapsed"]
    knows = all(each["status"] in SETTLED for each in data["instalments"])  # that the lease was closed
    if knows and data["payment_id"]:  # perhaps it was on others since
        came_off = [
            state.instalments[each["payment_id"]].paid - each["amount_paid"] for each in data["instalments"]
        ]
        assert sum(came_off) == data["amount"]
    for each in data["instalments"]:
        instalment = state.instalments[each["payment_id"]]
        if knows:
            assert each["status"] == "cancelled"
            assert 0 <= each["amount_paid"] <= each["amount"]
            if data["payment_id"]:  # what comes off a payoff comes off several
                assert each["amount"] == instalment.amount
        instalment.amount, instalment.paid = each["amount"], each["amount_paid"]
        instalment.status = each["status"] if each["status"] in SETTLED else "open"
        due = 0 if each["status"] == "cancelled" else instalment.amount - instalment.paid
        assert each["amount_due"] == due
    if knows:
        assert (state.closed, data["interest_owed_again"]) == (True, 0)
    else:
        again = data["interest_owed_again"] + data["late_fees_owed_again"]
        assert state.balance == before + data["amount"] + again
