"""Graphs for inference: the same network written as runtimes run it fastest."""

from .lower import GraphForm, lower

__all__ = ["GraphForm", "lower"]
