"""Graphs for inference: the same network written as runtimes run it fastest."""

from .lower import GraphForm, lower, lower_step

__all__ = ["GraphForm", "lower", "lower_step"]
