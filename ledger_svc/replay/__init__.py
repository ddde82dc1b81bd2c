"""Reading again what the ledger was made of: to list it, to compare it, to build a second ledger of it."""
