"""What a network learns: the interface of an objective, and the one that most of them share.

The loop knows nothing but :class:`Objective`. :class:`OnePass` is an objective with a single
forward pass, whose main loss may have others :class:`Beside` it that look at the same pass.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ...data.loading.dataset import Batch
from ...models.video_model import VideoModel
from ..clips.inputs import training_inputs
from ..clips.mixing import Mixing

Figures = Mapping[str, Tensor]
"""What the log shows beside the loss, each a sum over the clips of a batch."""


class Objective(nn.Module, ABC):
    """What a network learns from a batch; its own parameters are trained and not kept.

    The optimiser, the running average and the saved state of a run cover them.
    """

    labels: ClassVar[bool] = False
    """Whether the classes of the data are learned. If so, validation measures them; if not, it
    takes the mean of :meth:`errors`."""
    figures: tuple[str, ...] = ()
    """Names of the figures that :meth:`step` gives; ``top1`` has a column in ``metrics.csv``."""
    looks_inside: str | None = None
    """The recipe's field that wants features inside the network, which ``train.compile`` hides."""

    follows: ClassVar[bool] = False
    """Whether :meth:`step` uses the running average, which is then the same in all processes."""

    def follow(self, average: nn.Module) -> None:
        """Get to know the running average of the network, where the run keeps one; in eval mode.

        It is updated after every optimiser step, saved and restored by the loop.
        """

    @abstractmethod
    def step(self, model: Any, batch: Batch, place: Sequence[int]) -> tuple[Tensor, Figures]:
        """Give the loss of a batch.

        Args:
            model: The network, in training mode, with a ``clip``.
            batch: On the device of the model.
            place: Seed, epoch, batch and process. Whatever is random depends on these alone, or on
                torch's own state, which is seeded by them.

        Returns:
            The mean loss of the clips, a scalar, and the :attr:`figures`.
        """

    def errors(self, model: Any, batch: Batch, place: Sequence[int]) -> Tensor:
        """Give the losses (B,) of validation clips; here each is the mean of the batch.

        Args:
            model: The network, in eval mode.
            batch: On the device of the model.
            place: As in :meth:`step`.
        """
        return self.step(model, batch, place)[0].expand(len(batch["labels"]))


@dataclass
class Pass:
    """One forward pass: what went in and what it left behind."""

    batch: Batch
    clips: Tensor
    """(B, 3, T, H, W) float32, normalised and mixed."""
    targets: Tensor
    """(B,) int64, or (B, K) float32 of multi-label and mixed clips."""
    place: Sequence[int]
    shown: Tensor
    """The clips with what is hidden of them."""
    mask: Tensor | None = None
    """(B, T, h, w) bool, True where hidden."""
    local: Tensor | None = None
    """(B, T, C, h, w) features that the head takes."""
    hidden: Tensor | None = None
    """(B, C) features that the classifier takes."""


class Beside(nn.Module, ABC):
    """A weighted loss beside the main one, of the same forward pass."""

    field: ClassVar[str]
    """Field of the recipe that asks for it."""
    wants_local: ClassVar[bool] = False
    """Whether it looks at :attr:`Pass.local`."""
    wants_hidden: ClassVar[bool] = False
    """Whether it looks at :attr:`Pass.hidden`."""

    def hide(self, seen: Pass) -> None:  # most hide nothing
        """Hide parts of the clips before the pass: sets ``shown`` and ``mask``."""

    @abstractmethod
    def forward(self, seen: Pass) -> Tensor:
        """The loss of a pass, weighted; a scalar."""


class OnePass(Objective):
    """A main loss and others beside it, all of one forward pass.

    Args:
        beside: The others; their parameters are trained in this order.
        mixing: How the clips of a batch are mixed.
    """

    def __init__(self, beside: Sequence[Beside] = (), mixing: Mixing | None = None):
        super().__init__()
        self.beside = nn.ModuleList(beside)
        self.mixing = Mixing() if mixing is None else mixing
        looking = [one.field for one in beside if one.wants_local or one.wants_hidden]
        self.looks_inside = looking[0] if looking else None

    def loss(self, seen: Pass, logits: Tensor) -> Tensor:
        """The main loss of logits (B, K), a scalar; here 0, for DDP waits for every gradient."""
        return logits.sum() * 0

    def count(self, seen: Pass, logits: Tensor) -> Figures:
        """The figures of logits (B, K)."""
        return {}

    def step(self, model: Any, batch: Batch, place: Sequence[int]) -> tuple[Tensor, Figures]:
        """See :class:`Objective`."""
        clips, targets = training_inputs(batch, model.clip, model.num_classes, self.mixing, place)
        seen = Pass(batch, clips, targets, place, shown=clips)
        logits = self.look(model, seen)
        loss = self.loss(seen, logits)
        if self.beside:
            loss = loss + sum(one(seen) for one in self.beside)
        return loss, self.count(seen, logits)

    def look(self, model: Any, seen: Pass) -> Tensor:
        """Run the network on a pass's clips, fill in what it leaves behind, give its logits."""
        others: list[Any] = list(self.beside)
        for one in others:
            one.hide(seen)
        local = any(one.wants_local for one in others)
        hidden = any(one.wants_hidden for one in others)
        with watch(model, seen, local=local, hidden=hidden):
            return model(seen.shown)


@contextmanager
def watch(
    model: VideoModel, seen: Any, *, local: bool = True, hidden: bool = True
) -> Iterator[None]:
    """Keep what forward passes compute meanwhile, each in place of the one before.

    Args:
        model: Any network of this package, in either graph form.
        seen: Gets ``local`` (B, T, C, h, w) and ``hidden`` (B, C), see :class:`Pass`.
        local: Whether to keep the features of all places.
        hidden: Whether to keep what the classifier takes.
    """

    def keep_local(module: nn.Module, args: tuple[Tensor, int]) -> None:
        x, num_frames = args
        seen.local = x.transpose(1, 2) if x.dim() == 5 else x.unflatten(0, (-1, num_frames))

    def keep_input(module: nn.Module, args: tuple[Tensor]) -> None:
        seen.hidden = args[0]

    def pool(module: nn.Module, args: tuple[Tensor], logits: Tensor) -> None:
        # Where every frame has a row of its own, those of a clip follow each other.
        width = seen.hidden.shape[-1]
        seen.hidden = seen.hidden.reshape(len(args[0]), -1, width).mean(1)

    handles = []
    if hidden:
        handles.append(model.classifier.register_forward_pre_hook(keep_input))
        handles.append(model.register_forward_hook(pool))
    if local:
        last = model.get_submodule(model.last_features_into)
        handles.append(last.register_forward_pre_hook(keep_local))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def channels(model: VideoModel) -> int:
    """Channels of the last features; a small clip is run through the model to see."""
    training = model.training
    parameter = next(model.parameters())
    clip = parameter.new_zeros(1, 3, model.clip.num_frames, 32, 32)
    seen = Pass({}, clip, clip, (), clip)  # type: ignore[arg-type]  # nothing of a batch is asked
    with torch.no_grad(), watch(model, seen, hidden=False):
        model.eval()(clip)
    model.train(training)
    assert seen.local is not None
    return seen.local.shape[2]
