"""Measurements of a whole private system."""
