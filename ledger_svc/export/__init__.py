"""Downloads that an auditor can verify offline."""
