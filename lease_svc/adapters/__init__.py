"""Where the service meets other systems."""
