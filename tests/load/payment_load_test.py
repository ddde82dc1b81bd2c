"""`locust -f tests/load/payment_load_test.py PaymentServiceLoadTest`: users of the payment service alone."""

from perf.load import hooks
from perf.load.payment import PaymentServiceLoadTest

__all__ = ["PaymentServiceLoadTest"]

hooks.register()
