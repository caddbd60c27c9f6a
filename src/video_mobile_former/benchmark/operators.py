"""Operator times of a contestant, whatever its runtime."""

from __future__ import annotations

import torch

from ..errors import UserError
from ..export.loading import load_artefact
from ..profiling.child import in_child
from ..profiling.operators import OperatorProfile
from .contestants import EAGER, Contestant, example_clips, load_contestant

PROFILED = (EAGER, "onnx", "openvino", "torch", "executorch")
"""Runtimes that report operator times."""


def profile_contestant(contestant: Contestant, num_threads: int) -> OperatorProfile:
    """Profile one contestant in a fresh process.

    Args:
        contestant: What to profile.
        num_threads: Threads for it.

    Raises:
        UserError: If its runtime does not report operator times.
    """
    if contestant.runtime not in PROFILED:
        raise UserError(
            f"{contestant.runtime} does not report operator times; "
            f"those that do: {', '.join(PROFILED)}"
        )
    if contestant.streams and contestant.runtime not in (EAGER, "torch"):
        raise UserError(f"operator times of steps of a stream are not read in {contestant.runtime}")
    return in_child(_profile, contestant, num_threads, what=f"profiling {contestant.label}")


def _profile(contestant: Contestant, num_threads: int) -> OperatorProfile:
    torch.set_num_threads(num_threads)
    if contestant.path is None or contestant.runtime == "torch":
        from ..profiling.operators.eager import profile_eager

        return profile_eager(load_contestant(contestant, num_threads))
    # The profilers take the runtime's own input; the artefact only states its layout.
    model = load_artefact(contestant.path, num_threads)
    clips = example_clips(contestant, uint8=model.takes_uint8)
    inputs = model.inputs(clips[: model.artefact.input.batch or len(clips)])
    if contestant.runtime == "openvino":
        from ..profiling.operators.openvino import profile_openvino

        return profile_openvino(contestant.path, inputs, num_threads=num_threads)
    if contestant.runtime == "onnx":
        from ..profiling.operators.onnx import profile_onnx

        return profile_onnx(contestant.path, inputs, num_threads=num_threads)
    from ..profiling.operators.executorch import profile_executorch

    return profile_executorch(contestant.path, inputs, num_threads=num_threads)
