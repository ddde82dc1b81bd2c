"""`python -m ledger_svc replay verify|rebuild|events`."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack

from common.kernel.ids import canonical_uuid
from common.postgres.pool import connect
from common.replay.bounds import Bounds
from common.replay.cli import FINE, FOUND, STATUS, add_end, add_json, add_start, run
from common.replay.progress import say
from common.replay.report import show
from common.runtime.settings import Settings
from ledger_svc.replay import event_listing
from ledger_svc.replay.bounds import LEDGER, STREAM
from ledger_svc.replay.rebuild import rebuild
from ledger_svc.replay.tree import Recomputed, verify_entries
from ledger_svc.replay.verify import Verified, verify_stream

SCHEMA = "ledger"


def main(arguments: Sequence[str]) -> int:
    """Do what is asked for; `verify` where nothing is. Returns the exit status."""
    given = list(arguments)
    if not given or (given[0].startswith("-") and given[0] not in ("-h", "--help")):
        given.insert(0, "verify")
    parser = _parser()
    chosen = parser.parse_args(given)
    if chosen.command == "rebuild" and chosen.switch and chosen.to is not None:
        parser.error("--switch: a ledger that ends earlier cannot take the live one's place")
    limits = Bounds(start=getattr(chosen, "start", None), end=chosen.to)
    work = {"verify": _verify, "rebuild": _rebuild, "events": _events}[chosen.command]
    return run("ledger_svc replay", lambda settings: work(settings, chosen, limits))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ledger_svc replay",
        description="Read again what the ledger was made of. Nothing is sent to anybody. Needs AMQP_URL and"
        " DATABASE_URL; without a command: verify.",
        epilog=STATUS,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    verify = commands.add_parser(
        "verify",
        help="hold the stream against the entries; or work out all hashes and totals from the entries",
        epilog=STATUS,
    )
    rebuilding = commands.add_parser(
        "rebuild",
        help="build a second ledger beside the live one, in the schema ledger_rebuilt, and compare them",
        epilog=STATUS + " DATABASE_URL has to be of the database's owner.",
    )
    rebuilding.add_argument(
        "--switch", action="store_true", help="put it in the live one's place, where both are the same log"
    )
    events = commands.add_parser(
        "events", help="print events as they were published, one a line", epilog=STATUS
    )
    events.add_argument("--type", help="only of this type")
    events.add_argument("--lease", type=_uuid, help="only of this lease")
    for each in (verify, rebuilding, events):
        each.add_argument(
            "--source",
            choices=(STREAM, LEDGER),
            default=STREAM,
            help="the broker's stream (default); or the ledger's entries, whose offsets are their seqs",
        )
    for each in (verify, events):
        add_start(each)
    for each in (verify, rebuilding, events):
        add_end(each)
    for each in (verify, rebuilding):
        add_json(each)
    return parser


def _uuid(text: str) -> str:
    if (canonical := canonical_uuid(text)) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no lease's id")
    return canonical


async def _verify(settings: Settings, chosen: argparse.Namespace, limits: Bounds) -> int:
    async with connect(settings.database_url, SCHEMA, name="replay") as connection:
        report: Verified | Recomputed
        if chosen.source == STREAM:
            report = await verify_stream(connection, settings.amqp_url, limits)
        else:
            report = await verify_entries(connection, limits)
    show(report, as_json=chosen.json)
    return FINE if report.same else FOUND


async def _rebuild(settings: Settings, chosen: argparse.Namespace, limits: Bounds) -> int:
    urls = settings.database_url, settings.amqp_url
    report = await rebuild(*urls, chosen.source, limits, switch_to_it=chosen.switch)
    show(report, as_json=chosen.json)
    return FINE if (report.switched if chosen.switch else report.same) else FOUND


async def _events(settings: Settings, chosen: argparse.Namespace, limits: Bounds) -> int:
    async with AsyncExitStack() as stack:
        if chosen.source == STREAM:
            reading = event_listing.from_stream(settings.amqp_url, limits)
        else:
            connecting = connect(settings.database_url, SCHEMA, name="replay")
            reading = event_listing.from_ledger(
                await stack.enter_async_context(connecting), limits, chosen.lease
            )
        out = sys.stdout.buffer
        listed = await event_listing.list_events(
            reading, limits, out, type_=chosen.type, lease_id=chosen.lease
        )
    say(f"{listed.events} events")
    if listed.with_line_breaks:
        say(f"{listed.with_line_breaks} of them have line breaks, printed as spaces")
    return FINE
