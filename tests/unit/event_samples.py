"""Lives of leases told in events, as the lease and payment services publish them, for tests of the ledger.

A `Life` also keeps the plain sums of what it did, by other means than the ledger: the tests' second opinion.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec

from common import envelope
from common.clock import rfc3339
from common.ids import payment_id, uuid7

LEASES = "/lease-svc"
PAYMENTS = "/payment-svc"
Attempt = dict[str, Any]  # the fields that all events of an attempt have

START = datetime(2026, 12, 1, 8, 0, tzinfo=UTC)


class Row:
    """An instalment as the sums see it: money in minor units."""

    def __init__(self, number: int, due: date, principal: int, interest: int, fees: int) -> None:
        self.number = number
        self.due = due
        self.principal = principal
        self.interest = interest
        self.fees = fees
        self.amount = principal + interest + fees
        self.paid = 0
        self.status = "scheduled"
        self.open_status = "scheduled"

    def cost_more(self, late_fee: int) -> None:
        """A late fee: paid before everything else, as any fee."""
        self.fees += late_fee
        self.amount += late_fee

    def unpaid(self) -> tuple[int, int, int]:
        """Fees, interest and principal still owed: money goes to them in this order."""
        fees = max(0, self.fees - self.paid)
        interest = min(self.interest, max(0, self.fees + self.interest - self.paid))
        return fees, interest, self.amount - self.paid - fees - interest


class Life:
    """One lease; every method appends the event's exact bytes to `raws`."""

    def __init__(self, *, term: int = 12, currency: str = "USD", principal: int = 120_000) -> None:
        self.lease_id = uuid7()
        self.currency = currency
        self.principal = principal
        self.raws: list[bytes] = []
        self.now = START
        self.collected = 0
        self.saved = 0
        self.status = "active"
        self.due = 0  # instalments due by the day of an early payoff
        self.sequences = {LEASES: 0, PAYMENTS: 0}
        self.unresolved: dict[str, Attempt] = {}
        self.rows = []
        left = principal
        for number in range(1, term + 1):
            part = left if number == term else principal // term
            due = date(2027 + (number - 1) // 12, (number - 1) % 12 + 1, 1)
            self.rows.append(Row(number, due, part, left // 100, 2500 if number == 1 else 0))
            left -= part

    @property
    def balance(self) -> int:
        return sum(row.amount - row.paid for row in self.rows if row.status != "cancelled")

    def open_rows(self) -> list[Row]:
        return [row for row in self.rows if row.status not in ("paid", "cancelled")]

    def emit(self, source: str, kind: str, data: dict[str, Any], **changes: Any) -> None:
        """Append one event; `changes` replace fields of its envelope."""
        self.now += timedelta(seconds=1, microseconds=7)
        self.sequences[source] += 1
        event = envelope.Event(
            id=uuid7(),
            source=source,
            type=kind,
            subject=self.lease_id,
            time=rfc3339(self.now),
            sequence=self.sequences[source],
            correlationid=uuid7(),
            causationid=uuid7(),
            data=msgspec.Raw(msgspec.json.encode(data)),
        )
        self.raws.append(envelope.encode(msgspec.structs.replace(event, **changes)))

    def create(self) -> None:
        left, schedule = self.principal, []
        for row in self.rows:
            left -= row.principal
            named = {"number": row.number, "payment_id": payment_id(self.lease_id, row.number)}
            split = {"principal": row.principal, "interest": row.interest, "fees": row.fees}
            when = {"due_date": row.due, "amount": row.amount}
            schedule.append(named | when | split | {"principal_balance": left})
        who = {"lease_id": self.lease_id, "customer_id": "cus-42", "currency": self.currency}
        terms = {"principal": self.principal, "annual_rate": "0.1200", "term": len(self.rows)}
        rhythm = {"frequency": "monthly", "day_count": "30/360", "start_date": "2026-12-01"}
        dates = {"first_due_date": self.rows[0].due, "maturity_date": self.rows[-1].due}
        sums = {
            "instalment": self.rows[0].amount,
            "total_interest": sum(row.interest for row in self.rows),
            "total_fees": 2500,
            "total_payable": sum(row.amount for row in self.rows),
        }
        extras = {"payment_method": None, "autopay": False, "late_fee": None, "metadata": {"store": "17"}}
        lists = {"fees": [{"code": "origination", "amount": 2500}], "schedule": schedule}
        self.emit(LEASES, "lease.created", who | terms | rhythm | dates | sums | extras | lists)

    def start(self, number: int | None, amount: int | None = None, method: str = "pm_card_ok") -> Attempt:
        """Begin an attempt on an instalment, or (None) on the whole lease; gives what all its events say."""
        if amount is None:
            amount = sum(self.rows[number - 1].unpaid()) if number else self.payoff_amount()
        attempt = {
            "attempt_id": uuid7(),
            "payment_id": payment_id(self.lease_id, number) if number else None,
            "number": number,
            "lease_id": self.lease_id,
            "kind": "instalment" if number else "payoff",
            "amount": amount,
            "currency": self.currency,
            "payment_method": method,
        }
        self.emit(PAYMENTS, "payment.attempt_started", attempt)
        self._mark(attempt, "processing")
        return attempt

    def succeed(self, attempt: Attempt) -> None:
        """The money of an attempt moves; an instalment's or the payoff's."""
        self._resolve(attempt, "succeeded")
        self.collected += attempt["amount"]
        if attempt["number"] is None:
            self._close(attempt)
            return
        row = self.rows[attempt["number"] - 1]
        row.paid += attempt["amount"]
        row.status = "paid" if row.paid == row.amount else row.open_status
        allocation = {"late_fees": 0, "fees": 0, "interest": 0, "principal": attempt["amount"]}
        after = {"amount_paid": row.paid, "amount_due": row.amount - row.paid, "payment_status": row.status}
        more = {"gateway_reference": "ch_1", "allocation": allocation}
        self.emit(PAYMENTS, "payment.succeeded", attempt | more | after)
        if not self.open_rows():
            self._paid_off(attempt, "payment")

    def decline(self, attempt: Attempt, retry_at: str | None = None) -> None:
        self._resolve(attempt, "declined")
        self._open_again(attempt)
        code = {"code": "insufficient_funds", "class": "soft", "advice": "retry_later"}
        kind = "payment.declined" if attempt["number"] else "payoff.declined"
        self.emit(PAYMENTS, kind, attempt | {"decline": code | {"retry_at": retry_at}})

    def fail(self, attempt: Attempt) -> None:
        self._resolve(attempt, "not_found")
        self._open_again(attempt)
        self.emit(PAYMENTS, "payment.failed", attempt | {"reason": "connection_refused"})

    def lose_sight(self, attempt: Attempt) -> None:
        """The gateway gives no answer; the next word on this attempt resolves it first."""
        self.emit(PAYMENTS, "payment.unknown", attempt | {"reason": "timeout"})
        self.unresolved[attempt["attempt_id"]] = attempt

    def be_late(self, number: int, fee: int = 1500) -> None:
        """A late fee for an instalment, which is late from now on; the first makes the lease delinquent."""
        row = self.rows[number - 1]
        row.cost_more(fee)
        row.open_status = "late"
        row.status = "processing" if row.status == "processing" else "late"
        about = {"lease_id": self.lease_id, "currency": self.currency, "as_of": "2027-02-01"}
        named = {"payment_id": payment_id(self.lease_id, number), "number": number, "due_date": row.due}
        after = {"amount_due": row.amount - row.paid, "payment_status": "late", "reason": "late"}
        self.emit(PAYMENTS, "lease.late_fee_assessed", about | named | after | {"amount": fee})
        if self.status == "active":
            self.status = "delinquent"
            more = {"numbers": [number], "days_late": 6, "amount_late": row.amount - row.paid}
            self.emit(PAYMENTS, "lease.delinquent", about | more | {"reason": "late"})

    def be_cured(self) -> None:
        """The lease is no longer delinquent."""
        self.status = "active"
        about = {"lease_id": self.lease_id, "currency": self.currency, "as_of": "2027-02-02"}
        self.emit(PAYMENTS, "lease.cured", about | {"reason": "nothing is late any longer"})

    def payoff_amount(self) -> int:
        """What closes the lease on the due date of instalment `self.due`: later interest is not owed."""
        total = 0
        for row in self.rows:
            fees, interest, principal = row.unpaid()
            total += fees + principal + (interest if row.number <= self.due else interest - row.interest)
        return total

    def _close(self, attempt: Attempt) -> None:
        saved = self.balance - attempt["amount"]
        closed = []
        for row in self.open_rows():
            row.status = "paid" if row.number <= self.due else "cancelled"
            row.paid = row.amount if row.status == "paid" else row.paid
            named = {"number": row.number, "payment_id": payment_id(self.lease_id, row.number)}
            closed.append(named | {"status": row.status, "amount_paid": row.paid})
        allocation = {"late_fees": 0, "fees": 0, "interest": 0, "principal": attempt["amount"]}
        breakdown = {"accrued_interest": 0, "fees": 0, "late_fees": 0, "principal": attempt["amount"]}
        day = self.rows[self.due - 1].due if self.due else date(2026, 12, 31)
        more = {"as_of": day, "breakdown": breakdown | {"credits": 0}, "allocation": allocation}
        result = {"interest_saved": saved, "formula": "payoff/1", "instalments": closed}
        self.saved += saved
        self.emit(PAYMENTS, "payoff.succeeded", attempt | {"gateway_reference": None} | more | result)
        self._paid_off(attempt, "payoff")

    def _paid_off(self, attempt: Attempt, cause: str) -> None:
        self.status = "paid_off"
        about = {"lease_id": self.lease_id, "currency": self.currency, "attempt_id": attempt["attempt_id"]}
        self.emit(LEASES, "lease.paid_off", about | {"amount_paid": self.collected, "cause": cause})

    def _mark(self, attempt: Attempt, status: str) -> None:
        if attempt["number"]:
            self.rows[attempt["number"] - 1].status = status

    def _open_again(self, attempt: Attempt) -> None:
        if attempt["number"]:
            self._mark(attempt, self.rows[attempt["number"] - 1].open_status)

    def _resolve(self, attempt: Attempt, outcome: str) -> None:
        if self.unresolved.pop(attempt["attempt_id"], None):
            self.emit(PAYMENTS, "payment.resolved", attempt | {"outcome": outcome})
