"""Whether anything is missing: anomalies, reconciliation with the producers, healing."""
