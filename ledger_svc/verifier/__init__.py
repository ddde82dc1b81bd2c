"""The offline verifier: checks an export with nothing but the file, a public key and arithmetic.

It needs no server and no network, trusts nothing that the file says, and takes any file: what is wrong with
one is a finding, never an exception.

Beside the standard library it loads cryptography (Ed25519) and msgspec: the ledger's definitions of events
are msgspec classes, and the verifier reads events by the same definitions, so that the two cannot disagree.
"""
