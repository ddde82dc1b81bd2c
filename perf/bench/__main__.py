"""`make bench`: the benchmarks, and the stored figures of this machine."""

import argparse
import sys

import pytest

from perf.bench import baseline

PROJECT = baseline.FOLDER.parents[1]


def main() -> int:
    """Run pytest on them. Returns the exit code: 0 all kept, 1 not, others as pytest has them."""
    parser = argparse.ArgumentParser(
        prog="python -m perf.bench",
        description="Measures single operations on private servers, against the thresholds in"
        " perf/thresholds.toml and the figures stored of this machine; where there are none, stores them.",
    )
    parser.add_argument("-k", metavar="EXPRESSION", help='only these: "lease_creation or lease_retrieval"')
    parser.add_argument("--save", action="store_true", help="store the figures instead of comparing them")
    parser.add_argument(
        "--profile", action="store_true", help="show where the time goes, and hold to nothing"
    )
    asked = parser.parse_args()
    arguments = ["-v", "--tb=short", f"--rootdir={PROJECT}", f"-c{PROJECT / 'setup.cfg'}"]
    arguments += ["-k", asked.k] if asked.k else []
    arguments += ["--profile"] if asked.profile else []
    arguments += ["--baseline", "replace" if asked.save else "add"]
    return int(pytest.main([str(PROJECT / "tests/performance/benchmarks.py"), *arguments]))


if __name__ == "__main__":
    sys.exit(main())
