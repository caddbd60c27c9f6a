"""INT8: weights and activations of convolutions as whole numbers, measured on real clips."""

from .calibration import Calibration, draw_calibration

__all__ = ["Calibration", "draw_calibration"]
