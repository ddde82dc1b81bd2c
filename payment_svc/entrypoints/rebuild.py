"""`python -m payment_svc rebuild`: accounts and all that belongs to them built anew, beside the live ones."""

from collections.abc import Sequence
from pathlib import Path

from common.postgres.migrations import MESSAGING
from common.postgres.pool import Connection
from common.replay.cli import rebuild_projection
from common.replay.projection_rebuild import Projection
from common.replay.shadow_schema import Table
from payment_svc.adapters.postgres import account_repository, quote_repository
from payment_svc.application.projection import Folded, fold
from payment_svc.domain.payoff import REST

ACCOUNTS = Table(
    name="accounts",
    key=("lease_id",),
    compared=(
        *("currency", "principal", "annual_rate", "day_count", "start_date", "payment_method", "autopay"),
        "autopay_stopped",
        *("grace_days", "late_fee", "delinquent", "payoff_in_flight", "payoff_standing", "closed"),
        *("money_moves", "event_sequence", "lease_sequence"),
    ),
    left_out={
        "next_look_on": "a collection run that finds nothing to do tells nothing",
        "collected_as_of": "the same",
    },
)
PAYMENTS = Table(
    name="payments",
    key=("lease_id", "number"),
    compared=(
        *("payment_id", "due_date", "principal", "interest", "fees", "late_fees", "paid_principal"),
        *("paid_interest", "paid_fees", "paid_late_fees", "principal_balance", "in_flight", "attempts"),
        "CASE WHEN status IN ('scheduled', 'due', 'late') THEN 'open' ELSE status END",
        *("next_retry_at", "last_attempt_id", "autopay_since", "autopay_declines"),
        "autopay_stopped",
        *("autopay_failures", "cancelled_by_payoff", "late_fees_waived", "first_tried_on", "moved"),
    ),
    left_out={
        "status": "of an open one, scheduled, due or late: no event says that a day has come",
        "autopay_over": "an earlier version's, in place of autopay_stopped",
    },
)
ATTEMPTS = Table(
    name="attempts",
    key=("attempt_id",),
    compared=(
        *("command_id", "lease_id", "payment_id", "number", "kind", "amount", "currency", "payment_method"),
        *("status", "decline", "gateway_reference", "payoff", "traceparent", "created_at", "settled_at"),
        *("refunds", "reason", "notice_id", "refunded", "run_id", "as_of", "after_closing"),
        "refund_due_of",
    ),
    left_out={
        "checks": "how often the gateway is asked",
        "next_check_at": "when it is asked next",
        "taken_up_at": "when it was last made once more",
        "failures": "how often that was in vain",
        "cured": "it goes by the day of the last run, which no event tells of; `lease.cured` says the rest",
    },
)
QUOTES = Table(
    name="quotes",
    key=("quote_id",),
    compared=(
        *("lease_id", "as_of", "amount", "payoff", "formula", "created_at", "expires_at", "used_by"),
        f"CASE WHEN formula <> '{REST}' THEN state END",
    ),
    left_out={"state": "of a rest's quote: no event says which digest it was given with"},
)
LEFT_OUT = {
    "returns": "what is to be taken up (again)",
    "collection_runs": "who asked for a run, when it began and ended, and its counts",
    "collection_waiters": "who waits for a run",
    "commands": "what was asked, and the answers",
    "gateway_health": "whether the gateway answers just now",
    "outbox": "what was told",
    "outbox_pending": "what is still to be published",
}


async def save(connection: Connection, folded: Sequence[Folded]) -> None:
    """Write accounts with all that belongs to them."""
    accounts = [each.account for each in folded]
    payments = [payment for each in folded for payment in each.payments.values()]
    attempts = [attempt for each in folded for attempt in each.attempts.values()]
    quotes = [quote for each in folded for quote in each.quotes.values()]
    positions = {account.lease_id: account.lease_sequence for account in accounts}
    await account_repository.insert_leases(connection, [each.created for each in folded], positions)
    await account_repository.update(connection, accounts, payments)
    await account_repository.update_owed(connection, payments)
    await account_repository.close(
        connection, {account.lease_id: account.closed for account in accounts if account.closed}
    )
    await account_repository.insert_attempts(connection, attempts)
    await account_repository.update_attempts(connection, attempts)
    await account_repository.update_refunded(connection, attempts)
    await quote_repository.insert(connection, quotes)
    await quote_repository.claim(connection, [quote for quote in quotes if quote.used_by])


PROJECTION = Projection(
    schema="payment",
    migrations=(MESSAGING, Path(__file__).parents[1] / "adapters/postgres/migrations"),
    leases="accounts",
    positions="event_sequence, lease_sequence",
    tables=(ACCOUNTS, PAYMENTS, ATTEMPTS, QUOTES),
    left_out=LEFT_OUT,
    fold=fold,
    save=save,
)


def main(arguments: Sequence[str]) -> int:
    """Build, compare and report. Returns the exit status."""
    return rebuild_projection("payment_svc", PROJECTION, arguments)
