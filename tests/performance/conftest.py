"""Options and table of the benchmarks."""

from perf.bench.benchmark_report import pytest_addoption, pytest_configure, pytest_terminal_summary

__all__ = ["pytest_addoption", "pytest_configure", "pytest_terminal_summary"]
