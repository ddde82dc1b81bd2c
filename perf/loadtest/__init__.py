"""`make loadtest`: a running system under Locust's users, an open model, or as fast as it goes.

Importing `locust` replaces the standard library's sockets by gevent's: nothing outside of this room does it.
"""
