"""What all three services stand on: bus, outbox, inbox, database, HTTP conventions, telemetry."""
