"""One module for each event type, or for a few that are alike. `registry` loads every module in here."""
