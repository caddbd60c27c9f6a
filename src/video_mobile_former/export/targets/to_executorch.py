"""ExecuTorch with XNNPACK, the fast CPU code of phones, and its Python runtime to run it."""

from __future__ import annotations

import weakref
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from ...console import quiet, say
from ...errors import CheckpointError, UserError
from ...optional import require
from ...untrusted import read_bytes
from ..artefact import METADATA_KEY, ArtefactInfo
from ..graph import ExportGraph
from ..quantize.parts import describe_parts
from ..quantize.with_pt2e import quantize_program
from ..tracing import first_line, trace
from .table import Runner, WriteOptions

_NO_WORK = {"executorch_call_delegate", "getitem"}
"""Nodes of a lowered graph that are no operators: the call of a delegate, and taking its result."""


def write(
    graph: ExportGraph, info: ArtefactInfo, path: Path, options: WriteOptions
) -> dict[str, Any]:
    """Write one ``.pte`` file; see :class:`..TargetModule`.

    The description is a method of the program that takes nothing and returns the JSON.

    Returns:
        ``not_delegated``: how often each operator is left to the slow portable kernels.
    """
    with quiet(output=True):
        require("executorch.exir", extra="executorch", purpose="writing for ExecuTorch")
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower
    program = trace(graph, info)
    _refuse_3d_convolutions(program)
    settings: dict[str, Any] = {}
    if info.precision == "int8":
        assert options.calibration is not None
        program = quantize_program(program, options.calibration)
        settings["quantization"] = describe_parts("torchao", "executorch") | {"rest": "fp32"}
    try:
        with quiet(output=True), torch.no_grad():
            lowered = to_edge_transform_and_lower(
                program,
                partitioner=[XnnpackPartitioner()],
                constant_methods={METADATA_KEY: info.to_json()},
            )
            left = operators_left(lowered.exported_program().graph_module)
            written = lowered.to_executorch()
    except Exception as error:  # converters raise errors of many kinds
        raise UserError(f"ExecuTorch refuses this model: {first_line(error)}") from error
    if left:
        names = ", ".join(f"{name} ({count})" for name, count in left.items())
        say(f"XNNPACK leaves to portable kernels, which are slow: {names}")
    with path.open("wb") as stream:
        written.write_to_file(stream)
    return settings | {"not_delegated": left}


def operators_left(module: torch.fx.GraphModule) -> dict[str, int]:
    """How often each operator of a lowered graph is not part of a delegate."""
    names = [_name(node) for node in module.graph.nodes if node.op == "call_function"]
    return dict(Counter(name for name in names if name not in _NO_WORK))


def load(path: Path, info: ArtefactInfo, threads: int) -> Runner:
    """Load for ExecuTorch's Python runtime; see :class:`..TargetModule`."""
    return PteRunner(path, threads)


def embedded(path: Path) -> str | None:
    """What the method of the program returns that holds the JSON; see :class:`..TargetModule`."""
    program = _open(path)
    if METADATA_KEY not in program.method_names:
        return None
    with quiet(output=True):
        value = program.load_method(METADATA_KEY).execute([])[0]
    return value if isinstance(value, str) else None


class PteRunner:
    """A program and its ``forward``.

    Threads belong to a pool of the whole process. Replacing the pool leaves programs behind that
    still point at the old one, so they are dropped first and opened again when next used.

    Args:
        path: The program.
        threads: Size of the pool that it is run with.

    Raises:
        CheckpointError: If the program is damaged.
    """

    _opened: ClassVar[weakref.WeakSet[PteRunner]] = weakref.WeakSet()

    def __init__(self, path: Path, threads: int):
        self.path, self.threads = path, threads
        self._program: Any = None
        self._method: Any = None
        self._open()

    def __call__(self, *inputs: np.ndarray) -> list[np.ndarray]:
        """Outputs of the program, copied: its own memory is used again by the next call."""
        stale = self._method is None or _pool_size() != self.threads
        method: Any = self._open() if stale else self._method
        found = method.execute([torch.from_numpy(value) for value in inputs])
        return [one.numpy().copy() for one in found]

    def _open(self) -> Any:
        program = _open(self.path)  # loading the library makes the pool
        try:
            with quiet(output=True):
                if _pool_size() != self.threads:
                    for other in self._opened:
                        other._program = other._method = None
                    _resize_pool(self.threads)
                self._method = program.load_method("forward")
        except (RuntimeError, KeyError) as error:
            raise CheckpointError(f"{self.path} cannot be loaded: {first_line(error)}") from error
        self._program = program
        self._opened.add(self)
        return self._method


def _open(path: Path) -> Any:
    with quiet(output=True):
        runtime = require("executorch.runtime", extra="executorch", purpose="ExecuTorch")
        try:
            return runtime.Runtime.get().load_program(read_bytes(path))
        except (RuntimeError, OSError) as error:
            raise CheckpointError(
                f"{path} is damaged or no ExecuTorch program: {first_line(error)}"
            ) from error


def _pool_size() -> int:
    from executorch.extension.pybindings import portable_lib

    return portable_lib._threadpool_get_thread_count()


def _resize_pool(threads: int) -> None:
    from executorch.extension.pybindings import portable_lib

    portable_lib._unsafe_reset_threadpool(threads)


def _refuse_3d_convolutions(program: torch.export.ExportedProgram) -> None:
    """Say now what the program would only say when it is run."""
    for node in program.graph.nodes:
        if node.op == "call_function" and node.target is torch.ops.aten.conv3d.default:
            raise UserError(
                f"ExecuTorch runs no 3-D convolution (aten.conv3d, node {node.name}); "
                "export the 'frames' form"
            )


def _name(node: torch.fx.Node) -> str:
    return getattr(node.target, "__name__", str(node.target))
