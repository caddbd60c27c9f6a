"""Interfaces of other libraries to the models of this package."""
