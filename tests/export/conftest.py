"""A small model and its artefacts."""

from exported import artefacts, checkpoint, model, quick

__all__ = ["artefacts", "checkpoint", "model", "quick"]
