"""Artefacts for other runtimes: lowered graphs, writers, runners and the proof that they agree."""
