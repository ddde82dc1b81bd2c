"""`python -m pytest tests/performance/benchmarks.py -v --tb=short`: operations, each with its threshold."""

from perf.bench.suite import *  # noqa: F403
