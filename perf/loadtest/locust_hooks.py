"""Around a run of Locust: defaults from the environment, progress, the verdict and its exit code."""

import functools
import os
import sys
import threading
import time
from typing import Any

import msgspec
from locust import events
from locust.env import Environment
from locust.runners import WorkerRunner
from rich.console import Console

from perf import thresholds
from perf.checks.conservation import RequestCounts, together
from perf.checks.ledger_totals import Check
from perf.load import durations
from perf.loadtest import report, verdict
from perf.loadtest.recorder import Recorder
from perf.loadtest.user import COUNTS, SET_UP, address
from perf.loadtest.verdict import Endpoint, LoadRun
from perf.reporting import page
from perf.thresholds import Load

# Environment variable → option of Locust and default. Locust's own variables and the command line go first.
DEFAULTS = {
    "NUM_USERS": ("num_users", "10"),
    "SPAWN_RATE": ("spawn_rate", "1"),
    "RUN_TIME": ("run_time", "5m"),
}
PROGRESS_EVERY_S = 5.0
WIDTH = 130  # where the output is no terminal: the names of endpoints are long


@functools.cache  # however many files with users are loaded
def register() -> None:
    """Listen to what Locust tells. To be called by a file with users when it is loaded."""
    events.init_command_line_parser.add_listener(set_defaults)
    events.init.add_listener(_attend)


def set_defaults(parser: Any, **_: Any) -> None:
    """NUM_USERS, SPAWN_RATE and RUN_TIME, where the command line does not say otherwise."""
    values = {option: os.environ.get(name) or default for name, (option, default) in DEFAULTS.items()}
    try:
        values["run_time"] = str(durations.seconds(values["run_time"]))
    except ValueError as error:
        sys.exit(f"RUN_TIME: {error}")
    parser.set_defaults(**values)


def _attend(environment: Environment, **_: Any) -> None:
    """A run begins, or the web page does from which runs are begun."""
    # gevent's clock stands still while modules are imported, and would end the run that much too soon.
    time.sleep(0.001)
    if isinstance(environment.runner, WorkerRunner):
        environment.events.report_to_master.add_listener(_report_counts)
        return  # its master knows all else that it knows
    bounds = thresholds.load().load
    if not _headless(environment):
        _attend_page(environment, bounds)
        return
    counts: dict[str, RequestCounts] = {}  # of the workers, if any, by name

    def keep(client_id: str, data: dict[str, Any], **_: Any) -> None:
        if "counts" in data:
            counts[client_id] = msgspec.convert(data["counts"], RequestCounts)

    environment.events.worker_report.add_listener(keep)
    check = Check(address(environment, "ledger"))
    check.begin()
    recorder = Recorder(environment)
    ended: list[LoadRun] = []

    def judge(**_: Any) -> None:
        assert environment.runner is not None
        environment.runner.quit()  # users may still be at it where a signal ends the run
        recorder.end()
        print("Waiting until the ledger has it all …", file=sys.stderr, flush=True)
        outcome = check.end(together([COUNTS, *counts.values()]))
        run = _run_of(environment, bare_ms=recorder.bare.mean_ms, conservation=outcome)
        environment.process_exit_code = 1 if verdict.failures(run, bounds) else 0
        ended.append(run)

    def show(**_: Any) -> None:
        for run in ended:
            console = _show(environment, run, bounds)
            made = report.run_of(
                run,
                bounds,
                _settings(environment, run),
                report.spectra(recorder.latencies, recorder.bare),
                recorder.timeline.series(recorder.seconds),
            )
            console.print(f"Summary: {os.path.relpath(page.write(made))}", soft_wrap=True)

    environment.events.quitting.add_listener(judge)
    environment.events.quit.add_listener(show)  # after Locust's own tables
    if getattr(environment.parsed_options, "only_summary", False):
        threading.Thread(target=_progress, args=[environment], daemon=True).start()


def _attend_page(environment: Environment, bounds: Load) -> None:
    """Who looks at the page begins and ends runs at will: the last one is judged by its answers alone."""
    ended: list[LoadRun] = []

    def judge(**_: Any) -> None:
        run = _run_of(environment)
        if run.requests:
            ended.append(run)
            environment.process_exit_code = 1 if verdict.failures(run, bounds) else 0

    def show(**_: Any) -> None:
        for run in ended:
            _show(environment, run, bounds)

    environment.events.quitting.add_listener(judge)
    environment.events.quit.add_listener(show)


def _show(environment: Environment, run: LoadRun, bounds: Load) -> Console:
    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)
    report.show(console, run, bounds)
    if path := getattr(environment.parsed_options, "html_file", None):
        console.print(f"Report: {os.path.relpath(path)}", soft_wrap=True)
    return console


def _report_counts(data: dict[str, Any], **_: Any) -> None:
    data["counts"] = msgspec.to_builtins(COUNTS)


def _settings(environment: Environment, run: LoadRun) -> dict[str, str]:
    asked = environment.parsed_options
    assert asked is not None
    return {
        "users": f"{asked.num_users}: " + ", ".join(f"{count} {name}" for name, count in run.users.items()),
        "spawn rate": f"{asked.spawn_rate:g} users a second",
        "run time": f"{asked.run_time} s",
        "host": str(environment.host or "–"),
        "services": ", ".join(address(environment, name) for name in ("lease", "payment", "ledger")),
        "figures of": "the time with all users" if environment.reset_stats else "the whole run",
    }


def _headless(environment: Environment) -> bool:
    return bool(getattr(environment.parsed_options, "headless", False))


def _progress(environment: Environment) -> None:
    """A line every few seconds, where Locust's own tables were declined."""
    started = time.monotonic()
    while (runner := environment.runner) is not None:
        time.sleep(PROGRESS_EVERY_S)
        total = environment.stats.total  # another one after every reset
        at_s = time.monotonic() - started
        print(
            f"{at_s:4.0f} s: {runner.user_count} users, {total.current_rps:,.0f} requests/s,"
            f" {total.num_requests:,} in all, {total.num_failures:,} failed",
            file=sys.stderr,
            flush=True,
        )


def _run_of(environment: Environment, **found: Any) -> LoadRun:
    runner, stats = environment.runner, environment.stats
    assert runner is not None
    endpoints = []
    for (name, method), entry in sorted(stats.entries.items()):
        p50, p95, p99 = (entry.get_response_time_percentile(part) for part in (0.50, 0.95, 0.99))
        endpoints.append(
            Endpoint(
                name=f"{method} {name}",
                requests=entry.num_requests,
                failures=entry.num_failures,
                min_ms=entry.min_response_time or 0.0,
                mean_ms=entry.avg_response_time,
                p50_ms=p50,
                p95_ms=p95,
                p99_ms=p99,
                max_ms=entry.max_response_time,
                per_second=entry.total_rps,
                set_up=name.endswith(SET_UP),
            )
        )
    answers = {f"{each.method} {each.name}: {each.error}": each.occurrences for each in stats.errors.values()}
    users = runner.final_user_classes_count or runner.user_classes_count
    errors = sum(each["count"] for each in runner.exceptions.values())
    return LoadRun(endpoints=endpoints, users=users, answers=answers, errors=errors, **found)
