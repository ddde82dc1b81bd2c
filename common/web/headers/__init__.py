"""Request headers, read by their grammars."""
