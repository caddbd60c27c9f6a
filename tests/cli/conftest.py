"""A small model, its checkpoint and its artefacts, for the commands that take them."""

from exported import artefacts, checkpoint, model

__all__ = ["artefacts", "checkpoint", "model"]
