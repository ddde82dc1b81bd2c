"""`locust -f tests/load/lease_load_test.py LeaseServiceLoadTest`: users of the lease service alone."""

from perf.load import hooks
from perf.load.lease import LeaseServiceLoadTest

__all__ = ["LeaseServiceLoadTest"]

hooks.register()
