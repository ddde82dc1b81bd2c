"""`locust -f tests/load/locustfile.py --host=http://localhost:8000`: users of all three services."""

from perf.load import locust_hooks
from perf.load.lease_user import LeaseServiceLoadTest
from perf.load.ledger_user import LedgerServiceLoadTest
from perf.load.payment_user import PaymentServiceLoadTest

__all__ = ["LeaseServiceLoadTest", "LedgerServiceLoadTest", "PaymentServiceLoadTest"]

locust_hooks.register()
