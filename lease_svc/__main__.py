"""`python -m lease_svc [api|worker|migrate]`"""

from common.process import main
from lease_svc import app

if __name__ == "__main__":
    main(
        "lease_svc",
        "The lease service: leases, their schedules and their history.",
        roles={"api": app.api, "worker": app.worker},
        tasks={"migrate": app.migrations},
    )
