"""Brings the whole system up on one machine, and takes it down again.

`python -m deployment.local up` (or `make up`) is for people, `deployment.local.stack.Stack` for tests.
"""
