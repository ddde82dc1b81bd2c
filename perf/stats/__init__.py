"""Latencies, percentiles and verdicts on them."""
