"""An artefact as a model: whatever takes a model from clips to logits takes this."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import UserError
from ..models.runnable import RunsAnywhere
from .artefact import ArtefactInfo, lay_out
from .targets.table import Runner, get_target


class ExportedModel(RunsAnywhere, nn.Module):
    """Runs an artefact where a model of this package is expected.

    Args:
        info: What the artefact says of itself.
        runner: Runs it.
        path: Its file, for messages.
        threads: Threads that the runner uses.
        at_once: Clips in one call of an artefact that leaves the batch free; None for all. One is
            the fastest in every runtime: the features of more leave the processor's cache.
        computes_in: Of the precisions of :class:`.Scorer`, the one that the runner computes in.
    """

    fused = True
    only_device = torch.device("cpu")

    def __init__(
        self,
        info: ArtefactInfo,
        runner: Runner,
        *,
        path: str | Path,
        threads: int,
        at_once: int | None = 1,
        computes_in: str = "32",
    ):
        super().__init__()
        self.facts = {
            "target": info.target,
            "runtime": get_target(info.target).title,
            "form": info.form,
            "precision": info.precision,
            "sha256": info.sha256,
        }
        self.runs_precisions = (computes_in,)
        self.known_cost = (info.parameters, info.macs_per_view)
        self.artefact, self.runner, self.path, self.threads = info, runner, Path(path), threads
        self.at_once = at_once
        self.clip = info.clip
        self.class_names = info.class_names
        self.multi_label = info.multi_label
        self.num_classes = info.num_classes
        self.info: dict[str, Any] = dict(info.model_info)
        self.takes_uint8 = info.input.dtype == "uint8"

    def forward(self, x: Tensor) -> Tensor:
        """Classify clips, in parts of the batch that the artefact takes, or of ``at_once``.

        Args:
            x: (B, 3, T, H, W), normalised float, or uint8 RGB where ``takes_uint8``.

        Returns:
            Logits (B, K), float32.

        Raises:
            UserError: If the type or shape is none that the artefact takes.
        """
        self._check(x)
        batch = self.artefact.input.batch
        if batch is None:
            return torch.cat([self._run(part) for part in x.split(self.at_once or len(x))])
        parts = []
        for part in x.split(batch):
            # The last part is filled up with its last clip, whose logits are then dropped.
            missing = batch - len(part)
            full = (
                torch.cat([part, part[-1:].expand(missing, *part.shape[1:])]) if missing else part
            )
            parts.append(self._run(full)[: len(part)])
        return torch.cat(parts)

    def inputs(self, x: Tensor) -> np.ndarray:
        """The clips (B, 3, T, H, W) as the artefact takes them: its layout, C-contiguous."""
        return lay_out(x, self.artefact.input.layout).contiguous().numpy()

    def fuse(self) -> ExportedModel:
        """Itself: there is nothing left to fold."""
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> ExportedModel:
        # Sessions of runtimes cannot be copied, and running one changes nothing in it.
        return self

    def _run(self, x: Tensor) -> Tensor:
        return torch.from_numpy(np.asarray(self.runner(self.inputs(x))[0], dtype=np.float32))

    def _check(self, x: Tensor) -> None:
        wanted = torch.uint8 if self.takes_uint8 else torch.float32
        if x.dtype != wanted:
            raise UserError(f"{self.path} takes {_name(wanted)} clips, not {_name(x.dtype)}")
        free, clip = self.artefact.input.free, self.clip
        fits = x.dim() == 5 and x.shape[1] == 3 and len(x) > 0
        fits = fits and ("num_frames" in free or self._fits_frames(x.shape[2]))
        if not fits or not ("size" in free or tuple(x.shape[3:]) == (clip.crop_size,) * 2):
            frames = "T" if "num_frames" in free else self._frames_words()
            size = "H, W" if "size" in free else f"{clip.crop_size}, {clip.crop_size}"
            raise UserError(
                f"{self.path} takes clips (B, 3, {frames}, {size}), not {tuple(x.shape)}"
            )

    def _fits_frames(self, count: int) -> bool:
        """Whether clips of so many frames are taken where they are not free."""
        return count == self.clip.num_frames

    def _frames_words(self) -> str:
        return str(self.clip.num_frames)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
