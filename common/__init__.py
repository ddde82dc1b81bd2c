"""What all three services stand on: bus, outbox, inbox, database, HTTP conventions, logs and metrics."""
