"""What autopay may do, from nothing but a lease's events as they are described; no product code is used."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Autopay:
    """Of one lease, as far as its events tell."""

    on: bool
    method: str | None
    stopped: dict[str, Any] | None = None  # the method
    instalments: dict[int, dict[str, Any]] = field(default_factory=dict)  # what stops each, by number
    declines: dict[int, int] = field(default_factory=dict)  # of the present series, by number


def follow(events: Iterable[dict[str, Any]]) -> Autopay:
    """Autopay after these events of one lease, the payment service's in the order of its sequence.

    AssertionError where a collection run has charged what was stopped, or anything more than four times.
    """
    ordered = sorted(events, key=lambda each: (each["source"], each["sequence"]))
    terms = ordered[0]["data"]
    now = Autopay(terms["autopay"], terms["payment_method"])
    of_runs: dict[str, str] = {}  # payment methods, by attempt of a run
    for event in ordered:
        data = event["data"]
        match event["type"]:
            case "payment.attempt_started" if data["run_id"]:
                assert (now.on, now.stopped, data["payment_method"]) == (True, None, now.method), event
                assert data["number"] not in now.instalments, event
                of_runs[data["attempt_id"]] = data["payment_method"]
            case "payment.declined" | "payment.failed":
                _not_paid(now, event, of_runs)
            case "payment.succeeded" if data["amount_due"] == 0:
                now.instalments.pop(data["number"], None)
            case "payoff.succeeded":
                for each in data["instalments"]:
                    now.instalments.pop(each["number"], None)
            case "payment.refunded" | "payment.charged_back":
                for each in data["instalments"]:
                    now.instalments.pop(each["number"], None)
                    if each["autopay_stopped"]:
                        now.instalments[each["number"]] = each["autopay_stopped"]
            case "lease.autopay_changed":
                now.on, now.method = data["autopay"], data["payment_method"]
                now.stopped = data["autopay_stopped"]
                for each in data["instalments"]:
                    now.instalments.pop(each["number"], None)
                    now.declines.pop(each["number"], None)
    return now


def _not_paid(now: Autopay, event: dict[str, Any], of_runs: dict[str, str]) -> None:
    data = event["data"]
    number = data["number"]
    if data["autopay_over"]:
        assert now.on
        now.instalments[number] = {
            "reason": data["autopay_over"],
            "since": event["time"],
            "attempt_id": data["attempt_id"],
        }
    if event["type"] == "payment.declined" and of_runs.get(data["attempt_id"]) == now.method:
        now.declines[number] = now.declines.get(number, 0) + 1
        assert now.declines[number] <= 4, event
