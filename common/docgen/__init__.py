"""Reference pages made from the code: the catalogue of events, the OpenAPI documents, and tables.

`python -m common.docgen lease_svc payment_svc ledger_svc` (or `make docs`) writes them; a test fails when
they
are not up to date. Which services there are is told on the command line: nothing here imports one by itself.
"""
