"""`python -m tests.performance.stress_tests`: a private system under three kinds of pressure."""

import sys

from perf.stress.cli import main

if __name__ == "__main__":
    sys.exit(main())
