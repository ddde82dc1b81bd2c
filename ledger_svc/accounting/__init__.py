"""Double entry, derived from the events."""
