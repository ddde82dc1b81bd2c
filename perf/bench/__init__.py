"""Benchmarks of single operations, inside the services and on real servers: `python -m perf.bench --help`.

The only room of this package that looks into the services; everything else here knows them from outside.
"""
