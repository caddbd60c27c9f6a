"""Contestants: a model in one runtime, graph form and batch size."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from ..clip_spec import ClipSpec
from ..errors import UserError
from ..export.loading import load_artefact, read_info
from ..export.lowering import GraphForm
from ..export.stream import ExportedStream
from ..export.targets.table import target_of
from ..models.registry import create_model, list_models, resolve_model
from ..models.runnable import StreamingModel
from ..models.video_model import VideoModel

EAGER = "eager"
SEED = 0
FormChoice = Literal["auto", "volume", "frames", "all"]

_WITH_CLIP = re.compile(r"(?P<name>.+)@(?P<frames>[1-9]\d*)(x(?P<size>[1-9]\d*))?")


@dataclass(frozen=True)
class ModelChoice:
    """A model and its input clip."""

    label: str
    """Name as the user gave it."""
    name: str
    """An artefact, a checkpoint folder or a name of :func:`.list_models`."""
    num_frames: int | None = None
    """None for the model's own."""
    size: int | None = None
    """Height and width; None for the model's own."""

    @classmethod
    def parse(
        cls, text: str, *, num_frames: int | None = None, size: int | None = None
    ) -> ModelChoice:
        """Parse ``NAME``, ``NAME@FRAMES`` or ``NAME@FRAMESxSIZE``, such as ``vmf_6g@16``.

        Args:
            text: The user's text; an existing path is taken as it is.
            num_frames: Default where the text gives no frames.
            size: Default where the text gives no size.

        Raises:
            UserError: If anything else follows the ``@`` of a known model.
        """
        if Path(text).exists():
            return cls(text, text, num_frames, size)
        found = _WITH_CLIP.fullmatch(text)
        if found is None:
            name, at, clip = text.rpartition("@")
            if at and (name in list_models() or Path(name).exists()):
                raise UserError(
                    f"{text}: after @ stand frames, or frames and size, as {name}@16 or "
                    f"{name}@16x160, not {clip!r}"
                )
            return cls(text, text, num_frames, size)
        at = found["size"]
        return cls(text, found["name"], int(found["frames"]), size if at is None else int(at))

    @property
    def is_artefact(self) -> bool:
        """Whether it is a file of ``vmf export``."""
        return target_of(self.name) is not None and self.name not in list_models()

    @property
    def is_untrained(self) -> bool:
        """Whether it is a model name, which means fresh weights."""
        return self.name in list_models() and not Path(self.name).exists()

    def check(self) -> None:
        """Check that the model exists, without loading it.

        Raises:
            UserError: If there is no such model.
        """
        if not (self.is_untrained or Path(self.name).is_dir()):
            if self.is_artefact:
                read_info(self.name)
            else:
                resolve_model(self.name)

    def open(self) -> VideoModel:
        """Load the model in eval mode, with the requested clip as its native one.

        Fresh weights are the same in every process, and their BatchNorms have statistics of data:
        with initial statistics activations would shrink from block to block, and measured
        differences between runtimes would mean little.

        Raises:
            UserError: If there is no such model.
        """
        if self.is_untrained:
            torch.manual_seed(SEED)
            model = create_model(self.name)
            with torch.no_grad():
                frames = model.frames_per_update if isinstance(model, StreamingModel) else 4
                for _ in range(2):
                    model(torch.randn(2, 3, max(4, frames), 64, 64))
            model.eval()
        else:
            model = resolve_model(self.name)
        model.clip = self.clip_of(model.clip)
        return model

    def clip_of(self, native: ClipSpec) -> ClipSpec:
        """The native clip with the requested frames and size."""
        size = self.size or native.crop_size
        return dataclasses.replace(
            native,
            num_frames=self.num_frames or native.num_frames,
            crop_size=size,
            resize_size=max(size, native.resize_size),
        )


@dataclass(frozen=True)
class Contestant:
    """One model in one runtime, graph form and batch; plain data that a fresh process can load."""

    choice: ModelChoice
    runtime: str
    """``eager``, or the name of an export target."""
    form: GraphForm
    batch: int
    clip: tuple[int, int]
    """Frames, height and width of the input; of a stream, those of a step."""
    macs: int
    """Multiply-accumulates per clip or step."""
    path: str | None = None
    """Its artefact; None for eager."""
    precision: str = "fp32"
    layout: str = "BCTHW"
    """Order of the input's dimensions."""
    fused: bool = True
    """Eager: with BatchNorms folded, as in use."""
    size_bytes: int | None = None
    """Of the artefact's files."""
    max_difference: float | None = None
    """Largest difference of its logits from those of the eager model."""
    streams: bool = False
    """What is measured is one step of a stream: frames and states in, logits and states out."""

    @property
    def label(self) -> str:
        """Names it in messages."""
        unfused = "" if self.fused else ", not fused"
        return f"{self.choice.label} in {self.runtime} ({self.form}, batch {self.batch}{unfused})"


def load_contestant(contestant: Contestant, num_threads: int) -> Callable[[], object]:
    """Load a contestant and return the call to measure.

    The call is the runtime's work alone: the input is ready in the artefact's layout, the logits
    are left as the runtime gives them.

    Args:
        contestant: What to load.
        num_threads: Threads for it; for eager a process-wide setting.

    Raises:
        UserError: If it cannot be loaded, or does not take such clips.
    """
    torch.set_num_threads(num_threads)
    if contestant.path is None:
        return _load_eager(contestant)
    model = load_artefact(contestant.path, num_threads)
    clips = example_clips(contestant, uint8=model.takes_uint8)
    if isinstance(model, ExportedStream):
        return _steps(model, clips)
    at_once = model.artefact.input.batch or len(clips)
    if len(clips) % at_once:
        raise UserError(
            f"{contestant.path} takes {at_once} clips at once; --batch must be a multiple of that"
        )
    model(clips)  # raises if it does not take such clips
    inputs = [model.inputs(part) for part in clips.split(at_once)]
    runner = model.runner

    def run() -> None:
        for part in inputs:
            runner(part)

    return run


def _steps(model: ExportedStream, clips: Tensor) -> Callable[[], object]:
    """Steps of streams that go on: each takes the states that the one before left."""
    if len(clips) != model.artefact.input.batch:
        raise UserError(
            f"{model.path} takes {model.artefact.input.batch} streams at once; --batch must be that"
        )
    _, state = model.step(clips, model.init_state(len(clips), model.clip.crop_size))
    frames, runner = model.inputs(clips), model.runner
    if model.stream.stateful:
        return lambda: runner(frames)
    states = [[value.numpy() for value in state.values()]]

    def run() -> None:
        _, *states[0] = runner(frames, *states[0])

    return run


def example_clips(contestant: Contestant, *, uint8: bool = False) -> Tensor:
    """Fixed random clips (B, 3, T, H, W) for a contestant."""
    num_frames, size = contestant.clip
    shape = (contestant.batch, 3, num_frames, size, size)
    generator = torch.Generator().manual_seed(SEED)
    if uint8:
        return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    return torch.randn(shape, generator=generator)


def _load_eager(contestant: Contestant) -> Callable[[], object]:
    model = contestant.choice.open()
    if contestant.fused:
        model = model.fuse()
    model.set_form(contestant.form)
    clips = example_clips(contestant)
    if contestant.streams:
        assert isinstance(model, StreamingModel)
        state = [model.init_state(len(clips), clips.shape[-1])]

        def step() -> None:
            with torch.inference_mode():
                _, state[0] = model.step(clips, state[0])

        return step

    def run() -> None:
        with torch.inference_mode():
            model(clips)

    return run
