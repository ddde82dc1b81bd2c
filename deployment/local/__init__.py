"""Brings the whole system up on one machine, and takes it down again.

`python -m deployment.local up` (or `make up`) is the door for people, `deployment.local.stack.Stack` the one
for
tests. Importing this package imports nothing else: the container image runs `bootstrap` from it without the
libraries that only a native stack needs.
"""
