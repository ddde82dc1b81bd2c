"""`python -m lease_svc [api|worker|migrate]`, and the commands below with arguments of their own."""

import sys
from importlib import import_module

from common.runtime.process import main
from lease_svc import bootstrap

# Command → module with `main(arguments) -> exit status`; loaded only when it is asked for.
COMMANDS = {"rebuild": "lease_svc.entrypoints.rebuild"}

if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1] in COMMANDS:
        sys.exit(import_module(COMMANDS[sys.argv[1]]).main(sys.argv[2:]))
    main(
        "lease_svc",
        "The lease service: leases, their schedules and their history."
        f" Further commands, each with --help: {', '.join(COMMANDS)}.",
        roles={"api": bootstrap.api, "worker": bootstrap.worker},
        tasks={"migrate": bootstrap.migrations},
    )
