"""The description of an artefact: written beside it as JSON and, where its format can, inside it.

The JSON is a contract: a change of its keys needs a new format number.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from torch import Tensor

from ..clip_spec import ClipSpec
from ..errors import CheckpointError, UserError
from ..models.checkpoint import MAX_CLIP
from ..untrusted import check_bounds, parse_json
from .lowering import GraphForm

ARTEFACT_FORMAT, STREAM_FORMAT = 1, 2
"""Of artefacts that take clips, and of those that take a stream step by step."""
_MOST = {"num_classes": 10**6, "parameters": 10**11, "macs_per_view": 10**16}
_MOST_NUMBERS = 10**9
"""Of a state. Both are far above what any artefact has."""
METADATA_KEY = "video_mobile_former"
"""Under this name the JSON stands in the metadata of formats that have any."""
INPUT_NAME, OUTPUT_NAME = "clip", "logits"

InputDtype = Literal["float32", "uint8"]
Precision = Literal["fp32", "fp16", "int8"]
Layout = Literal["BCTHW", "BTHWC", "(BT)CHW", "(BT)HWC"]
Channels = Literal["first", "last"]
"""Where the channels of an input stand: before height and width, or after them."""

_LAYOUTS: dict[tuple[GraphForm, Channels], Layout] = {
    ("volume", "first"): "BCTHW",
    ("volume", "last"): "BTHWC",
    ("frames", "first"): "(BT)CHW",
    ("frames", "last"): "(BT)HWC",
}

_FREE = ("batch", "num_frames", "size")
_AXES = {"B": "batch", "C": "channels", "T": "num_frames", "H": "height", "W": "width"}


def layout_of(form: GraphForm, channels: Channels) -> Layout:
    """The order of an input's dimensions."""
    return _LAYOUTS[form, channels]


def lay_out(clips: Tensor, layout: Layout) -> Tensor:
    """Clips (B, 3, T, H, W) in the order of an artefact's input; a view where that is possible."""
    if layout == "BTHWC":
        return clips.permute(0, 2, 3, 4, 1)
    if layout == "(BT)CHW":
        return clips.transpose(1, 2).flatten(0, 1)
    if layout == "(BT)HWC":
        return clips.permute(0, 2, 3, 4, 1).flatten(0, 1)
    return clips


@dataclass(frozen=True)
class ArtefactInput:
    """The one input of an artefact."""

    name: str
    dtype: InputDtype
    """``float32`` takes normalised clips; ``uint8`` takes RGB as decoded, the graph normalises."""
    layout: Layout
    """Order of the dimensions; ``(BT)`` stands for the frames of clips in a row."""
    shape: tuple[int | None, ...]
    """In that order; None is free, and of ``(BT)`` a multiple of the frames of a clip."""
    free: tuple[str, ...]
    """What a caller may choose: any of ``batch``, ``num_frames`` and ``size``."""
    batch: int | None
    """Clips in one call; None where it is free."""

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of the dimensions in the order of the layout."""
        letters = self.layout.removeprefix("(BT)")
        rows = ("batch_times_frames",) if letters != self.layout else ()
        return (*rows, *(_AXES[letter] for letter in letters))


@dataclass(frozen=True)
class ArtefactState:
    """One state of an artefact that takes a stream: an input and, as ``next_…``, an output."""

    name: str
    shape: tuple[int, ...]
    """Streams first. Values are float32, and zero at the start of a stream."""

    @property
    def next_name(self) -> str:
        """Name of the output whose value is this input in the next step."""
        return f"next_{self.name}"

    @property
    def variable_name(self) -> str:
        """Name of the variable where OpenVINO keeps it: that of the pair it was made of."""
        return self.name + self.next_name


@dataclass(frozen=True)
class ArtefactStream:
    """How an artefact takes a stream."""

    frames_per_update: int
    """Frames P of a step: the input of the artefact holds those of each stream."""
    macs_per_frame: int
    """Multiply-accumulates of the model."""
    states: tuple[ArtefactState, ...]
    """In the order of the inputs, after the frames, and of the outputs, after the logits."""
    stateful: bool = False
    """The runtime keeps the states itself; only frames and logits are passed."""


@dataclass(frozen=True)
class ArtefactInfo:
    """Everything a runner and a report need to know of an artefact."""

    target: str
    """Name in :data:`.targets.table.TARGETS`."""
    form: GraphForm
    precision: Precision
    input: ArtefactInput
    clip: ClipSpec
    num_classes: int
    class_names: tuple[str, ...] | None
    """Names of the logits in order; None where they are not known."""
    multi_label: bool
    architecture: Mapping[str, Any]
    """``class`` and constructor ``arguments`` of the model it was made from."""
    parameters: int
    macs_per_view: int
    """Multiply-accumulates of the model for one clip, before any rewriting of its graph."""
    model_info: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """``training``, ``measured`` and ``license`` of the checkpoint."""
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Options of the target, such as the ONNX opset."""
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Libraries that wrote it."""
    parity: Mapping[str, Any] | None = None
    """How it was compared with the checkpoint, see :mod:`.parity`; None inside the artefact."""
    sha256: str | None = None
    """Of the artefact, see :func:`artefact_sha256`; None inside it."""
    stream: ArtefactStream | None = None
    """How it takes a stream; None where it takes clips."""

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs in order."""
        return (INPUT_NAME, *(state.name for state in self._passed))

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the outputs in order."""
        return (OUTPUT_NAME, *(state.next_name for state in self._passed))

    @property
    def frames_a_call(self) -> int:
        """Frames of each clip or stream in one call."""
        return self.clip.num_frames if self.stream is None else self.stream.frames_per_update

    @property
    def _passed(self) -> tuple[ArtefactState, ...]:
        return () if self.stream is None or self.stream.stateful else self.stream.states

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        names, stream = self.class_names, values.pop("stream")
        extra: dict[str, Any] = {"format": ARTEFACT_FORMAT}
        if stream is not None:
            states = [{"name": one.name, "shape": list(one.shape)} for one in stream.states]
            extra = {"format": STREAM_FORMAT}
            values["stream"] = dataclasses.asdict(stream) | {"states": states}
        return {
            **extra,
            **values,
            "input": dataclasses.asdict(self.input)
            | {"shape": list(self.input.shape), "free": list(self.input.free)},
            "clip": self.clip.to_dict(),
            "class_names": None if names is None else list(names),
        }

    def to_json(self) -> str:
        """One line of JSON, for the inside of an artefact: without parity and digest."""
        inside = dataclasses.replace(self, parity=None, sha256=None)
        return json.dumps(inside.to_dict(), ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_dict(cls, values: Any, where: str | Path) -> ArtefactInfo:
        """Rebuild from :meth:`to_dict`.

        Args:
            values: What the JSON holds.
            where: Its file, for errors.

        Raises:
            CheckpointError: If it is of another format, lacks keys or holds something else.
        """
        if not isinstance(values, dict) or "format" not in values:
            raise CheckpointError(f"{where} does not describe an artefact of `vmf export`")
        if values["format"] not in (ARTEFACT_FORMAT, STREAM_FORMAT):
            raise CheckpointError(
                f"{where} has format {values['format']!r}; this version reads {ARTEFACT_FORMAT} "
                f"and {STREAM_FORMAT}: export the checkpoint again"
            )
        known = {field.name for field in dataclasses.fields(cls)}
        known -= set() if values["format"] == STREAM_FORMAT else {"stream"}
        given = {key: value for key, value in values.items() if key != "format"}
        for what, keys in (("lacks", known - set(given)), ("has unknown", set(given) - known)):
            if keys:
                raise CheckpointError(f"{where} is damaged: it {what} {', '.join(sorted(keys))}")
        try:
            check_bounds(given["clip"], "clip", MAX_CLIP)
            check_bounds(given["input"], "input")
            check_bounds(given["architecture"], "architecture")
            check_bounds((given.get("stream") or {}).get("states"), "stream.states")
            return cls(
                **given
                | {
                    "input": _input(given["input"]),
                    "clip": ClipSpec.from_dict(given["clip"]),
                    "class_names": _names(given["class_names"], given["num_classes"]),
                    "stream": _stream(given["stream"]) if "stream" in given else None,
                }
            )._checked()
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise CheckpointError(f"{where} is damaged: {error}") from error

    def _checked(self) -> ArtefactInfo:
        for name, most in _MOST.items():
            _whole(name, getattr(self, name), most)
        for name, allowed in (("form", get_args(GraphForm)), ("precision", get_args(Precision))):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} is {getattr(self, name)!r}")
        for name, kind in (
            ("target", str),
            ("multi_label", bool),
            ("architecture", dict),
            ("model_info", dict),
            ("options", dict),
            ("versions", dict),
            ("parity", dict | None),
            ("sha256", str | None),
        ):
            if not isinstance(getattr(self, name), kind):
                raise ValueError(f"{name} is {repr(getattr(self, name))[:60]}")
        kind, arguments = (self.architecture.get(key) for key in ("class", "arguments"))
        if not isinstance(kind, str) or not isinstance(arguments, dict):
            raise ValueError("architecture must hold 'class', a name, and 'arguments', an object")
        return self


def info_path(artefact: str | Path) -> Path:
    """Where the JSON of an artefact stands: ``model.onnx.json`` beside ``model.onnx``."""
    path = Path(artefact)
    return path.with_name(path.name + ".json")


def parse_info(text: str | bytes, where: str | Path) -> ArtefactInfo:
    """Read the JSON of an artefact.

    Raises:
        CheckpointError: If it is no JSON or does not describe an artefact; names ``where``.
    """
    try:
        values = parse_json(text, where)
    except UserError as error:
        raise CheckpointError(f"{error}: no description of an artefact") from error
    return ArtefactInfo.from_dict(values, where)


def artefact_sha256(files: Mapping[str, Path]) -> str:
    """One digest of the files of an artefact, whatever it is called.

    Args:
        files: The artefact and what belongs to it, each a file or folder, under names that do not
            change when it is renamed. A single file under ``""`` has its ordinary SHA-256.
    """
    flat: dict[str, Path] = {}
    for name, path in files.items():
        if path.is_dir():
            inside = (found for found in path.rglob("*") if found.is_file())
            flat.update({f"{name}/{found.relative_to(path).as_posix()}": found for found in inside})
        else:
            flat[name] = path
    if list(flat) == [""]:
        return _file_sha256(flat[""])
    whole = hashlib.sha256()
    for name in sorted(flat):
        whole.update(f"{_file_sha256(flat[name])}  {name}\n".encode())
    return whole.hexdigest()


def _file_sha256(path: Path) -> str:
    with path.open("rb") as stream:
        digest = hashlib.sha256()
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _input(values: dict[str, Any]) -> ArtefactInput:
    fields: dict[str, Any] = {**values, "shape": tuple(values["shape"])}
    fields["free"] = tuple(values["free"])
    found = ArtefactInput(**fields)
    if found.dtype not in get_args(InputDtype) or found.layout not in get_args(Layout):
        raise UserError(f"its input is {found.dtype!r} in layout {found.layout!r}")
    if len(found.shape) != (4 if found.layout.startswith("(BT)") else 5):
        raise UserError(f"its input has shape {found.shape} in layout {found.layout!r}")
    for size in (*found.shape, found.batch):
        if size is not None:
            _whole("a size of its input", size, 10**6)
    if not isinstance(found.name, str) or not set(found.free) <= set(_FREE):
        raise UserError(f"its input is {str(found.name)[:60]!r}, free in {str(found.free)[:60]}")
    return found


def _stream(values: dict[str, Any]) -> ArtefactStream:
    states = tuple(ArtefactState(one["name"], tuple(one["shape"])) for one in values["states"])
    found = ArtefactStream(**{**values, "states": states})
    _whole("frames_per_update", found.frames_per_update, 4096)
    _whole("macs_per_frame", found.macs_per_frame, _MOST["macs_per_view"])
    if not isinstance(found.stateful, bool):
        raise UserError(f"stateful is {found.stateful!r}")
    names = [state.name for state in states]
    for state in states:
        if not state.name.isidentifier() or names.count(state.name) > 1:
            raise UserError(f"a state is called {state.name!r}")
        if not 2 <= len(state.shape) <= 4:
            raise UserError(f"state {state.name} has shape {state.shape}")
        for size in state.shape:
            _whole(f"a size of state {state.name}", size, _MOST_NUMBERS)
        if math.prod(state.shape) > _MOST_NUMBERS:
            raise UserError(f"state {state.name} has shape {state.shape}")
    return found


def _names(names: list[str] | None, num_classes: int) -> tuple[str, ...] | None:
    if names is None:
        return None
    if not all(isinstance(name, str) for name in names) or len(names) != num_classes:
        raise UserError(f"class_names must be {num_classes} names")
    return tuple(names)


def _whole(name: str, value: Any, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise UserError(f"{name} is {value!r}")
