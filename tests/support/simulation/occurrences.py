"""What has happened in random lives, counted when they end: a kind that never occurs is tested by nothing."""

from collections import Counter

from tests.support.simulation.world import World

TALLY: Counter[str] = Counter()  # of this process: steps, lives, and how often each kind has occurred
MISSED_DAYS = "missed days made up"  # runs that the scheduler has asked for

_EVENTS = (
    "SELECT body ->> 'type' AS type, body -> 'data' AS data FROM (SELECT convert_from(body, 'UTF8')::json"
    " AS body FROM payment.outbox) AS told"
)
_TOLD = f"SELECT count(*) FROM ({_EVENTS}) AS e WHERE type = "

# How often each has occurred in one life.
KINDS = {
    "changes of the method": f"{_TOLD} 'lease.autopay_changed' AND data ->> 'reason' = 'requested'",
    "hard declines that stop it": f"{_TOLD} 'lease.autopay_changed' AND data ->> 'reason' = 'hard_decline'",
    "several instalments in one run": """
        SELECT count(*) FROM (SELECT FROM payment.attempts WHERE run_id IS NOT NULL
                               GROUP BY run_id, lease_id HAVING count(*) > 1) AS several""",
    "partial refunds": """
        SELECT count(*) FROM payment.attempts AS r JOIN payment.attempts AS a ON a.attempt_id = r.refunds
         WHERE r.status = 'succeeded' AND r.kind = 'refund' AND r.amount < a.amount""",
    "chargebacks": "SELECT count(*) FROM payment.attempts WHERE kind = 'chargeback'",
    "dry runs": """
        SELECT count(*) FROM payment.commands
         WHERE type = 'RunCollections' AND status = 'succeeded' AND body ->> 'dry_run' = 'true'""",
    "days nobody ran for": """
        SELECT count(*) FROM payment.collection_runs AS r
         WHERE EXISTS (SELECT FROM payment.collection_runs AS p WHERE p.as_of < r.as_of - 1)
           AND NOT EXISTS (SELECT FROM payment.collection_runs AS p WHERE p.as_of = r.as_of - 1)""",
    "late fees": f"{_TOLD} 'lease.late_fee_assessed'",
    "fees waived by a quote": f"""
        {_TOLD} 'payoff.succeeded' AND (data -> 'waived' ->> 'late_fees')::bigint > 0""",
    "payoffs below zero": f"{_TOLD} 'payoff.succeeded' AND (data ->> 'refund_due')::bigint > 0",
    "returns of what was due": f"{_TOLD} 'payment.refunded' AND data ->> 'reason' = 'refund_due'",
    "delinquent": f"{_TOLD} 'lease.delinquent'",
    "cured": f"{_TOLD} 'lease.cured'",
    "unknown, then resolved": f"{_TOLD} 'payment.resolved'",
    "closed leases": "SELECT count(*) FROM payment.accounts WHERE closed IS NOT NULL",
    "events in the ledger": "SELECT count(*) FROM ledger.entries",
}


async def count(world: World) -> None:
    """A life has come to its end, and all books agree."""
    TALLY["lives"] += 1
    for kind, query in KINDS.items():
        TALLY[kind] += await world.owner.fetchval(query)
