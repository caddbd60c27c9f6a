"""Operator times of eager PyTorch from its own profiler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...console import descriptors_dropped
from .profile import OperatorProfile, OperatorTime, shape_text


def profile_eager(run: Callable[[], object], *, passes: int = 5) -> OperatorProfile:
    """Profile a callable that runs PyTorch operators on the CPU.

    Args:
        run: One forward pass.
        passes: Passes whose mean is taken, after two of warm-up.

    Returns:
        Processor time of each operator itself, excluding operators it calls; calls of one operator
        with the same input shapes are one entry.
    """
    from torch.profiler import ProfilerActivity, profile

    for _ in range(2):
        run()
    profiler = profile(activities=[ProfilerActivity.CPU], record_shapes=True)
    with descriptors_dropped(2):
        profiler.start()
    for _ in range(passes):
        run()
    with descriptors_dropped(2):
        profiler.stop()
    operators = []
    for event in profiler.key_averages(group_by_input_shape=True):
        if event.self_cpu_time_total > 0:
            operators.append(
                OperatorTime(
                    name=event.key,
                    kind=event.key,
                    kernel="",
                    milliseconds=event.self_cpu_time_total / passes / 1e3,
                    calls=max(1, round(event.count / passes)),
                    shape=_shapes(event.input_shapes),
                )
            )
    return OperatorProfile(tuple(operators))


def _shapes(inputs: Any) -> str:
    """Shapes of the first inputs that have one: the data and the weights."""
    shapes = [shape_text(sizes) for sizes in inputs or [] if sizes and isinstance(sizes[0], int)]
    return ", ".join(shapes[:2])
