"""`locust -f tests/load/locustfile.py --host=http://localhost:8000`: users of all three services."""

from perf.load import hooks
from perf.load.lease import LeaseServiceLoadTest
from perf.load.ledger import LedgerServiceLoadTest
from perf.load.payment import PaymentServiceLoadTest

__all__ = ["LeaseServiceLoadTest", "LedgerServiceLoadTest", "PaymentServiceLoadTest"]

hooks.register()
