"""Problem details (RFC 9457): one registry of types, and their pages."""
