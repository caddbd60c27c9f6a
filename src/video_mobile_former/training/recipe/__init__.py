"""The recipe: its fields, reading it from YAML and options, and the shipped recipes."""
