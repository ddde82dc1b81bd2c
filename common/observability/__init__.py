"""Logs, metrics and the stamps of a trace."""
