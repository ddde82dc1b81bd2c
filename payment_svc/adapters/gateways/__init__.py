"""The boundary between the payment worker and card gateways: a small Protocol, and who speaks it."""
