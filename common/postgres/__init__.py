"""Connections, queries and migrations."""
