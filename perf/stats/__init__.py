"""Latencies, a run over time, verdicts on them, and what a measurement leaves behind."""
