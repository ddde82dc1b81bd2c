"""What puts a system under load: the HTTP generator, events for the ledger, a private system's driver."""
