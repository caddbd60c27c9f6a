"""INT8: weights and activations of convolutions as integers, calibrated on real clips."""

from .calibration import Calibration, sample_calibration

__all__ = ["Calibration", "sample_calibration"]
