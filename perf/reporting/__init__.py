"""Reports of measurements: one HTML file each, with everything in it."""
