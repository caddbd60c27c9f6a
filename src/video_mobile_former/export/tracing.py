"""From a graph to a ``torch.export`` program, which the writers of most targets start from."""

from __future__ import annotations

from typing import Any

import torch
from torch.export import Dim, ExportedProgram

from ..console import quiet
from ..errors import UserError
from .artefact import INPUT_NAME, ArtefactInfo
from .graph import ExportGraph

_MAX_BATCH, _MAX_FRAMES, _MAX_SIZE = 4096, 4096, 8192
MIN_SIZE = 33
"""Smallest height and width that a free size stands for: up to 32 the last features are a single
place, which exporters treat as another graph."""


def trace(graph: ExportGraph, info: ArtefactInfo) -> ExportedProgram:
    """Record what a graph does.

    Args:
        graph: In eval mode.
        info: Says which dimensions of the input are free.

    Returns:
        The program, with its input named ``clip``.

    Raises:
        UserError: If it cannot be recorded with those dimensions free; says why.
    """
    batch = info.input.batch
    # A size of 1 in the example would be taken for a promise that it is always 1.
    examples = graph.examples(2 if batch is None else batch)
    shapes = {INPUT_NAME: _free_dimensions(info)} if info.stream is None else None
    try:
        with quiet(), torch.no_grad():
            return torch.export.export(graph, examples, dynamic_shapes=shapes)
    except Exception as error:
        free = f" with {', '.join(info.input.free)} free" if info.input.free else ""
        raise UserError(
            f"torch.export cannot record this model{free}: {first_line(error)}"
        ) from error


def first_line(error: BaseException) -> str:
    """The first line of an error that says something, at most 300 characters."""
    lines = [line.strip() for line in str(error).splitlines()]
    said = next((line for line in lines if line), "")
    return (said or type(error).__name__)[:300]


def _free_dimensions(info: ArtefactInfo) -> dict[int, Any]:
    free, frames = info.input.free, info.clip.num_frames
    axes = info.input.axes
    found: dict[int, Any] = {}
    if "batch" in free:
        batch = Dim("batch", min=1, max=_MAX_BATCH)
        found[0] = batch if axes[0] == "batch" else frames * batch
    if "num_frames" in free:
        found[axes.index("num_frames")] = Dim("num_frames", min=1, max=_MAX_FRAMES)
    if "size" in free:
        for name in ("height", "width"):
            found[axes.index(name)] = Dim(name, min=MIN_SIZE, max=_MAX_SIZE)
    return found
