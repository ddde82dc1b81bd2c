"""`make loadtest`: the users of all three services against a running system, without a web page."""

import argparse
import math
import os
import sys
from collections.abc import Coroutine
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import uvloop

from deployment.local.service_urls import addresses
from perf.load import durations
from perf.loadtest import closed_model, open_model
from perf.reporting import page, text
from perf.reporting.page import DIRECTORY
from perf.stats.run import Run

PROJECT = Path(__file__).parents[2]


def main() -> None:
    """Become Locust, or the open model where a rate is given, or a closed loop without pauses for `max`.

    The exit code: 0 when the thresholds are kept, 1 when not, 2 for wrong options.
    """
    asked = _parser().parse_args()
    if asked.rate == math.inf:
        sys.exit(_carried_out(closed_model.measure(asked.users, asked.run_time, asked.seed)))
    if asked.rate is not None:
        sys.exit(_carried_out(open_model.measure(asked.rate, asked.run_time, asked.seed)))
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    command = [
        *(sys.executable, "-m", "locust", "-f", str(PROJECT / "tests/load/locustfile.py")),
        *("--headless", "--only-summary", "--reset-stats", "--host", addresses()["lease"]),
        *("--users", str(asked.users), "--spawn-rate", str(asked.spawn_rate)),
        *("--run-time", str(asked.run_time)),
        *(
            "--html",
            str(DIRECTORY / f"loadtest-{stamp}.html"),
            "--json-file",
            str(DIRECTORY / f"loadtest-{stamp}"),
        ),
        *asked.classes,
    ]
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    os.chdir(PROJECT)  # where the packages are found
    os.execv(sys.executable, command)


def _carried_out(measuring: Coroutine[object, object, Run]) -> int:
    """The exit code."""
    try:
        run = uvloop.run(measuring)
        path = page.write(run)
    except (OSError, aiohttp.ClientError) as error:
        print(f"The system cannot be used ({error}): start it with `make up`.", file=sys.stderr)
        return 2
    text.told(text.terminal(), run, path)
    return 0 if run.verdict else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m perf.loadtest",
        description="Loads a running system with Locust, holds it to perf/thresholds.toml, and leaves a"
        " report in perf/reports/.",
        epilog="The services are found by LEASE_SERVICE_URL, PAYMENT_SERVICE_URL and LEDGER_SERVICE_URL"
        " (default: where `make up` has started them). With a web page:"
        " locust -f tests/load/locustfile.py --host=http://localhost:8000",
    )
    users = os.environ.get("USERS") or os.environ.get("NUM_USERS") or "10"
    spawn_rate = os.environ.get("SPAWN_RATE") or "1"
    run_time = os.environ.get("RUN_TIME") or "5m"
    parser.add_argument(
        "--users", type=int, default=users, help="at once; default: USERS, NUM_USERS, else 10"
    )
    parser.add_argument(
        "--spawn-rate",
        type=float,
        default=spawn_rate,
        help="users begun a second; default: SPAWN_RATE, else 1",
    )
    parser.add_argument(
        "--run-time", type=_seconds, default=run_time, help='"30s", "5m", "1h30m"; default: RUN_TIME, else 5m'
    )
    rate = os.environ.get("RATE") or None
    parser.add_argument(
        "--rate",
        type=_rate,
        default=rate,
        help="an open model instead of users: so many requests a second, arriving at random; `max`: as many"
        " as so many connections get answered; default: RATE",
    )
    parser.add_argument("--seed", type=int, default=1, help="of the arrival times")
    parser.add_argument(
        "classes",
        nargs="*",
        help="only LeaseServiceLoadTest, PaymentServiceLoadTest or LedgerServiceLoadTest; default: all",
    )
    return parser


def _rate(text: str) -> float:
    """Requests a second; infinite for `max`."""
    rate = math.inf if text == "max" else float(text)
    if not rate > 0:
        raise argparse.ArgumentTypeError("above 0, or `max`")
    return rate


def _seconds(text: str) -> int:
    try:
        return durations.seconds(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


if __name__ == "__main__":
    main()
