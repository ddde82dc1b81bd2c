"""Properties that are checked under load: conservation, resolution, tampering."""
