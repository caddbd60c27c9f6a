"""The proof that an artefact computes what its checkpoint does."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..clip_spec import ClipSpec
from ..console import track
from ..data.index.index import ClipIndex
from ..data.loading.dataset import ClipDataset
from ..data.loading.loader import make_loader
from ..data.transforms import EvalTransform, normalize
from ..data.video.backend import Reading
from ..errors import DataError
from ..procedural import ProceduralSpec, ProceduralVideo
from .artefact import Precision
from .runner import ExportedModel
from .stream import ExportedStream

SEED = 0
NUM_RANDOM, NUM_REAL = 4, 8
NUM_STEPS = 64
"""Steps of each stream that a streaming model is compared on."""


@dataclass(frozen=True)
class Bar:
    """What an artefact must reach."""

    difference: float | None
    """Largest difference of logits; None where only classes are compared."""
    top1: float
    """Share of clips with the same first class."""

    def __str__(self) -> str:
        same = "every clip" if self.top1 == 1 else f"{self.top1:.0%} of the clips"
        within = "" if self.difference is None else f"within {self.difference:g}, "
        return f"{within}the same first class on {same}"


@dataclass(frozen=True)
class ParityClip:
    """One clip, seen by both."""

    name: str
    difference: float
    """Largest difference of its logits."""
    expected: int
    """First class of the checkpoint."""
    found: int
    """First class of the artefact."""


@dataclass(frozen=True)
class Parity:
    """The outcome of :func:`compare`."""

    clips: tuple[ParityClip, ...]
    bar: Bar
    data: str
    """Where the real clips come from."""
    largest_logit: float
    """Largest absolute logit of the checkpoint, to judge the difference by."""
    steps: int | None = None
    """Steps of each, where they are streams."""

    @property
    def unit(self) -> str:
        """What was compared: ``clip`` or ``stream``."""
        return "clip" if self.steps is None else "stream"

    @property
    def max_difference(self) -> float:
        """Over all logits of all clips."""
        return max(clip.difference for clip in self.clips)

    @property
    def same_top1(self) -> int:
        """Clips with the same first class."""
        return sum(clip.expected == clip.found for clip in self.clips)

    @property
    def passed(self) -> bool:
        """Whether the bar is reached. A difference that is no number never reaches it."""
        bar = self.bar.difference
        near = all(clip.difference <= (float("inf") if bar is None else bar) for clip in self.clips)
        return near and self.same_top1 >= self.bar.top1 * len(self.clips)

    def worst(self) -> ParityClip:
        """A clip whose first class changed, else the one that differs most."""
        return max(
            self.clips, key=lambda c: (c.expected != c.found, not c.difference <= 0, c.difference)
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; a difference that is no number is null."""
        return {
            "passed": self.passed,
            "max_difference": _finite(self.max_difference),
            "largest_logit": _finite(self.largest_logit),
            "same_top1": self.same_top1,
            "num_clips": len(self.clips),
            "bar": {"difference": self.bar.difference, "top1": self.bar.top1},
            "data": self.data,
            "seed": SEED,
            **({} if self.steps is None else {"steps": self.steps}),
            "clips": [
                {
                    "name": clip.name,
                    "difference": _finite(clip.difference),
                    "expected": clip.expected,
                    "found": clip.found,
                }
                for clip in self.clips
            ],
        }

    def summary(self) -> str:
        """One line for a person."""
        close = "similar" if self.bar.difference is None else "equal"
        verdict = close if self.passed else f"NOT {close.upper()}"
        of = "clips" if self.steps is None else f"streams of {self.steps} steps"
        return (
            f"{verdict}: largest difference of logits {self.max_difference:.1e} (the largest logit "
            f"is {self.largest_logit:.2g}), same first class on {self.same_top1} of "
            f"{len(self.clips)} {of} (asked: {self.bar})"
        )


def bar_of(precision: Precision, largest_logit: float) -> Bar:
    """What is asked of an artefact of a precision.

    Args:
        precision: ``fp32`` must agree to rounding: 1e-4. Weights in half precision (``fp16``) have
            11 bits, so a hundredth of the largest logit is allowed. ``int8`` trades accuracy for
            speed on purpose: what it costs is measured with `vmf evaluate`, not here; only clips
            that come out as noise are caught.
        largest_logit: Of the checkpoint on the same clips.
    """
    if precision == "fp32":
        return Bar(1e-4, 1.0)
    if precision == "fp16":
        return Bar(max(1e-3, 1e-2 * largest_logit), 1.0)
    return Bar(None, 0.5)


@torch.no_grad()
def compare(
    model: nn.Module, exported: ExportedModel, clips: Sequence[tuple[str, Tensor]], data: str
) -> Parity:
    """Run a model and its artefact on the same clips.

    Args:
        model: In eval mode; normalised clips in, logits out.
        exported: The artefact, loaded from its file.
        clips: Names and clips ``(3, T, H, W)`` uint8.
        data: Where the real ones come from.
    """
    found, largest = [], 0.0
    groups = list(_groups(clips, exported.artefact.input.batch or 2))
    for group in track(groups, description="comparing", total=len(groups)):
        pixels = torch.stack([clip for _, clip in group])
        normal = normalize(pixels, exported.clip)
        expected = model(normal)
        logits = exported(pixels if exported.takes_uint8 else normal)
        largest = max(largest, expected.abs().max().item())
        found += [
            ParityClip(name, difference, wanted, given)
            for (name, _), difference, wanted, given in zip(
                group,
                (expected - logits).abs().amax(dim=1).tolist(),
                expected.argmax(dim=1).tolist(),
                logits.argmax(dim=1).tolist(),
                strict=True,
            )
        ]
    return Parity(tuple(found), bar_of(exported.artefact.precision, largest), data, largest)


@torch.no_grad()
def compare_streams(
    model: Any, exported: ExportedStream, streams: Sequence[tuple[str, Tensor]], data: str
) -> Parity:
    """Run a streaming model and its artefact on the same streams, step by step.

    Each carries its own state, so that a difference may grow. Logits are compared after every
    step, first classes after the last.

    Args:
        model: See :class:`~..models.runnable.StreamingModel`; in eval mode.
        exported: The artefact, loaded from its file.
        streams: Names and frames ``(3, S, H, W)`` uint8, all of one length.
        data: Where the real ones come from.
    """
    found, largest, steps = [], 0.0, 0
    groups = list(_groups(streams, exported.artefact.input.batch or 1))
    for group in groups:
        pixels = torch.stack([frames for _, frames in group])
        normal = normalize(pixels, exported.clip)
        given = pixels if exported.takes_uint8 else normal
        side, count = pixels.shape[-1], exported.frames_per_update
        states = [one.init_state(len(group), side) for one in (model, exported)]
        worst = torch.zeros(len(group))
        parts = list(zip(normal.split(count, dim=2), given.split(count, dim=2), strict=True))
        expected = logits = worst
        for ours, theirs in track(parts, description="comparing", total=len(parts)):
            expected, states[0] = model.step(ours, states[0])
            logits, states[1] = exported.step(theirs, states[1])
            difference = (expected - logits).abs().amax(dim=1)
            worst = torch.where(difference.isnan(), difference, torch.maximum(worst, difference))
            largest = max(largest, expected.abs().max().item())
        steps = len(parts)
        found += [
            ParityClip(name, difference, wanted, got)
            for (name, _), difference, wanted, got in zip(
                group,
                worst.tolist(),
                expected.argmax(dim=1).tolist(),
                logits.argmax(dim=1).tolist(),
                strict=True,
            )
        ]
    bar = bar_of(exported.artefact.precision, largest)
    return Parity(tuple(found), bar, data, largest, steps)


def parity_streams(
    clips: Sequence[tuple[str, Tensor]], frames_per_update: int
) -> list[tuple[str, Tensor]]:
    """Two streams of many steps: random frames, and real clips one after another.

    Args:
        clips: Result of :func:`parity_clips`.
        frames_per_update: Frames of a step.

    Returns:
        Names and frames ``(3, S, H, W)`` uint8; clips are repeated to fill them.
    """
    count = NUM_STEPS * frames_per_update
    kinds = {"random frames": clips[:NUM_RANDOM], "clips one after another": clips[NUM_RANDOM:]}
    streams = []
    for name, some in kinds.items():
        joined = torch.cat([frames for _, frames in some], dim=1)
        repeats = -(-count // joined.shape[1])
        streams.append((name, joined.repeat(1, repeats, 1, 1)[:, :count]))
    return streams


def _groups(clips: Sequence[tuple[str, Tensor]], size: int) -> Iterator[list[tuple[str, Tensor]]]:
    """Clips in a row of the same shape, at most ``size`` at once."""
    group: list[tuple[str, Tensor]] = []
    for pair in clips:
        if group and (len(group) == size or group[0][1].shape != pair[1].shape):
            yield group
            group = []
        group.append(pair)
    if group:
        yield group


def parity_clips(
    spec: ClipSpec,
    index: ClipIndex | None = None,
    *,
    free: Sequence[str] = (),
    reading: Reading | None = None,
) -> tuple[list[tuple[str, Tensor]], str]:
    """Random and real clips, the same ones every time.

    Args:
        spec: What the model takes.
        index: Where real clips are taken from, spread evenly over it; None takes procedural
            clips of the family ``motion``, each of another class.
        free: Free dimensions of the artefact: clips of other frames and sizes are then added.
        reading: How files are read.

    Returns:
        Names and clips ``(3, T, H, W)`` uint8, and where the real ones come from.

    Raises:
        DataError: If none of the clips asked for can be read.
    """
    generator = torch.Generator().manual_seed(SEED)
    frames, size = spec.num_frames, spec.crop_size
    shapes = [(3, frames, size, size)] * NUM_RANDOM
    if "num_frames" in free:
        shapes.append((3, frames + 3, size, size))
    if "size" in free:
        shapes.append((3, frames, size + 32, size + 64))
    noise = [
        (
            f"random {i} ({'×'.join(map(str, shape[1:]))})",
            torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator),
        )
        for i, shape in enumerate(shapes)
    ]
    if index is None:
        return noise + _procedural(spec), "procedural clips"
    return noise + _read(spec, index, reading), index.source


def _procedural(spec: ClipSpec) -> list[tuple[str, Tensor]]:
    transform = EvalTransform(spec, 1)
    # Four frames are the fewest that show a motion; a model may take less.
    moving = ProceduralSpec(families=("motion",), num_frames=max(4, spec.num_frames), size=128)
    video = ProceduralVideo(moving, seed=SEED)
    batch = video.batch(0, NUM_REAL)
    return [
        (
            f"procedural: {video.class_names[label]}",
            transform(clip[:, : spec.num_frames].transpose(0, 1))[0].transpose(0, 1).contiguous(),
        )
        for clip, label in zip(batch.clips, batch.labels.tolist(), strict=True)
    ]


def _read(spec: ClipSpec, index: ClipIndex, reading: Reading | None) -> list[tuple[str, Tensor]]:
    step = max(1, len(index.clips) // NUM_REAL)
    rows = np.arange(0, min(len(index.clips), step * NUM_REAL), step)
    few = dataclasses.replace(index, clips=index.table.take(rows))
    dataset = ClipDataset(few, spec, train=False, reading=reading)
    found, failed = [], []
    for batch in make_loader(dataset, batch_size=1, num_workers=0):
        failed += [f"{few.clips[f.index].path}: {f.reason}" for f in batch["failures"]]
        for position, clip in zip(batch["indices"].tolist(), batch["clips"], strict=True):
            found.append((str(few.clips[position].name or few.clips[position].path), clip[0]))
    if not found:
        why = f" ({failed[0]})" if failed else ""
        raise DataError(f"{index.source}: no clip to compare with could be read{why}")
    return found


def _finite(value: float) -> float | None:
    return value if value - value == 0 else None
