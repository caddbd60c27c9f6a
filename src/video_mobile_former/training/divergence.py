"""A loss or a gradient that is not finite: when a run ends by it, and what it then says.

In fp16 the loss is scaled up so that small gradients do not vanish. Where that takes the gradient
beyond the largest number of fp16, the scaler leaves the step out and halves the scale: that is how
it finds the scale, and no divergence. A loss that is not finite is one in fp16 too, since no scale
enters it; by then activations have overflowed, and with them running statistics of BatchNorm.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from pathlib import Path

import torch.distributed as dist

from ..errors import UserError
from .recipe.fields import Recipe
from .run.lost import SharedError

MAX_OVERFLOWS = 20
"""Steps in a row that the fp16 scaler may leave out: its scale, 65,536 at first, is then < 1."""
LONG_GRADIENT = 50.0
"""Times the norm that gradients are cut to, or 1 if that is more. Runs that learn stay below 10."""
_STEPS_WATCHED = 64
_CLIPS_NAMED = 16


def loss_error(
    recipe: Recipe, step: int, loss: float, names: Callable[[], list[str]], world_size: int = 1
) -> UserError:
    """What to raise where the loss of a process is not finite; called by all processes alike.

    Args:
        recipe: Of the run.
        step: Of the optimiser, from 1.
        loss: That of this process.
        names: Gives the clips of its batch.
        world_size: Number of processes.
    """
    own = None if math.isfinite(loss) else (loss, names())
    found = [own]
    if world_size > 1:
        found *= world_size
        dist.all_gather_object(found, own)
    words = [
        f"the loss{f' of process {i}' if world_size > 1 else ''} is {one[0]} on {named(one[1])}"
        for i, one in enumerate(found)
        if one is not None
    ]
    return SharedError(f"step {step}: {'; '.join(words)}; {advice(recipe)}")


class GradientWatch:
    """Decides whether a gradient's norm lets the run go on.

    Args:
        recipe: Of the run.
    """

    def __init__(self, recipe: Recipe):
        self.recipe = recipe
        self.overflows = 0
        self._long: deque[bool] | None = deque(maxlen=_STEPS_WATCHED)

    def check(self, norm: float, step: int, clips: Callable[[], list[str]]) -> str | None:
        """Take note of the norm of one step.

        Args:
            norm: Of the whole gradient, the loss's scale taken out.
            step: Of the optimiser, from 1.
            clips: Gives the names of the last batch.

        Returns:
            Once, what a person should be told of a run that cutting gradients keeps finite: it
            may learn nothing for hours.

        Raises:
            UserError: If it is not finite; in fp16 only if that goes on for too long.
        """
        if math.isfinite(norm):
            self.overflows = 0
            return self._warning(norm, step)
        self.overflows += 1
        again = ""
        if self.recipe.train.precision == "fp16":
            if self.overflows < MAX_OVERFLOWS:
                return None
            again = f", for the {MAX_OVERFLOWS}th step in a row and at every scale of the loss"
        raise SharedError(
            f"step {step}: the gradient's norm is {norm}{again}, last on {named(clips())}; "
            + advice(self.recipe)
        )

    def _warning(self, norm: float, step: int) -> str | None:
        limit = self.recipe.optim.gradient_clip
        if limit is None or self._long is None:
            return None
        self._long.append(norm > LONG_GRADIENT * max(limit, 1.0))
        if sum(self._long) <= _STEPS_WATCHED // 2:
            return None
        self._long = None
        return (
            f"step {step}: for most of the last {_STEPS_WATCHED} steps the gradient was more than "
            f"{LONG_GRADIENT:g} times as long as it is cut to (now {norm:.0f}). If the loss does "
            f"not fall, {advice(self.recipe)}"
        )


def named(clips: list[str]) -> str:
    """Names of clips, the first of very many."""
    more = len(clips) - _CLIPS_NAMED
    return ", ".join(clips[:_CLIPS_NAMED]) + (f" and {more} more" if more > 0 else "")


def advice(recipe: Recipe) -> str:
    """What may help, the likeliest first."""
    optim, train = recipe.optim, recipe.train
    found = [f"try a lower --optim.lr (now {optim.lr:g})", "a longer --optim.warmup_epochs"]
    if optim.gradient_clip is None:
        found.append("--optim.gradient_clip 1")
    if train.precision == "fp16":
        found.append("--train.precision bf16 or fp32")
    elif train.precision != "fp32":
        found.append("--train.precision fp32")
    last = Path(recipe.out or "", "last")
    # The run itself goes on with its own recipe alone, and would come here again.
    start = f"the last weights (--model {last}) or from " if recipe.out and last.exists() else ""
    return f"{', '.join(found)}; start again in another --out folder, from {start}scratch"
