"""`locust -f tests/load/ledger_load_test.py LedgerServiceLoadTest`: users of the ledger service alone."""

from perf.load import hooks
from perf.load.ledger import LedgerServiceLoadTest

__all__ = ["LedgerServiceLoadTest"]

hooks.register()
