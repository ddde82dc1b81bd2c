"""The service's tables."""
