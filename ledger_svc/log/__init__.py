"""The append-only log: reading the stream, checking events, appending them."""
