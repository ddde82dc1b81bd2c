"""What a gateway tells of its own accord: whether it is really the gateway, and what it says. Pure."""
