"""What commands and events do: rules, state and events in one unit of work."""
