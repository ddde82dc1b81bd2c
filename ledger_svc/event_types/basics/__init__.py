"""What the definitions of event types are written in: fields, accounts, a lease's state, sentences."""
