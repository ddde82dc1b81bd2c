"""The payment service: instalments, attempts on them, payoffs and the sandbox gateway."""
