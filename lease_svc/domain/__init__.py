"""The business rules. Pure."""
