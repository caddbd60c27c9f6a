"""An artefact of a streaming model as a model: steps with states, or clips as their steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError
from ..models.streaming import reset_streams
from .artefact import ArtefactInfo, ArtefactStream
from .runner import ExportedModel
from .targets.table import StatefulRunner


class ExportedStream(ExportedModel):
    """Runs an artefact where a streaming model of this package is expected.

    Args:
        info: What the artefact says of itself.
        arguments: See :class:`.ExportedModel`.
    """

    def __init__(self, info: ArtefactInfo, *arguments: Any, **options: Any):
        super().__init__(info, *arguments, **options)
        assert info.stream is not None
        self.stream: ArtefactStream = info.stream
        self.frames_per_update = info.stream.frames_per_update
        self.facts = {**(self.facts or {}), "stateful": info.stream.stateful}
        self._last: dict[str, Tensor] | None = None
        """The state that the runtime holds, where it keeps states itself."""

    def init_state(
        self,
        batch: int,
        size: int | tuple[int, int],
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> dict[str, Tensor]:
        """The state of streams of which nothing was seen: zeros.

        Args:
            batch: Streams B, any number.
            size: Height and width of the frames: those of the artefact.
            device: The CPU, or None.
            dtype: float32, or None.

        Raises:
            UserError: If the artefact takes frames of another size.
        """
        side = self.clip.crop_size
        if size not in (side, (side, side)):
            raise UserError(f"{self.path} takes frames of {side}×{side} pixels, not {size}")
        return {state.name: torch.zeros(batch, *state.shape[1:]) for state in self.stream.states}

    def step(self, frames: Tensor, state: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Take in the next frames of each stream.

        Args:
            frames: (B, 3, S, H, W) of the artefact's type, S a multiple of ``frames_per_update``.
            state: What :meth:`init_state` or the step before returned.

        Returns:
            Logits (B, K), float32, and the state for the next step.

        Raises:
            UserError: If frames or state are none that the artefact takes.
        """
        self._check(frames)
        logits = torch.zeros(0)
        for update in frames.split(self.frames_per_update, dim=2):
            logits, state = self._update(update, state)
        return logits, dict(state)

    def reset(
        self, state: Mapping[str, Tensor], which: Tensor | Sequence[int]
    ) -> dict[str, Tensor]:
        """Start some streams anew: their numbers, or (B,) of bool; the others are left alone."""
        return reset_streams(state, which)

    def forward(self, x: Tensor) -> Tensor:
        """Classify clips (B, 3, T, H, W): run their steps, and return the last logits."""
        return self.forward_steps(x)[:, -1]

    def forward_steps(self, clip: Tensor) -> Tensor:
        """Logits after each update of clips (B, 3, T, H, W), as (B, T / P, K)."""
        self._check(clip)
        state: Mapping[str, Tensor] = self.init_state(len(clip), self.clip.crop_size)
        found = []
        for update in clip.split(self.frames_per_update, dim=2):
            logits, state = self._update(update, state)
            found.append(logits)
        return torch.stack(found, dim=1)

    def _update(
        self, frames: Tensor, state: Mapping[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        names = [one.name for one in self.stream.states]
        if state.keys() != set(names) or any(len(state[name]) != len(frames) for name in names):
            raise UserError(f"{self.path}: the state is not one of {len(frames)} of its streams")
        batch = self.artefact.input.batch or 1
        if self.stream.stateful and len(frames) == batch:
            return self._update_kept(frames, state)
        parts = []
        for start in range(0, len(frames), batch):
            rows = slice(start, start + batch)
            inputs = [_filled(frames[rows], batch)]
            inputs += [_filled(state[name][rows], batch) for name in names]
            parts.append([one[: len(frames[rows])] for one in self._call(inputs)])
        logits, *after = (torch.cat(same) for same in zip(*parts, strict=True))
        return logits, dict(zip(names, after, strict=True))

    def _call(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Logits and next states of frames and states, as many streams as the artefact takes."""
        frames, states = self.inputs(inputs[0]), [_array(one) for one in inputs[1:]]
        if self.stream.stateful:
            runner = cast("StatefulRunner", self.runner)
            self._last = None
            runner.write(states)
            found = [*runner(frames), *runner.read()]
        else:
            found = self.runner(frames, *states)
        return [torch.from_numpy(np.asarray(one, dtype=np.float32)) for one in found]

    def _update_kept(
        self, frames: Tensor, state: Mapping[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """As :meth:`_update`; the runtime is given a state only if it is not the one it holds."""
        runner = cast("StatefulRunner", self.runner)
        names = [one.name for one in self.stream.states]
        if state is not self._last:
            runner.write([_array(state[name]) for name in names])
        self._last = None  # until the step is done
        logits = torch.from_numpy(np.asarray(runner(self.inputs(frames))[0], dtype=np.float32))
        after = {name: torch.from_numpy(v) for name, v in zip(names, runner.read(), strict=True)}
        self._last = after
        return logits, after

    def _fits_frames(self, count: int) -> bool:
        return count > 0 and count % self.frames_per_update == 0

    def _frames_words(self) -> str:
        return f"a multiple of {self.frames_per_update}"


def _filled(rows: Tensor, count: int) -> Tensor:
    """Rows, the last one repeated up to a number."""
    missing = count - len(rows)
    return torch.cat([rows, rows[-1:].expand(missing, *rows.shape[1:])]) if missing else rows


def _array(value: Tensor) -> np.ndarray:
    return value.detach().to("cpu", torch.float32).contiguous().numpy()
