"""`python -m ledger_svc [api|writer|migrate]`, and commands with arguments of their own."""

import sys
from collections.abc import Sequence
from importlib import import_module

# Command → module with `main(arguments) -> exit status`. Each loads what it needs and no more.
COMMANDS = {
    "accept": "ledger_svc.entrypoints.acknowledge_anomalies",
    "keygen": "ledger_svc.entrypoints.keygen",
    "reconcile": "ledger_svc.entrypoints.reconcile",
    "replay": "ledger_svc.entrypoints.replay",
    "verify": "ledger_svc.verifier.cli",
}


def run(arguments: Sequence[str]) -> int:
    """Run a command, or the roles. Returns the exit status."""
    if arguments and arguments[0] in COMMANDS:
        status: int = import_module(COMMANDS[arguments[0]]).main(arguments[1:])
        return status
    from common.runtime.process import main
    from ledger_svc import bootstrap

    main(
        "ledger_svc",
        "The ledger service: the append-only log of every event. "
        f"Further commands, each with --help: {', '.join(COMMANDS)}.",
        roles={"api": bootstrap.api, "writer": bootstrap.writer},
        tasks={"migrate": bootstrap.migrations},
    )
    return 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
