"""`python -m ledger_svc [api|writer|migrate]`"""

from common.process import main
from ledger_svc import app

if __name__ == "__main__":
    main(
        "ledger_svc",
        "The ledger service: the append-only log of every event.",
        roles={"api": app.api, "writer": app.writer},
        tasks={"migrate": app.migrations},
    )
