"""How the service is called."""
