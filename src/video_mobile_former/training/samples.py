"""What a trained network says of a few validation clips, for the page of its run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from ..data.video.moving import preview_of
from ..inference.scorer import Scorer
from ..models.registry import load_checkpoint
from ..page import Preview
from .recipe.fields import Recipe

NUM_SAMPLES = 12


@dataclass(frozen=True)
class SampleClip:
    """A validation clip as the network sees it."""

    name: str
    """Its path as written in the data."""
    frames: Tensor
    """``(3, T, H, W)`` uint8."""
    true: tuple[str, ...]
    """Its classes; one, or of multi-label data any number."""
    seconds: float
    """From its first frame to the end of its last."""


@dataclass(frozen=True)
class Sample:
    """A validation clip, and what the network says of it."""

    name: str
    preview: Preview
    true: tuple[str, ...]
    predicted: tuple[tuple[str, float], ...]
    """The three highest probabilities, highest first."""
    right: bool
    """Whether the highest one is of a class of the clip."""


class Clips(Protocol):
    """The clips of a run."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the logits in order."""
        ...

    def samples(self, count: int) -> Iterator[SampleClip]:
        """Validation clips, evenly over the classes; those that cannot be read are omitted."""
        ...


def sample_predictions(clips: Clips, checkpoint: Path, recipe: Recipe) -> tuple[Sample, ...]:
    """Ask a network about a few validation clips, which are chosen without looking at the answers.

    Args:
        clips: The clips of the run.
        checkpoint: The network.
        recipe: Says on what kind of device.

    Raises:
        UserError: If the checkpoint cannot be read.
    """
    chosen = list(clips.samples(NUM_SAMPLES))
    if not chosen:
        return ()
    device = recipe.train.device
    if device == "gpu":
        device = "cuda" if torch.cuda.is_available() else "mps"
    scorer = Scorer(load_checkpoint(checkpoint), device=device, views_at_once=4)
    scores = torch.cat([scorer(one.frames[None, None]) for one in chosen])
    rows = zip(chosen, scores, strict=True)
    return tuple(_sample(clip, row, clips.class_names) for clip, row in rows)


def _sample(clip: SampleClip, scores: Tensor, names: Sequence[str]) -> Sample:
    best = scores.argsort(descending=True, stable=True)[:3].tolist()
    pictures: Any = clip.frames.permute(1, 2, 3, 0).contiguous().numpy()
    predicted = tuple((str(names[k]), float(scores[k])) for k in best)
    return Sample(
        name=clip.name,
        preview=preview_of([*_few(pictures)], clip.seconds),
        true=clip.true,
        predicted=predicted,
        right=predicted[0][0] in clip.true,
    )


def _few(pictures: Any) -> Any:
    """At most 20 pictures, evenly."""
    count = min(20, len(pictures))
    return pictures[[i * len(pictures) // count for i in range(count)]]
