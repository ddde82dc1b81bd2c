"""HTTP conventions of all three fronts: problems, validation, commands, consistency, OpenAPI."""
