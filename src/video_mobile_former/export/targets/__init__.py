"""Export targets: the table, and one file a runtime."""
