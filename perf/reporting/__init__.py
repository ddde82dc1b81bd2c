"""Reports: a measurement as one HTML file with everything in it, in the terminal, and in the history."""
