"""Load tests with Locust: three classes of users, and what a run is held to. `python -m perf.load --help`.

Importing `locust` replaces the standard library's sockets by gevent's: nothing outside of this room does it.
"""
