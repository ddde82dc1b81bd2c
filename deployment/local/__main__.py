"""`python -m deployment.local <command>`: the stack of this checkout, as the Makefile calls it.

up, down, ps, logs, env, rotate-key, clean: what the targets of the same names do.
install: the servers' packages, where they are missing.
"""

import argparse
import os
import shlex
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from deployment.errors import StackError
from deployment.local import compose_backend
from deployment.local.console import Terminal
from deployment.local.native import server_binaries
from deployment.local.native.server_binaries import ensure
from deployment.local.settings import Addresses, Settings
from deployment.local.stack import Stack
from deployment.roles import SERVICES


def main(arguments: Sequence[str]) -> int:
    """Run one command. Returns the exit status: 1 for a StackError, which is shown on stderr."""
    parser = argparse.ArgumentParser(prog="python -m deployment.local", description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("up", "down", "ps", "env", "rotate-key", "clean", "install"):
        commands.add_parser(name)
    logs = commands.add_parser("logs")
    logs.add_argument("names", nargs="*", help="programs; default: all")
    logs.add_argument("--lines", type=int, default=20, help="lines of each (default: 20)")
    chosen = parser.parse_args(arguments)
    try:
        return _run(chosen.command, getattr(chosen, "names", []), getattr(chosen, "lines", 0))
    except StackError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"Interrupted. {shlex.quote(sys.argv[0])} down stops what was started.", file=sys.stderr)
        return 130


def _run(command: str, names: Sequence[str], lines: int) -> int:
    """Carry out one command. Returns the exit status; raises StackError."""
    if command == "install":
        _install(Terminal())
        return 0
    settings = Settings.from_environment(os.environ)
    containers = compose_backend.chosen(command, os.environ, settings)
    # `up` holds what was asked for against what runs; the others are about what runs.
    if command != "up":
        settings = settings.recall()
    if containers:
        return compose_backend.run(command, settings, names, lines)
    return _native(command, Stack(settings), names, lines)


def _install(terminal: Terminal) -> None:
    """Make sure the servers' programs are there, unless servers are given or containers can stand in."""
    given = {"postgres": not os.environ.get("DATABASE_URL"), "rabbitmq": not os.environ.get("AMQP_URL")}
    missing = server_binaries.find().missing(**given)
    if not missing:
        return
    try:
        ensure(missing, terminal)
    except StackError as error:
        if not compose_backend.engine_answers():
            raise
        terminal.say(f"{error.problem} The tests that can will use containers.")


def _native(command: str, stack: Stack, names: Sequence[str], lines: int) -> int:
    terminal = Terminal()
    match command:
        case "up":
            changed = stack.up(terminal, asked=os.environ)
            # Had containers of the last time still been running, their ports would have been taken.
            (stack.layout.real / compose_backend.FILE).unlink(missing_ok=True)
            if changed:
                terminal.say("The system is up.")
            else:
                terminal.say("Already up. (`make down up` takes in changed code.)")
            _print_addresses(stack.addresses)
        case "down":
            terminal.say("Stopped. The data is kept." if stack.down(terminal) else "Nothing is running.")
        case "clean":
            stack.clean(terminal)
            terminal.say("Stopped and removed, data included.")
        case "rotate-key":
            stack.rotate_ledger_key(terminal)
            terminal.say("The ledger signs with a new key. The old public key is still served.")
        case "env":
            print(stack.addresses.shell_exports())
        case "ps":
            return _print_states(stack)
        case "logs":
            _print_logs(stack, names, lines)
    return 0


def _print_addresses(addresses: Addresses) -> None:
    console = Console(stderr=True, highlight=False)
    for service in SERVICES:
        if service.port:
            console.print(f"  {service.name:<12} {addresses.http(service.port)}")


def _print_states(stack: Stack) -> int:
    states = stack.states()
    if not states:
        print("Nothing is running.", file=sys.stderr)
        return 1
    table = Table(box=None, pad_edge=False)
    for column in ("PROGRAM", "STATE", "PID", "UP", "LOG"):
        table.add_column(column, overflow="fold")
    for state in states.values():
        log = os.path.relpath(stack.layout.root / "log" / f"{state.name}.log")
        table.add_row(state.name, state.name_of_state, str(state.pid or "–"), f"{state.up_s} s", log)
    Console(width=None if sys.stdout.isatty() else 160, highlight=False).print(table)
    return 0 if all(state.running for state in states.values()) else 1


def _print_logs(stack: Stack, names: Sequence[str], lines: int) -> None:
    known = sorted(path.stem for path in stack.layout.log.glob("*.log"))
    if unknown := set(names) - set(known):
        problem = f"No log of {', '.join(sorted(unknown))}."
        raise StackError(problem, f"There are: {', '.join(known) or 'none'}.")
    for name in names or known:
        print(f"==> {name} <==\n{stack.supervisor.tail(name, lines)}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
