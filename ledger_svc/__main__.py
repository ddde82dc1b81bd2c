"""`python -m ledger_svc [api|writer|migrate]`, and the commands below with arguments of their own."""

import sys
from importlib import import_module

from common.process import main
from ledger_svc import app

# Command → module with `main(arguments) -> exit status`; loaded only when it is asked for.
COMMANDS = {"replay": "ledger_svc.replay.command"}

if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1] in COMMANDS:
        sys.exit(import_module(COMMANDS[sys.argv[1]]).main(sys.argv[2:]))
    main(
        "ledger_svc",
        "The ledger service: the append-only log of every event. "
        f"Further commands, each with --help: {', '.join(COMMANDS)}.",
        roles={"api": app.api, "writer": app.writer},
        tasks={"migrate": app.migrations},
    )
