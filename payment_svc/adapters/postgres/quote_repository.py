"""Quotes in Postgres: one statement for a whole batch. Rows change only while their account is locked."""

from collections.abc import Sequence

from common.postgres.pool import Connection
from payment_svc.adapters.postgres.account_repository import decode_payoff, encode, queries
from payment_svc.domain.payoff_quote import Quote


async def get(connection: Connection, ids: Sequence[str]) -> dict[str, Quote]:
    """Quotes by their ids; unknown ones are missing."""
    if not ids:
        return {}
    rows = await connection.fetch(queries.get_quotes, ids)
    return {
        row["quote_id"]: Quote(**dict(row.items()) | {"payoff": decode_payoff(row["payoff"])}) for row in rows
    }


async def insert(connection: Connection, given: Sequence[Quote]) -> None:
    """Write new quotes; nobody uses them yet."""
    if given:
        await connection.execute(
            queries.insert_quotes,
            [quote.quote_id for quote in given],
            [quote.lease_id for quote in given],
            [quote.payoff.as_of for quote in given],
            [quote.payoff.amount for quote in given],
            [encode(quote.payoff) for quote in given],
            [quote.payoff.formula for quote in given],
            [quote.state for quote in given],
            [quote.created_at for quote in given],
            [quote.expires_at for quote in given],
        )


async def claim(connection: Connection, used: Sequence[Quote]) -> None:
    """Give quotes to the attempts that use them. Raises RuntimeError where one is another's already.

    That cannot be, as accounts are locked; but it is the table that keeps a quote from being used twice.
    """
    if used:
        taken = await connection.fetch(
            queries.claim_quotes, [quote.quote_id for quote in used], [quote.used_by for quote in used]
        )
        if len(taken) != len(used):
            raise RuntimeError(f"of {len(used)} quotes {len(used) - len(taken)} are in use already")


async def free(connection: Connection, attempt_ids: Sequence[str]) -> None:
    """What these attempts used can be used again: they moved no money."""
    if attempt_ids:
        await connection.execute(queries.free_quotes, attempt_ids)
