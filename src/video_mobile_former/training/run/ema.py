"""A running average of the weights, which generalises better than the weights themselves.

``torch.optim.swa_utils.AveragedModel`` does the same; this one adds a decay that rises over the
first steps (a run on a few hundred clips is over before a decay of 0.999 has forgotten the random
start), averages buffers whatever their type, and keeps its state as plain tensors.
"""

from __future__ import annotations

import copy
import itertools
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class WeightAverage:
    """Exponential moving average of a model's parameters and buffers.

    Args:
        model: Copied; the copy in :attr:`model` stays in eval mode and takes no gradients.
        decay: Share of the old average kept at a step in the long run, in [0, 1).
    """

    def __init__(self, model: nn.Module, decay: float):
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay
        self.steps = 0
        self._pairs: _Pairs | None = None

    def to(self, device: torch.device) -> None:
        """Move the average to a device; the model that is averaged must be there by then."""
        self.model.to(device)
        self._pairs = None

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take the weights after one more optimiser step into the average.

        Args:
            model: The same object at every call.
        """
        self.steps += 1
        if self._pairs is None:
            self._pairs = _pair(self.model, model)
        averaged, counters = self._pairs
        blend = get_ema_multi_avg_fn(average_decay(self.steps, self.decay))
        for mine, theirs in averaged.values():
            blend(mine, theirs, self.steps)
        for mine, theirs in counters:
            mine.copy_(theirs)

    @torch.no_grad()
    def share_buffers(self) -> None:
        """Take the averages of buffers from the first process, whose state is the saved one.

        Every process calls it at the same time; parameters are the same in all of them.
        """
        buffers = [one for one in self.model.buffers() if one.is_floating_point()]
        for dtype in {one.dtype for one in buffers}:  # one message for all of a type
            mine = [one for one in buffers if one.dtype == dtype]
            together = torch.cat([one.flatten() for one in mine])
            dist.broadcast(together, 0)
            parts = together.split([one.numel() for one in mine])
            for one, part in zip(mine, parts, strict=True):
                one.copy_(part.view_as(one))

    def state_dict(self) -> dict[str, Any]:
        """Tensors and counters to resume from."""
        return {"steps": self.steps, "model": self.model.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what :meth:`state_dict` gave."""
        self.steps = state["steps"]
        self.model.load_state_dict(state["model"])


def average_decay(step: int, decay: float) -> float:
    """The decay at a step counted from 1: it rises as (1 + step) / (10 + step) up to ``decay``."""
    return min(decay, (1 + step) / (10 + step))


_Pairs = tuple[dict[torch.dtype, tuple[list[Tensor], list[Tensor]]], list[tuple[Tensor, Tensor]]]


def _pair(average: nn.Module, model: nn.Module) -> _Pairs:
    """Entries of both models side by side: floating ones by type, and the counters.

    Those of one type go through one fused call.
    """
    groups: dict[torch.dtype, tuple[list[Tensor], list[Tensor]]] = {}
    counters: list[tuple[Tensor, Tensor]] = []
    pairs = zip(
        itertools.chain(average.parameters(), average.buffers()),
        itertools.chain(model.parameters(), model.buffers()),
        strict=True,
    )
    for mine, theirs in pairs:
        if mine.is_floating_point():
            group = groups.setdefault(mine.dtype, ([], []))
            group[0].append(mine)
            group[1].append(theirs)
        else:
            counters.append((mine, theirs))
    return groups, counters
