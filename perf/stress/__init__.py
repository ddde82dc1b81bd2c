"""Stress tests on a private system: `python -m tests.performance.stress_tests --help`."""
