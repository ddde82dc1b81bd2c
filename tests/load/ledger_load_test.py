"""`locust -f tests/load/ledger_load_test.py LedgerServiceLoadTest`: users of the ledger service alone."""

from perf.loadtest import locust_hooks
from perf.loadtest.ledger_user import LedgerServiceLoadTest

__all__ = ["LedgerServiceLoadTest"]

locust_hooks.register()
