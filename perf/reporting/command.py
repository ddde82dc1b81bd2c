"""What the commands of measurements have in common: measure, report, show, exit."""

import sys
from collections.abc import Callable
from typing import NoReturn

import aiohttp
from rich.console import Console

from deployment.errors import StackError
from perf.reporting import page, text
from perf.stats.run import Run


def carry_out(console: Console, measure: Callable[[], Run], *errors: type[Exception]) -> NoReturn:
    """Exits with 0 when the thresholds are kept, 1 when not, and with words where it was cut short.

    `errors`: what else may cut it short.
    """
    cut_short: tuple[type[Exception], ...] = (StackError, OSError, aiohttp.ClientError, *errors)
    try:
        run = measure()
        path = page.write(run)
    except cut_short as error:
        sys.exit(f"The measurement was cut short: {str(error) or repr(error)}")
    text.told(console, run, path)
    sys.exit(0 if run.verdict else 1)
