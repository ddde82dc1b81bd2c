"""A stand-in for a card gateway run by somebody else.

It is reached over HTTP only and shares no code with the payment service (but for how Stripe counts money, in
its webhooks), so that what the service knows about a charge is exactly what a real third party would have
told it.
"""
