"""What looks at the system from outside: the demonstration and the measurements."""
