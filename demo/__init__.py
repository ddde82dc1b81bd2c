"""A lease's whole life, told in the terminal."""
