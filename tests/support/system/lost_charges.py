"""Charges that went down with a gateway: nobody can know of them, so their attempts stay `unknown`."""

import aiohttp

from tests.support.system.client import Client
from tests.support.system.system import System
from tests.support.waiting import eventually

_UNKNOWN = """
SELECT attempt_id::text, lease_id::text, payment_id::text, amount, currency, payment_method
  FROM payment.attempts WHERE status = 'unknown'
"""
_NOT_ASKED_ABOUT = """
SELECT count(*) FROM payment.attempts WHERE status = 'started' OR (status = 'unknown' AND checks = 0)
"""


async def turn_up(system: System, client: Client) -> None:
    """Only what the gateway knows nothing of is unknown, and cannot be paid; then it turns up there."""
    await _only_lost_ones_are_unknown(system, client)
    for attempt in await system.rows(_UNKNOWN):
        assert (await client.attempt(attempt["payment_id"])).status == 409
        await client.charge(dict(attempt))
    await system.back("payment-worker", await system.kill("payment-worker"))  # it asks again when it starts


async def _only_lost_ones_are_unknown(system: System, client: Client) -> None:
    async def asked() -> bool:
        return not await system.value(_NOT_ASKED_ABOUT)

    await eventually(asked, "the gateway has been asked", within_s=60)

    async def none_is_known() -> bool:
        try:  # it may not be back yet; and what was asked about while it was away is asked about again
            unknown = await system.rows(_UNKNOWN)
            found = [await client.charges(attempt_id=row["attempt_id"]) for row in unknown]
        except aiohttp.ClientError:
            return False
        return not any(found)

    await eventually(none_is_known, "the gateway knows nothing of what is unknown", within_s=60)
