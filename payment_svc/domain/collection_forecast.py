"""A dry run: what a collection run would do as things stand, lease by lease. Pure; nothing is changed.

It decides by the same function as a run and takes for granted that every attempt succeeds. So an instalment
that would be tried has no late fee and makes no lease delinquent, and what is paid may cure one.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import date
from itertools import compress
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from common.kernel.money import MinorUnits
from payment_svc.application.collection_run import RunResult
from payment_svc.domain import collection_rules
from payment_svc.domain.attempt import Account, Payment


class Sums(msgspec.Struct, frozen=True, kw_only=True):
    """How many there are in a currency, and how much that is."""

    currency: Annotated[str, Meta(description="ISO 4217")]
    count: int
    amount: MinorUnits


class DryRunResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a run would do: the counts of a run, and how much it would charge and assess."""

    run_id: None = None  # there is no such run
    as_of: date
    dry_run: Literal[True] = True
    leases: int
    due: int
    attempted: int
    succeeded: int  # all attempts: a dry run asks no issuer
    declined: int
    unknown: int
    late_fees: int
    delinquent: int
    cured: int
    charges: list[Sums]  # by currency: the attempts
    fees: list[Sums]  # by currency: the late fees


class RunAnswer(RunResult, frozen=True, kw_only=True):
    """What a run has done; of a dry run, what it would do if every attempt succeeded."""

    run_id: Annotated[str | None, Meta(description="null: a dry run")]  # type: ignore[assignment]
    dry_run: Annotated[
        Literal[True] | msgspec.UnsetType, Meta(description="only of a dry run, as are the next two")
    ] = msgspec.UNSET
    charges: Annotated[list[Sums] | msgspec.UnsetType, Meta(description="by currency: the attempts")] = (
        msgspec.UNSET
    )
    fees: Annotated[list[Sums] | msgspec.UnsetType, Meta(description="by currency: the late fees")] = (
        msgspec.UNSET
    )


class Forecast:
    """Adds up what a run would do; it keeps sums only."""

    def __init__(self, as_of: date) -> None:
        self.as_of = as_of
        self._counts: Counter[str] = Counter()
        self._charges: Counter[str] = Counter()  # by currency, as are the next three
        self._charged: Counter[str] = Counter()
        self._fees: Counter[str] = Counter()
        self._fined: Counter[str] = Counter()

    def add(self, account: Account, reached: Sequence[Payment], next_due: date | None) -> None:
        """One lease with its open instalments that fall due by the day, as `work_through` takes them."""
        collection_rules.stop_dead_method(account, reached)
        decided = collection_rules.decide(account, reached, next_due, self.as_of)
        # One after the other, each of which succeeds; what is under way already is waited for.
        begins = any(each.attempt for each in decided.instalments)
        tried = [begins and (each.attempt or each.waits) for each in decided.instalments]
        charges = list(compress((each.payment.amount_due for each in decided.instalments), tried))
        fees = sum(each.late_fee for each in decided.instalments)
        counts, currency = self._counts, account.currency
        counts["leases"] += account.collected_as_of != self.as_of
        counts["due"] += sum(each.newly_due for each in decided.instalments)
        counts["attempted"] += len(charges)
        counts["late_fees"] += fees
        counts["delinquent"] += bool(decided.delinquent)
        late = any(
            not charged and collection_rules.keeps_delinquent(account, each.payment, self.as_of)
            for each, charged in zip(decided.instalments, tried, strict=True)
        )
        counts["cured"] += account.delinquent and bool(charges) and not late and not decided.cured
        self._charges[currency] += len(charges)
        self._charged[currency] += sum(charges)
        self._fees[currency] += fees
        self._fined[currency] += fees * account.late_fee

    def result(self) -> DryRunResult:
        """What all of it adds up to."""
        counts = self._counts
        return DryRunResult(
            as_of=self.as_of,
            leases=counts["leases"],
            due=counts["due"],
            attempted=counts["attempted"],
            succeeded=counts["attempted"],
            declined=0,
            unknown=0,
            late_fees=counts["late_fees"],
            delinquent=counts["delinquent"],
            cured=counts["cured"],
            charges=_sums(self._charges, self._charged),
            fees=_sums(self._fees, self._fined),
        )


def _sums(times: Counter[str], amounts: Counter[str]) -> list[Sums]:
    return [
        Sums(currency=currency, count=count, amount=amounts[currency])
        for currency, count in sorted(times.items())
        if count
    ]
