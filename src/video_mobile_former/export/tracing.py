"""From a graph to a ``torch.export`` program, which the writers of most targets start from."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch.export import Dim, ExportedProgram

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
    example = graph.example(2 if batch is None else batch)
    shapes = {INPUT_NAME: _free_dimensions(info)}
    try:
        with quiet(), torch.no_grad():
            return torch.export.export(graph, (example,), dynamic_shapes=shapes)
    except Exception as error:
        free = f" with {', '.join(info.input.free)} free" if info.input.free else ""
        raise UserError(
            f"torch.export cannot record this model{free}: {first_line(error)}"
        ) from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep remarks of exporters on their own insides from the terminal; errors still come."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "torch._export")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for kind in (DeprecationWarning, FutureWarning, UserWarning):
                warnings.simplefilter("ignore", kind)
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


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


@contextlib.contextmanager
def hushed() -> Iterator[None]:
    """Drop remarks of libraries while they are imported and at work, those of native code as well.

    stdout is for results and stderr for what we say; mobile converters and runtimes write to both,
    some of them past Python. Errors still come as exceptions.
    """
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with (
            warnings.catch_warnings(),
            _descriptors_dropped(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def _descriptors_dropped() -> Iterator[None]:
    """Send file descriptors 1 and 2 nowhere: C and C++ write to them directly."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    kept = {descriptor: os.dup(descriptor) for descriptor in (1, 2) if _is_open(descriptor)}
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for descriptor in kept:
            os.dup2(nowhere, descriptor)
        yield
    finally:
        for descriptor, copy in kept.items():
            os.dup2(copy, descriptor)
            os.close(copy)
        os.close(nowhere)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True
