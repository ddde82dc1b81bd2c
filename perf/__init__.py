"""The measurements, which look at the system from outside.

A room imports only those above it in this list:

- `thresholds`
- `targets` (what is measured, and what it is compared with), `stats`
- `probes`
- `checks`
- `load`
- `reporting`
- the commands: `bench`, `stress`, `loadtest`, `system`
"""
