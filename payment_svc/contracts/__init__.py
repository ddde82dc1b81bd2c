"""The messages of the service: commands and events."""
