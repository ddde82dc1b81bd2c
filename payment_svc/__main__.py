"""`python -m payment_svc [api|worker|gateway|migrate]`"""

from common.process import main
from payment_svc import app

if __name__ == "__main__":
    main(
        "payment_svc",
        "The payment service: attempts through a gateway, and early payoff.",
        roles={"api": app.api, "worker": app.worker},
        alone={"gateway": app.gateway},
        tasks={"migrate": app.migrations},
    )
