"""Figures from scores and labels, with intervals."""
