"""The system as ordinary processes of this machine."""
