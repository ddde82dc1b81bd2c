"""`locust -f tests/load/ledger_load_test.py LedgerServiceLoadTest`: users of the ledger service alone."""

from perf.load import locust_hooks
from perf.load.ledger_user import LedgerServiceLoadTest

__all__ = ["LedgerServiceLoadTest"]

locust_hooks.register()
