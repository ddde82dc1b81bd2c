"""The events as the ledger reads them."""
