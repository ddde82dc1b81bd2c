"""`locust -f tests/load/locustfile.py --host=http://localhost:8000`: users of all three services."""

from perf.loadtest import locust_hooks
from perf.loadtest.lease_user import LeaseServiceLoadTest
from perf.loadtest.ledger_user import LedgerServiceLoadTest
from perf.loadtest.payment_user import PaymentServiceLoadTest

__all__ = ["LeaseServiceLoadTest", "LedgerServiceLoadTest", "PaymentServiceLoadTest"]

locust_hooks.register()
