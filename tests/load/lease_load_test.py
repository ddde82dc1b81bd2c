"""`locust -f tests/load/lease_load_test.py LeaseServiceLoadTest`: users of the lease service alone."""

from perf.loadtest import locust_hooks
from perf.loadtest.lease_user import LeaseServiceLoadTest

__all__ = ["LeaseServiceLoadTest"]

locust_hooks.register()
