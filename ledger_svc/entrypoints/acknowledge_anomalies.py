"""`python -m ledger_svc accept`: somebody has looked at anomalies that nothing heals: settled."""

import argparse
import asyncio
import sys
from collections.abc import Sequence

from common.observability.logging import configure_logging
from common.postgres.pool import TRANSIENT, open_pool
from common.runtime.settings import Settings
from ledger_svc.bootstrap import SCHEMA
from ledger_svc.log.anomalies import annotate, queries


def main(arguments: Sequence[str]) -> int:
    """Returns the exit status: 0, 1 where one of them is not open, 2 without the database."""
    parser = argparse.ArgumentParser(
        prog="python -m ledger_svc accept",
        description="Note of open anomalies that somebody has looked at them. They stay in the list, as"
        " healed, with the note; nothing else changes. DATABASE_URL (of ledger_writer, or the owner): where.",
    )
    parser.add_argument("anomaly", type=int, nargs="+", help="anomaly_id, as the list over HTTP has it")
    parser.add_argument("--note", required=True, help="who has looked at it, and what it was")
    chosen = parser.parse_args(arguments)
    configure_logging("error")
    try:
        return asyncio.run(_accept(Settings.from_environment(), chosen.anomaly, chosen.note))
    except (*TRANSIENT, ValueError) as error:
        print(f"accept: {error!r}", file=sys.stderr)
        return 2


async def _accept(settings: Settings, anomalies: Sequence[int], words: str) -> int:
    status = 0
    async with open_pool(settings.database_url, SCHEMA, name="accept", size=1) as pool:
        for anomaly_id in anomalies:
            if not await pool.fetchval(queries.is_open, anomaly_id):
                print(f"{anomaly_id} is no open anomaly", file=sys.stderr)
                status = 1
                continue
            await annotate(pool, anomaly_id, f"accepted: {words}", healed=True)
            print(f"{anomaly_id} is accepted")
    return status
