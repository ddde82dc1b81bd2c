"""What happened to a lease: its state at any point and its timeline."""
