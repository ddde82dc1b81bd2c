"""`python -m ledger_svc keygen`: a new key for the ledger, or the public half of the one in use."""

import argparse
import os
import sys
from collections.abc import Sequence

from common.runtime.settings import variable
from ledger_svc.transparency import checkpoint, signed_note


def main(arguments: Sequence[str]) -> int:
    """Print a key on stdout. Returns the exit status: 0, or 2 for a name or a LEDGER_KEY that is none."""
    parser = argparse.ArgumentParser(
        prog="python -m ledger_svc keygen",
        description="Print a new private key, to be kept secret as LEDGER_KEY; on stderr its public key.",
    )
    parser.add_argument("--name", default=checkpoint.ORIGIN, help="the log's name (default: %(default)s)")
    parser.add_argument("--public", action="store_true", help="print the public key of LEDGER_KEY instead")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.public:
            print(signed_note.signing_key(variable(os.environ, "LEDGER_KEY")).verifier)
            return 0
        key = signed_note.generate(chosen.name)
    except ValueError as error:
        print(f"keygen: {error}", file=sys.stderr)
        return 2
    print(key.secret())
    print(f"public key: {key.verifier}", file=sys.stderr)
    return 0
