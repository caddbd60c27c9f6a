"""Predicting the classes of video files, one by one or many at once."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..data.byte_ranges import join
from ..data.index.clip import Clip
from ..data.index.index import ClipIndex
from ..data.limits import Limits, limited
from ..data.loading.dataset import ClipDataset
from ..data.loading.loader import default_workers, make_loader
from ..data.video.backend import Reading
from ..errors import UserError, VideoError, check_at_least, check_path
from ..text import encodable
from .embedding import Embedding
from .given import Source, views_of
from .scorer import Average, Precision, Scorer, at_least_one

_FEW_FILES = 32
"""Number of files below which starting worker processes (seconds) costs more than it saves."""


@dataclass(frozen=True)
class Prediction:
    """The most probable classes of one video."""

    path: str
    """As it was given; empty for a tensor."""
    labels: tuple[str, ...]
    """Class names, most probable first."""
    scores: tuple[float, ...]
    """Their probabilities in [0, 1], averaged over views; those of a multi-label model are
    independent and need not sum to 1."""
    classes: tuple[int, ...]
    """Their positions among the logits."""
    num_frames: int
    """Frames seen by the model, all views together."""
    padded: bool = False
    """The video is shorter than one clip of the model, so its last frame was repeated."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; scores to six decimals."""
        ranked = zip(self.labels, self.classes, self.scores, strict=True)
        return {
            "path": encodable(self.path),
            "predictions": [
                {"label": encodable(label), "class": number, "score": round(score, 6)}
                for label, number, score in ranked
            ],
            "num_frames": self.num_frames,
            "padded": self.padded,
        }


@dataclass(frozen=True)
class PredictionFailure:
    """A file that could not be predicted."""

    path: str
    reason: str
    """One phrase."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {"path": encodable(self.path), "error": encodable(self.reason)}


class Predictor:
    """Recognises actions in video files with one model.

    Args:
        model: Has ``clip`` and, where its classes have names, ``class_names``; not changed.
        device: ``"auto"`` or a name torch knows.
        num_views: Clips per video, spread over its length, whose probabilities are averaged.
        num_crops: Crops per clip: 1 is the centre, more are spread evenly over the long side, both
            ends included, so that 3 are the ends and the centre.
        precision: ``"32"``, or ``"bf16"`` for bfloat16 autocast.
        average: ``"probabilities"`` or ``"logits"``.
        reading: Decode backend, and frame rate of folders of pictures; None takes the defaults.

    Raises:
        UserError: If an argument is out of range or the device is absent.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        device: str | torch.device = "auto",
        num_views: int = 1,
        num_crops: int = 1,
        precision: Precision = "32",
        average: Average = "probabilities",
        reading: Reading | None = None,
    ):
        at_least_one("num_views", num_views)
        at_least_one("num_crops", num_crops)
        self.scorer = Scorer(model, device=device, precision=precision, average=average)
        self.class_names = self.scorer.model.class_names
        self.num_views = num_views
        self.num_crops = num_crops
        self.reading = reading or Reading()
        self.reading.check()

    def predict(
        self, source: Source, *, top_k: int = 5, frame_rate: float | None = None
    ) -> Prediction:
        """Recognise one video.

        Args:
            source: Path of a file or of a folder of pictures; the bytes of a file; an open binary
                file, read from its position to its end; a PyAV container, decoded from its
                position; or frames, uint8 RGB of any number and size, as a tensor
                ``(T, 3, H, W)`` or a numpy array ``(T, H, W, 3)``.
            top_k: Classes to return, at least 1; all of them where there are fewer.
            frame_rate: Frames per second of a tensor or array, used by dense sampling only; None
                means the rate in which the model's stride is counted.

        Returns:
            The classes, most probable first; ``path`` is empty where the source has none.

        Raises:
            VideoError: If the video cannot be read.
            UserError: If the source is none of these or ``top_k`` is out of range.
        """
        at_least_one("top_k", top_k)
        if isinstance(source, (str, os.PathLike)):
            result = next(self.predict_many([source], top_k=top_k, num_workers=0))
            if isinstance(result, PredictionFailure):
                raise VideoError(result.path, result.reason)
            return result
        clips, padded = self._views(source, frame_rate)
        result = self.score(clips[None], [""], [padded], top_k)[0]
        if isinstance(result, PredictionFailure):
            raise UserError(result.reason)
        return result

    def embed(self, source: Source, *, frame_rate: float | None = None) -> Embedding:
        """What the model makes of one video before it names a class.

        Args:
            source: See :meth:`predict`.
            frame_rate: See :meth:`predict`.

        Returns:
            ``features`` (D,), the input of the last linear layer, and ``tokens`` (M, D'); means
            over the views.

        Raises:
            VideoError: If the video cannot be read.
            UserError: If the source is none of these, or the model is an artefact, which gives
                scores only.
        """
        self.scorer.check_embeds()
        name = ""
        guard: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()
        if isinstance(source, (str, os.PathLike)):
            name = os.fspath(source)
            source = join(Path.cwd(), name)
            guard = limited(name, Limits())
        with guard:
            clips, padded = self._views(source, frame_rate)
        return self.embed_views(clips[None], [name], [padded])[0]

    def embed_views(self, clips: Tensor, names: list[str], padded: list[bool]) -> list[Embedding]:
        """Embed ``(B, V, 3, T, H, W)`` uint8: one result for each of the B videos."""
        features, tokens = self.scorer.embed(clips)
        return [
            Embedding(
                path=name,
                features=features[number].numpy(),
                tokens=None if tokens is None else tokens[number].numpy(),
                num_frames=self._num_frames(clips),
                padded=padded[number],
            )
            for number, name in enumerate(names)
        ]

    def _views(self, source: Source, frame_rate: float | None) -> tuple[Tensor, bool]:
        """``(V, 3, T, S, S)`` uint8, and whether the end is padded."""
        if frame_rate is not None and not frame_rate > 0:
            raise UserError(f"frame_rate must be above 0, not {frame_rate}")
        return views_of(
            source,
            self.scorer.clip,
            num_views=self.num_views,
            num_crops=self.num_crops,
            frame_rate=frame_rate,
            reading=self.reading,
        )

    def _num_frames(self, clips: Tensor) -> int:
        """Frames of each video in ``(B, V, 3, T, H, W)``, crops aside."""
        return clips.shape[1] // self.num_crops * clips.shape[3]

    def predict_many(
        self,
        paths: Sequence[str | os.PathLike[str]],
        *,
        top_k: int = 5,
        num_workers: int | None = None,
        batch_size: int | None = None,
    ) -> Iterator[Prediction | PredictionFailure]:
        """Recognise many videos; a bad file yields a failure and the others go on.

        Args:
            paths: Files, see :func:`~.sources.expand_sources`.
            top_k: Classes per file, at least 1.
            num_workers: Decoding processes; 0 decodes in this one, None decides by the number of
                files and cores.
            batch_size: Files per forward pass; None takes 1 on a CPU, so that results come one by
                one, else 8.

        Yields:
            One result for each path, in the order of ``paths``.

        Raises:
            UserError: If an argument is out of range.
        """
        paths = [paths] if isinstance(paths, (str, os.PathLike)) else paths
        for path in paths:
            check_path("a video", path)
        at_least_one("top_k", top_k)
        if batch_size is None:
            batch_size = 1 if self.scorer.device.type == "cpu" else 8
        at_least_one("batch_size", batch_size)
        if num_workers is None:
            num_workers = default_workers() if len(paths) >= _FEW_FILES else 0
        check_at_least("num_workers", num_workers, 0)
        if not paths:
            return iter(())
        return self._run([os.fspath(path) for path in paths], top_k, num_workers, batch_size)

    def _run(
        self, paths: list[str], top_k: int, num_workers: int, batch_size: int
    ) -> Iterator[Prediction | PredictionFailure]:
        clips = tuple(Clip(path=join(Path.cwd(), path), labels=(0,), name=path) for path in paths)
        dataset = ClipDataset(
            ClipIndex(clips=clips, class_names=("",), source="the given files"),
            self.scorer.clip,
            train=False,
            num_views=self.num_views,
            num_crops=self.num_crops,
            reading=self.reading,
        )
        workers = min(num_workers, -(-len(paths) // batch_size))
        for batch in make_loader(dataset, batch_size=batch_size, num_workers=workers):
            found: dict[int, Prediction | PredictionFailure] = {
                failure.index: PredictionFailure(paths[failure.index], failure.reason)
                for failure in batch["failures"]
            }
            positions = batch["indices"].tolist()
            if positions:
                padded = [position in batch["padded"] for position in positions]
                names = [paths[position] for position in positions]
                results = self.score(batch["clips"], names, padded, top_k)
                found.update(zip(positions, results, strict=True))
            for position in sorted(found):
                yield found[position]

    def score(
        self, clips: Tensor, names: list[str], padded: list[bool], top_k: int
    ) -> list[Prediction | PredictionFailure]:
        """Score ``(B, V, 3, T, H, W)`` uint8: one result for each of the B videos."""
        probabilities = self.scorer(clips)
        if self.class_names is not None and len(self.class_names) != probabilities.shape[1]:
            raise UserError(
                f"the model has {len(self.class_names)} class names for "
                f"{probabilities.shape[1]} classes"
            )
        best = probabilities.topk(min(top_k, probabilities.shape[1]), dim=1)
        results: list[Prediction | PredictionFailure] = []
        rows = zip(names, padded, best.values.tolist(), best.indices.tolist(), strict=True)
        for name, short, scores, classes in rows:
            if not np.isfinite(scores).all():
                results.append(PredictionFailure(name, "the model's scores are not finite"))
                continue
            results.append(
                Prediction(
                    path=name,
                    labels=tuple(self._label(number) for number in classes),
                    scores=tuple(scores),
                    classes=tuple(classes),
                    num_frames=self._num_frames(clips),
                    padded=short,
                )
            )
        return results

    def _label(self, number: int) -> str:
        return f"class {number}" if self.class_names is None else self.class_names[number]
