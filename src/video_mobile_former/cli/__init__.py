"""The command ``vmf``: one file a command; ``main`` parses, calls and prints."""
