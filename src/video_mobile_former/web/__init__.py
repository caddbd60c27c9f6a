"""The HTTP service of ``vmf serve`` and its page."""
