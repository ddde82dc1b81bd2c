"""The live check of the books, in the front's metrics: what must be 0, and what may not be negative."""

import asyncio

import structlog
from prometheus_client import Gauge

from common.postgres.pool import Pool
from ledger_svc.accounting.account_balances import Balance, trial_balance
from ledger_svc.accounting.totals import Amounts
from ledger_svc.event_types.basics.accounts import FEES, PRINCIPAL, SUSPENSE
from ledger_svc.log import repository
from ledger_svc.log.repository import Head

log = structlog.get_logger()

LOOK_EVERY_S = 5.0

DIFFERENCE = Gauge(
    "ledger_trial_balance_difference", "Sum of all debits less sum of all credits: 0", ["currency"]
)
IN_SUSPENSE = Gauge("ledger_suspense", "Balance of the suspense account: 0", ["currency"])
THROUGH_SUSPENSE = Gauge(
    "ledger_suspense_turnover",
    "All that was ever booked on the suspense account, debits and credits together: 0",
    ["currency"],
)
UNEARNED = Gauge(
    "ledger_unearned_interest", "Outstanding less what the receivables hold: never negative", ["currency"]
)


async def watch(pool: Pool) -> None:
    """Keep the gauges as the last batch says, until cancelled; what is wrong is also logged, once a batch."""
    seen = Head()
    while True:
        try:
            end = await repository.head(pool)
            if end != seen:  # of as many entries there may be another, where a rebuilt ledger took its place
                show(end)
                seen = end
        except Exception as error:  # whatever it is: the front's other routes go on
            log.warning("ledger.balance_not_seen", error=repr(error))
        await asyncio.sleep(LOOK_EVERY_S)


def show(end: Head) -> None:
    """Set the gauges."""
    for currency, balance in trial_balance(end.totals.books or {}).items():
        found = balance.difference, _on(balance, SUSPENSE), _unearned(balance, end.totals.amounts[currency])
        THROUGH_SUSPENSE.labels(currency).set(_turnover(balance, SUSPENSE))
        for gauge, value in zip((DIFFERENCE, IN_SUSPENSE, UNEARNED), found, strict=True):
            gauge.labels(currency).set(value)
        difference, in_suspense, unearned = found
        if difference or in_suspense or unearned < 0:
            log.error(
                "ledger.out_of_balance",
                seq=end.last_seq,
                currency=currency,
                difference=difference,
                suspense=in_suspense,
                unearned_interest=unearned,
            )


def _on(balance: Balance, *accounts: str) -> int:
    return sum(each.balance for each in balance.accounts if each.account in accounts)


def _turnover(balance: Balance, account: str) -> int:
    """What was booked on it: more than 0 also where what came in has gone out again, unlike its balance."""
    return sum(each.debits + each.credits for each in balance.accounts if each.account == account)


def _unearned(balance: Balance, amounts: Amounts) -> int:
    """Interest that is still to be collected: no receivable holds it, for it is income only then."""
    return amounts.outstanding - _on(balance, PRINCIPAL, FEES)
