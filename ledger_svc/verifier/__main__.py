"""`python -m ledger_svc.verifier FILE --key KEY`, and the command `lease-ledger-verify`."""

import sys

from ledger_svc.verifier.cli import main


def run() -> int:
    """Verify the files that the command line names; gives the exit code."""
    return main(sys.argv[1:], "lease-ledger-verify")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], "python -m ledger_svc.verifier"))
