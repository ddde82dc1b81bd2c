"""Money, days, ids and the clock. Pure."""
