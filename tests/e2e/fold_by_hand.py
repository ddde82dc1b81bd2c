"""A lease's state from nothing but its events, as their catalogue describes them; no product code is used."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any


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
    collected: int = 0  # minor units
    instalments: dict[str, Instalment] = field(default_factory=dict)  # by payment_id
    last: dict[str, int] = field(default_factory=dict)  # sequence by source
    unsettled: set[str] = field(default_factory=set)  # attempts without an end
    ends: dict[str, str] = field(default_factory=dict)  # how attempts ended, by attempt_id
    delinquent: bool = False
    retries: dict[str, str] = field(default_factory=dict)  # days, by the attempt that was declined

    @property
    def balance(self) -> int:
        """Still to be paid."""
        open_ones = (each for each in self.instalments.values() if each.status != "cancelled")
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
        elif type_ == "lease.paid_off":
            state.status = "paid_off"
        elif type_ == "payment.attempt_started":
            state.unsettled.add(data["attempt_id"])
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
        elif type_ not in ("payment.unknown", "payment.resolved"):
            state.unsettled.remove(data["attempt_id"])
            state.ends[data["attempt_id"]] = type_.partition(".")[2]
            _move_money(state, type_, data)
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
        state.collected += data["amount"]
    elif type_ == "payoff.succeeded":
        for each in data["instalments"]:
            state.instalments[each["payment_id"]].status = each["status"]
            state.instalments[each["payment_id"]].paid = each["amount_paid"]
        state.collected += data["amount"]
