"""The ledger service: every event, in order, for ever; and what can be derived from them."""
