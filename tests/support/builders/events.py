"""Lives of leases told in events, as the lease and payment services publish them, for tests of the ledger.

A `Life` also keeps the plain sums of what it did, by other means than the ledger: the tests' second opinion.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec

from common.kernel.clock import rfc3339
from common.kernel.ids import payment_id, uuid7
from common.messaging import envelope

LEASES = "/lease-svc"
PAYMENTS = "/payment-svc"
Attempt = dict[str, Any]  # the fields that all events of an attempt have

Parts = tuple[int, ...]  # late fees, fees, interest, principal: minor units

START = datetime(2026, 12, 1, 8, 0, tzinfo=UTC)
NOTHING: Parts = (0, 0, 0, 0)


def plus(one: Parts, other: Parts) -> Parts:
    return tuple(map(int.__add__, one, other))


def minus(one: Parts, other: Parts) -> Parts:
    return tuple(map(int.__sub__, one, other))


def filled(places: Parts, amount: int) -> Parts:
    """An amount put into the first places, each at most what it takes."""
    parts = []
    for place in places:
        parts.append(min(place, amount))
        amount -= parts[-1]
    return tuple(parts)


def allocation(parts: Parts) -> dict[str, int]:
    """As events have it."""
    return dict(zip(("late_fees", "fees", "interest", "principal"), parts, strict=True))


class Row:
    """An instalment as the sums see it: money in minor units."""

    def __init__(self, number: int, due: date, principal: int, interest: int, fees: int) -> None:
        self.number = number
        self.due = due
        self.principal = principal
        self.interest = interest
        self.fees = fees
        self.late_fees = 0
        self.amount = principal + interest + fees
        self.paid = 0
        self.paid_parts = NOTHING
        self.status = "scheduled"
        self.open_status = "scheduled"

    def cost_more(self, late_fee: int) -> None:
        """A late fee: paid before everything else."""
        self.late_fees += late_fee
        self.amount += late_fee

    def unpaid(self) -> Parts:
        """Late fees, fees, interest and principal still owed: money goes to them in this order."""
        owed = (self.late_fees, self.fees, self.interest, self.principal)
        return minus(owed, self.paid_parts)

    def pay(self, amount: int) -> Parts:
        """What an amount is for."""
        parts = filled(self.unpaid(), amount)
        self.paid += amount
        self.paid_parts = plus(self.paid_parts, parts)
        return parts

    def take_back(self, amount: int) -> Parts:
        """What is undone when an amount is taken back: in the other order."""
        parts = filled(self.paid_parts[::-1], amount)[::-1]
        self.paid -= amount
        self.paid_parts = minus(self.paid_parts, parts)
        return parts


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
        self.refunded = 0
        self.taken: dict[str, Attempt] = {}  # what has collected, by attempt
        self.given_back: dict[str, int] = {}  # of it, by attempt
        self.settled: dict[str, list[tuple[Row, int, int, Parts]]] = {}  # by payoff: row, amount, paid before
        self.paid_off_by: dict[str, Parts] = {}  # what payoffs were for, by attempt
        self.status = "active"
        self.delinquent = False  # as the payment service has it
        self.day: date | None = None  # of the last run of collections: statuses go by it
        self.due = 0  # instalments due by the day of an early payoff
        self.sequences = {LEASES: 0, PAYMENTS: 0}
        self.applied = 0  # the payment service's events that the lease service has certainly applied
        self.left_after: list[Parts] = []  # what was open, by each of the payment service's events
        self.kept_after: list[int] = []  # money that was here, likewise
        self.knows = False  # whether the payment service has learned that the lease was closed
        self.learned_after = 0  # of its events, when it has
        self.unresolved: dict[str, Attempt] = {}
        self.rows = []
        left = principal
        for number in range(1, term + 1):
            part = left if number == term else principal // term
            due = date(2027 + (number - 1) // 12, (number - 1) % 12 + 1, 1)
            self.rows.append(Row(number, due, part, left // 100, 2500 if number == 1 else 0))
            left -= part
        self.agreed = sum(row.amount for row in self.rows)
        self.left_at_first = self.left()

    @property
    def closed(self) -> bool:
        return self.status in ("cancelled", "charged_off")

    @property
    def balance(self) -> int:
        return 0 if self.closed else self.owed

    @property
    def owed(self) -> int:
        """What is open, whatever the lease service says."""
        return sum(row.amount - row.paid for row in self.open_rows())

    def left(self) -> Parts:
        """What is open, by what it is for."""
        found = NOTHING
        for row in self.open_rows():
            found = plus(found, row.unpaid())
        return found

    @property
    def unapplied(self) -> int:
        """How many of the payment service's events the lease service may not have applied yet."""
        return self.sequences[PAYMENTS] - self.applied

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
        if source == PAYMENTS:
            self.left_after.append(self.left())
            self.kept_after.append(self.collected - self.refunded)

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
        if number is None:
            self.paid_off_by[attempt["attempt_id"]] = self.payoff_parts()
        self.emit(PAYMENTS, "payment.attempt_started", attempt)
        self._mark(attempt, "processing")
        return attempt

    def succeed(self, attempt: Attempt) -> None:
        """The money of an attempt moves; an instalment's or the payoff's."""
        self._resolve(attempt, "succeeded")
        self.collected += attempt["amount"]
        self.taken[attempt["attempt_id"]] = attempt
        if attempt["number"] is None:
            self._close(attempt)
            return
        row = self.rows[attempt["number"] - 1]
        parts = row.pay(attempt["amount"])
        row.status = "paid" if row.paid == row.amount else row.open_status
        if self.knows:
            row.status = "cancelled"
        due = 0 if self.knows else row.amount - row.paid
        after = {"amount_paid": row.paid, "amount_due": due, "payment_status": row.status}
        more = {"gateway_reference": "ch_1", "allocation": allocation(parts)}
        self.emit(PAYMENTS, "payment.succeeded", attempt | more | after)
        if not self.open_rows():
            self._paid_off(attempt, "payment")

    def close(self, how: str = "charged_off", unseen: int = 0) -> None:
        """The lease is cancelled or charged off, `unseen` of the payment service's events not yet applied."""
        seen = self.sequences[PAYMENTS] - unseen
        left = self.left_after[seen - 1] if seen else self.left_at_first
        about = {"lease_id": self.lease_id, "currency": self.currency, "reason": "returned unused"}
        amount = {"balance" if how == "cancelled" else "amount": sum(left), "payment_sequence": seen}
        self.status = how
        self.emit(LEASES, f"lease.{how}", about | amount | {"left": allocation(left)})

    def learn(self) -> None:
        """The payment service hears of it: open instalments are cancelled, those in flight when they land."""
        self.knows, self.delinquent = True, False
        self.learned_after = self.sequences[PAYMENTS]
        for row in self.open_rows():
            row.status = "processing" if row.status == "processing" else "cancelled"

    def refund(self, collected: Attempt, amount: int, kind: str = "refund", *, stops: bool = False) -> None:
        """Money of an attempt goes back, by a refund or a chargeback; of a payoff always all of it.

        Once the payment service knows that the lease was closed only what was paid on an instalment changes.
        `stops`: autopay collects none of it again.
        """
        stop = {"reason": "money_taken_back", "since": "2027-01-01T08:00:00.000000Z", "attempt_id": None}
        taken = collected | {"attempt_id": uuid7(), "kind": kind, "amount": amount}
        before = self.owed
        if kind == "refund":
            self.emit(PAYMENTS, "payment.attempt_started", taken)
        if collected["number"] is None:
            was = [] if self.knows else self.settled[collected["attempt_id"]]
            self.settled.pop(collected["attempt_id"], None)
            for row, row_amount, paid, paid_parts in was:
                row.amount, row.paid, row.paid_parts = row_amount, paid, paid_parts
            rows = [row for row, *_ in was]
            parts = self.paid_off_by[collected["attempt_id"]]
            saved = 0 if self.knows else sum(row.amount - row.paid for row in rows) - amount
        else:
            rows, saved = [self.rows[collected["number"] - 1]], 0
            parts = rows[0].take_back(amount)
        for row in rows:
            if row.status in ("paid", "cancelled"):
                row.open_status = self._by_day(row)
            row.status = "cancelled" if self.knows else row.open_status
        changed = [
            {
                "number": row.number,
                "payment_id": payment_id(self.lease_id, row.number),
                "status": row.status,
                "amount": row.amount,
                "amount_paid": row.paid,
                "amount_due": 0 if row.status == "cancelled" else row.amount - row.paid,
                "autopay_stopped": stop if stops else None,
            }
            for row in rows
        ]
        self.refunded += amount
        self.saved -= saved
        self.given_back[collected["attempt_id"]] = self.given_back.get(collected["attempt_id"], 0) + amount
        more = {"refunded_attempt_id": collected["attempt_id"], "reason": "broken"}
        more |= {"gateway_reference": "re_1"}
        result = {"allocation": allocation(parts), "instalments": changed, "interest_owed_again": saved}
        type_ = "payment.refunded" if kind == "refund" else "payment.charged_back"
        self.emit(PAYMENTS, type_, taken | more | result)
        assert self.owed == before + (0 if self.knows else amount + saved)
        if self.status == "paid_off":
            self.status, self.applied = "active", self.sequences[PAYMENTS]
            about = {"lease_id": self.lease_id, "currency": self.currency, "attempt_id": taken["attempt_id"]}
            self.emit(LEASES, "lease.reopened", about | {"balance": self.balance, "cause": kind})

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
        """A late fee for an instalment, which is late from now on; the first makes the lease delinquent.

        The payment service says so as long as it does not know that the lease was closed.
        """
        row = self.rows[number - 1]
        row.cost_more(fee)
        self._run(max(self.day or date(2027, 2, 1), row.due + timedelta(days=1)))
        about = {"lease_id": self.lease_id, "currency": self.currency, "as_of": str(self.day)}
        named = {"payment_id": payment_id(self.lease_id, number), "number": number, "due_date": row.due}
        after = {"amount_due": row.amount - row.paid, "payment_status": "late", "reason": "late"}
        self.emit(PAYMENTS, "lease.late_fee_assessed", about | named | after | {"amount": fee})
        if not self.delinquent:
            self.delinquent = True
            self.status = "delinquent" if self.status == "active" else self.status
            more = {"numbers": [number], "days_late": 6, "amount_late": row.amount - row.paid}
            self.emit(PAYMENTS, "lease.delinquent", about | more | {"reason": "late"})

    def change_autopay(
        self,
        *,
        on: bool = True,
        method: str = "pm_card",
        stopped: str | None = None,
        anew: Sequence[int] = (),
    ) -> None:
        """Autopay is changed, or its method stopped; these instalments begin anew."""
        why = {"reason": stopped, "since": "2027-01-01T08:00:00.000000Z", "attempt_id": uuid7()}
        about = {"lease_id": self.lease_id, "currency": self.currency}
        about |= {"autopay": on, "payment_method": method}
        rows = [{"number": number, "payment_id": payment_id(self.lease_id, number)} for number in anew]
        more = {"reason": stopped or "requested", "instalments": rows}
        self.emit(
            PAYMENTS, "lease.autopay_changed", about | more | {"autopay_stopped": why if stopped else None}
        )

    def _run(self, day: date) -> None:
        """A run of collections for a day: what is open goes by it."""
        self.day = day
        for row in self.rows:
            if row.status not in ("paid", "cancelled"):
                row.open_status = self._by_day(row)
                row.status = "processing" if row.status == "processing" else row.open_status

    def _by_day(self, row: Row) -> str:
        if self.day is None or row.due > self.day:
            return "scheduled"
        return "late" if row.due < self.day else "due"

    def be_cured(self) -> None:
        """The lease is no longer delinquent."""
        self.delinquent = False
        self.status = "active" if self.status == "delinquent" else self.status
        self._run(self.day or date(2027, 2, 1))
        about = {"lease_id": self.lease_id, "currency": self.currency, "as_of": str(self.day)}
        self.emit(PAYMENTS, "lease.cured", about | {"reason": "nothing is late any longer"})

    def payoff_amount(self) -> int:
        """What closes the lease on the due date of instalment `self.due`: later interest is not owed."""
        return sum(self.payoff_parts())

    def payoff_parts(self) -> Parts:
        """What the payoff is for; interest that was paid ahead is given back."""
        total = NOTHING
        for row in self.rows:
            saved = 0 if row.number <= self.due else row.interest
            total = plus(total, minus(row.unpaid(), (0, 0, saved, 0)))
        return total

    def quote(self) -> None:
        """Promise the payoff's amount; nothing moves."""
        amount = self.payoff_amount()
        day = self.rows[self.due - 1].due if self.due else date(2026, 12, 31)
        about = {"quote_id": uuid7(), "lease_id": self.lease_id, "currency": self.currency, "as_of": day}
        parts = {"principal": amount, "accrued_interest": 0, "fees": 0, "late_fees": 0, "credits": 0}
        what = {"amount": amount, "breakdown": parts, "interest_saved": self.balance - amount}
        until = {"formula": "payoff/1", "expires_at": f"{day + timedelta(days=1)}T00:00:00.000000Z"}
        self.emit(PAYMENTS, "payoff.quoted", about | what | until)

    def _close(self, attempt: Attempt) -> None:
        saved = 0 if self.knows else self.owed - attempt["amount"]
        parts = self.paid_off_by[attempt["attempt_id"]]
        closed = []
        if not self.knows:
            self.settled[attempt["attempt_id"]] = [
                (row, row.amount, row.paid, row.paid_parts) for row in self.open_rows()
            ]
        for row in [] if self.knows else self.open_rows():
            row.status = "paid" if row.number <= self.due else "cancelled"
            if row.status == "paid":
                row.pay(row.amount - row.paid)
            named = {"number": row.number, "payment_id": payment_id(self.lease_id, row.number)}
            closed.append(named | {"status": row.status, "amount_paid": row.paid})
        breakdown = {"accrued_interest": 0, "fees": 0, "late_fees": 0, "principal": attempt["amount"]}
        day = self.rows[self.due - 1].due if self.due else date(2026, 12, 31)
        more = {"as_of": day, "breakdown": breakdown | {"credits": 0}, "allocation": allocation(parts)}
        result = {"interest_saved": saved, "formula": "payoff/1", "instalments": closed}
        self.saved += saved
        self.emit(PAYMENTS, "payoff.succeeded", attempt | {"gateway_reference": None} | more | result)
        self._paid_off(attempt, "payoff")

    def _paid_off(self, attempt: Attempt, cause: str) -> None:
        if self.closed:
            return
        self.status, self.applied = "paid_off", self.sequences[PAYMENTS]
        about = {"lease_id": self.lease_id, "currency": self.currency, "attempt_id": attempt["attempt_id"]}
        paid = self.collected - self.refunded
        self.emit(LEASES, "lease.paid_off", about | {"amount_paid": paid, "cause": cause})
        if self.delinquent:  # the payment service, as soon as it hears of it
            self.be_cured()

    def _mark(self, attempt: Attempt, status: str) -> None:
        if self.knows and status != "processing":
            status = "cancelled"
        if attempt["number"]:
            self.rows[attempt["number"] - 1].status = status

    def _open_again(self, attempt: Attempt) -> None:
        if attempt["number"]:
            self._mark(attempt, self.rows[attempt["number"] - 1].open_status)

    def _resolve(self, attempt: Attempt, outcome: str) -> None:
        if self.unresolved.pop(attempt["attempt_id"], None):
            self.emit(PAYMENTS, "payment.resolved", attempt | {"outcome": outcome})
