"""The offline verifier: checks an export with nothing but the file, a public key and arithmetic.

It needs no server and no network, trusts nothing that the file says, and takes any file: what is wrong with
one is a finding, never an exception.
"""
