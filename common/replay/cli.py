"""What commands that read events again have in common: options, exit status, and how a report is shown."""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import asyncpg
import uvloop

from common.observability.logging import configure_logging
from common.replay import bounds
from common.replay.bounds import Bounds, Unreadable
from common.replay.projection_rebuild import Projection, rebuild
from common.replay.report import show
from common.runtime.settings import Settings

FINE, FOUND, UNREADABLE = 0, 1, 2  # exit status; argparse's own for wrong usage is 2 as well
STATUS = "Exit status: 0 everything is the same, 1 something is not, 2 wrong usage or cannot be read."


def add_end(parser: argparse.ArgumentParser) -> None:
    """Add the option for where to end."""
    parser.add_argument(
        "--to",
        type=_point(bounds.end),
        default=None,
        metavar="POINT",
        help="the last offset, an RFC 3339 time, or `end` (default): what is there when it begins",
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add the option for how to report."""
    parser.add_argument("--json", action="store_true", help="print the report as JSON on standard output")


def add_start(parser: argparse.ArgumentParser) -> None:
    """Add the option for where to begin."""
    parser.add_argument(
        "--from",
        dest="start",
        type=_point(bounds.start),
        default=None,
        metavar="POINT",
        help="the first offset, an RFC 3339 time, or `first` (default)",
    )


def _point(parse: Callable[[str], bounds.Point]) -> Callable[[str], bounds.Point]:
    def point(text: str) -> bounds.Point:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text!r} is no offset and no RFC 3339 time") from error

    return point


def run(name: str, work: Callable[[Settings], Coroutine[Any, Any, int]]) -> int:
    """Do it, with the settings of the environment. Returns the exit status."""
    try:
        settings = Settings.from_environment()
        configure_logging(settings.log_level, service=name)
        return uvloop.run(work(settings))
    except (Unreadable, ValueError) as error:
        reason = str(error)
    except BrokenPipeError:  # whoever read has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FINE
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        reason = f"the database cannot be used: {error!r}"
    except (KeyboardInterrupt, asyncio.CancelledError):
        reason = "interrupted"
    print(f"{name}: {reason}", file=sys.stderr)
    return UNREADABLE


def rebuild_projection(service: str, projection: Projection[Any], arguments: Sequence[str]) -> int:
    """`python -m <service> rebuild`."""
    schema = f"{projection.schema}_rebuilt"
    parser = argparse.ArgumentParser(
        prog=f"python -m {service} rebuild",
        description=f"Build the projection anew from events, in the schema {schema}, and compare it with the"
        " live one. Needs AMQP_URL, and DATABASE_URL of the database's owner; sends nothing to anybody.",
        epilog=STATUS,
    )
    parser.add_argument(
        "--source",
        default="stream",
        metavar="stream|FILE|-",
        help="the broker's stream (default), or a file of events, one a line; `-`: standard input",
    )
    add_end(parser)
    add_json(parser)
    chosen = parser.parse_args(arguments)
    if chosen.source != "stream" and isinstance(chosen.to, int):
        parser.error("--to: an offset means a place in the stream")

    async def work(settings: Settings) -> int:
        limits = Bounds(end=chosen.to)
        urls = settings.database_url, settings.amqp_url
        report = await rebuild(projection, *urls, chosen.source, limits)
        show(report, as_json=chosen.json)
        return FINE if report.same else FOUND

    return run(f"{service} rebuild", work)
