"""The runtimes that a model can be exported to."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, cast

from ...errors import UserError, known_names
from ..artefact import ArtefactInfo, Precision, artefact_sha256, info_path
from ..lowering import GraphForm
from .web_runtime import WebRuntime

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from ..graph import ExportGraph


Free = Literal["batch", "num_frames", "size"]


@dataclass(frozen=True)
class WriteOptions:
    """What a target is asked for beyond what :class:`..ArtefactInfo` says."""

    calibration: Sequence[Tensor] | None = None
    """INT8: inputs of the graph, one clip each, to measure the ranges of activations on."""
    web_runtime: WebRuntime | None = None
    """Of ``web``: the files of its runtime."""


class TargetModule(Protocol):
    """What the module of a target offers."""

    def write(
        self, graph: ExportGraph, info: ArtefactInfo, path: Path, options: WriteOptions
    ) -> dict[str, str]:
        """Write the artefact and what belongs to it, with ``info.to_json()`` inside if possible.

        Args:
            graph: In eval mode; ``graph.examples()`` are inputs.
            info: Says which dimensions are free, the precision, names and layout.
            path: The file to write; it does not exist. Nothing else of this name does, either. Of
                a target with ``inside`` an empty folder.
            options: More wishes.

        Returns:
            What the JSON keeps under ``options``: settings a reader must know.

        Raises:
            UserError: If the runtime refuses an operator or setting; says which.
        """
        ...

    def load(self, path: Path, info: ArtefactInfo, threads: int) -> Runner:
        """Load the artefact to run on the CPU with so many threads.

        Raises:
            CheckpointError: If the file is damaged.
        """
        ...

    def embedded(self, path: Path) -> str | None:
        """The JSON inside the artefact; None where there is none.

        Raises:
            CheckpointError: If the file is damaged.
        """
        ...


@dataclass(frozen=True)
class Target:
    """A runtime, and the file format it reads."""

    name: str
    """As in ``vmf export --to``."""
    title: str
    """For people."""
    suffix: str
    """Ending of the artefact; empty where it is a folder of any name."""
    extra: str | None
    """Extra of this package that it needs; None where it needs no other library."""
    packages: tuple[str, ...]
    """Distributions whose versions an artefact notes."""
    forms: tuple[GraphForm, ...]
    """Graph forms it runs, the faster one first: the default."""
    precisions: tuple[Precision, ...]
    free: tuple[Free, ...]
    """Dimensions that may stay free."""
    module: str
    """Of this package, see :class:`TargetModule`."""
    runtime_package: str
    """Distribution that runs an artefact, whose version is reported with measurements."""
    runtime_module: str | None = None
    """What is imported to run one; None where that is torch."""
    computes_bf16: bool = False
    """Whether ``load`` takes ``bf16=True`` and the runtime then computes in bfloat16."""
    companions: tuple[str, ...] = ()
    """Endings of files that belong to the artefact, in place of ``suffix``."""
    runs_here: bool = True
    """Whether an artefact can be run by this package, not only written."""
    channels_last: tuple[GraphForm, ...] = ()
    """Forms whose input has its channels last unless others are asked for: they are faster."""
    is_folder: bool = False
    """Whether the artefact is a folder."""
    streams: bool = True
    """Whether steps of streaming models can be exported to it."""
    keeps_states: bool = False
    """Whether its runtime can keep the states of a stream itself."""
    inside: tuple[str, ...] = ()
    """Where the artefact is what is written into a folder: names there, the file that is run first.
    Whatever else stands in the folder is left alone."""
    marker: str = ""
    """The one among them by which such a folder is known; it has no ending."""
    own_runtime: bool = True
    """Whether what runs an artefact here is the runtime it is made for."""

    @property
    def code(self) -> TargetModule:
        """Its writer and loader, imported now: they bring in large libraries."""
        name = f"{__package__}.{self.module}"
        return cast("TargetModule", importlib.import_module(name))

    def files(self, path: str | Path) -> dict[str, Path]:
        """The artefact and what belongs to it, under names that survive renaming it."""
        path = Path(path)
        if self.inside:
            return {name: path / name for name in self.inside}
        return {"": path} | {ending: path.with_suffix(ending) for ending in self.companions}

    def run_files(self, path: str | Path) -> dict[str, Path]:
        """Those of :meth:`files` that are loaded to run it."""
        return {"": Path(path) / self.inside[0]} if self.inside else self.files(path)

    def info_path(self, path: str | Path) -> Path:
        """Where the JSON of an artefact stands: beside it, or in its folder."""
        return Path(path) / "model.json" if self.inside else info_path(path)

    def sha256(self, path: str | Path) -> str:
        """The digest of what is run, all its files together."""
        return artefact_sha256(self.run_files(path))


TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        Target(
            name="onnx",
            title="ONNX Runtime",
            suffix=".onnx",
            extra="export",
            packages=("onnx", "onnxscript", "onnxruntime"),
            forms=("frames", "volume"),
            precisions=("fp32", "fp16", "int8"),
            free=("batch", "num_frames", "size"),
            module="to_onnx",
            runtime_package="onnxruntime",
            runtime_module="onnxruntime",
        ),
        Target(
            name="openvino",
            title="OpenVINO",
            suffix=".xml",
            extra="openvino",
            packages=("openvino", "onnx", "onnxscript"),
            # OpenVINO 2026.4 dies while it compiles a frames graph of the family.
            forms=("volume",),
            precisions=("fp32", "fp16", "int8"),
            free=("batch", "num_frames", "size"),
            module="to_openvino",
            runtime_package="openvino",
            runtime_module="openvino",
            computes_bf16=True,
            channels_last=("volume",),
            companions=(".bin",),
            keeps_states=True,
        ),
        Target(
            name="torch",
            title="PyTorch (torch.export)",
            suffix=".pt2",
            extra=None,
            packages=("torch",),
            forms=("frames", "volume"),
            precisions=("fp32",),
            free=("batch", "num_frames", "size"),
            module="to_torch",
            runtime_package="torch",
        ),
        Target(
            name="executorch",
            title="ExecuTorch",
            suffix=".pte",
            extra="executorch",
            packages=("executorch",),
            forms=("frames",),
            precisions=("fp32", "int8"),
            free=(),
            module="to_executorch",
            runtime_package="executorch",
            runtime_module="executorch.runtime",
        ),
        Target(
            name="litert",
            title="LiteRT",
            suffix=".tflite",
            extra="litert",
            packages=("litert-torch", "ai-edge-litert"),
            forms=("frames",),
            precisions=("fp32", "fp16", "int8"),
            free=(),
            module="to_litert",
            runtime_package="ai-edge-litert",
            runtime_module="ai_edge_litert.interpreter",
        ),
        Target(
            name="coreml",
            title="Core ML",
            suffix=".mlpackage",
            extra="coreml",
            packages=("coremltools",),
            forms=("frames",),
            precisions=("fp32", "fp16"),
            free=(),
            module="to_coreml",
            runtime_package="coremltools",
            runs_here=False,
            is_folder=True,
            streams=False,
        ),
        Target(
            name="web",
            title="web pages (ONNX Runtime Web)",
            suffix="",
            extra="export",
            packages=("onnx", "onnxscript", "onnxruntime"),
            forms=("frames", "volume"),
            precisions=("fp32", "fp16", "int8"),
            free=(),
            module="to_web",
            runtime_package="onnxruntime",
            runtime_module="onnxruntime",
            inside=(
                "model.onnx",
                "index.html",
                "page.css",
                "page.js",
                "icon.svg",
                "recognise.js",
                "frames.js",
                "worker.js",
                "HOSTING.md",
                "runtime",
            ),
            marker="recognise.js",
            own_runtime=False,
        ),
    )
}


def get_target(name: str) -> Target:
    """The row of :data:`TARGETS` called ``name``.

    Raises:
        UserError: If there is none; suggests the nearest.
    """
    if name in TARGETS:
        return TARGETS[name]
    raise UserError(f"no target named {name!r}{known_names(name, TARGETS, cutoff=0.6)}")


def target_of(path: str | Path) -> Target | None:
    """The target whose artefacts end like this path; None where there is none."""
    path = Path(path)
    for target in TARGETS.values():
        if target.inside:
            if (path / target.marker).is_file():
                return target
        elif path.suffix.lower() == target.suffix:
            return target
    return None


def known_endings() -> str:
    """How artefacts are called, for messages."""
    return ", ".join(target.suffix for target in TARGETS.values() if target.suffix)


class Runner(Protocol):
    """What a target loads."""

    def __call__(self, *inputs: np.ndarray) -> Sequence[np.ndarray]:
        """Run the artefact once.

        Args:
            inputs: In the order of ``info.input_names``, C-contiguous.

        Returns:
            In the order of ``info.output_names``: logits (B, K) first. Memory is the caller's.
        """
        ...


class StatefulRunner(Runner, Protocol):
    """What a target loads of an artefact whose states the runtime keeps."""

    def read(self) -> list[np.ndarray]:
        """States in the order of the artefact's stream."""
        ...

    def write(self, states: Sequence[np.ndarray]) -> None:
        """Put other states in their place."""
        ...
