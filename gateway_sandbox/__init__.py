"""A stand-in for a card gateway run by somebody else: `python -m gateway_sandbox`.

It is reached over HTTP only and shares no code with the payment service. So what the service knows about a
charge is exactly what a real third party would have told it.
"""
