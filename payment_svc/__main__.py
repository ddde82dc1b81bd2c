"""`python -m payment_svc [api|worker|gateway|migrate]`, and the commands below with arguments of theirs."""

import sys
from importlib import import_module

from common.process import main
from payment_svc import app

# Command → module with `main(arguments) -> exit status`; loaded only when it is asked for.
COMMANDS = {"rebuild": "payment_svc.rebuild"}

if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1] in COMMANDS:
        sys.exit(import_module(COMMANDS[sys.argv[1]]).main(sys.argv[2:]))
    main(
        "payment_svc",
        "The payment service: attempts through a gateway, and early payoff."
        f" Further commands, each with --help: {', '.join(COMMANDS)}.",
        roles={"api": app.api, "worker": app.worker},
        alone={"gateway": app.gateway},
        tasks={"migrate": app.migrations},
    )
