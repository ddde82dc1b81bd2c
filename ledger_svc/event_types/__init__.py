"""The types of events that the ledger knows: everything about one of them is in one file of `types`.

To add a type, add a module there with a `TYPES` tuple; `registry` finds it. It says what the event's data is,
what it does to a lease's state, to the accounts and to the totals, and how the timeline shows it.
"""
