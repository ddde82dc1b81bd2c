"""The lease service: creates leases and keeps each one's schedule, status and balance."""
