"""`locust -f tests/load/payment_load_test.py PaymentServiceLoadTest`: users of the payment service alone."""

from perf.loadtest import locust_hooks
from perf.loadtest.payment_user import PaymentServiceLoadTest

__all__ = ["PaymentServiceLoadTest"]

locust_hooks.register()
