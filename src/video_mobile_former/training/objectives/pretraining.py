"""The losses of pre-training, and the layers that only they need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...models.video_model import VideoModel
from ..recipe.fields import PretrainRecipe, Recipe
from .masked_features import MaskedFeatures, hide
from .target_heads import Target, TargetHeads


@dataclass
class Seen:
    """What a forward pass left behind."""

    local: Tensor | None = None
    """(B, T, C, h, w), the features that the head takes."""
    hidden: Tensor | None = None
    """(B, C), what the classifier takes."""


class Pretraining(nn.Module):
    """What is learned beside the classes, or in their place.

    Args:
        recipe: Task and weights.
        model: Tells the widths of its features.
        targets: What is known of the clips beside their class.
    """

    def __init__(self, recipe: PretrainRecipe, model: VideoModel, targets: Mapping[str, Target]):
        super().__init__()
        self.recipe = recipe
        self.labels = recipe.task == "labels"
        self.masked: MaskedFeatures | None = None
        self.heads: TargetHeads | None = None
        if recipe.masked_weight or not self.labels:
            self.masked = MaskedFeatures(_channels(model), recipe.mask_ratio)
        if targets and self.labels and recipe.targets_weight:
            width = model.classifier.in_features
            self.heads = TargetHeads(width, targets, recipe.weights_of_targets())

    def hide(self, clips: Tensor, place: Sequence[int]) -> tuple[Tensor, Tensor | None]:
        """Hide parts of the clips, if features are to be predicted: of all, or beside labels half.

        Args:
            clips: (B, 3, T, H, W), normalised.
            place: Decides what is hidden.

        Returns:
            What the model is to see, and what was hidden, as :meth:`MaskedFeatures.draw` gives it.
        """
        if self.masked is None:
            return clips, None
        mask = self.masked.draw(clips, place)
        if self.labels:
            mask[1::2] = False
        return hide(clips, mask), mask

    @contextmanager
    def watch(self, model: VideoModel) -> Iterator[Seen]:
        """Keep what the losses need of a forward pass made meanwhile."""
        with ExitStack() as stack:
            yield watch(model, stack, local=self.masked is not None)

    def loss(
        self,
        seen: Seen,
        clips: Tensor,
        mask: Tensor | None,
        values: Mapping[str, Tensor] | None,
        known: Mapping[str, Tensor] | None,
    ) -> Tensor:
        """The losses beside that of the classes, weighted.

        Args:
            seen: Of the forward pass.
            clips: (B, 3, T, H, W) before they were hidden.
            mask: What was hidden.
            values: Of the targets, see :class:`TargetHeads`; None of clips that are mixed.
            known: Of the targets, likewise.
        """
        total = clips.new_zeros(())
        if self.masked is not None:
            assert seen.local is not None
            assert mask is not None
            step = 2 if self.labels else 1
            weight = self.recipe.masked_weight if self.labels else 1.0
            errors = self.masked.loss(seen.local[::step], clips[::step], mask[::step])
            total = total + weight * errors.mean()
        if self.heads is not None:
            assert seen.hidden is not None
            features = seen.hidden.float()
            with torch.autocast(features.device.type, enabled=False):
                if values is None or known is None:
                    # Every layer has a part in the loss, or DDP would wait for its gradient.
                    found = sum(p.sum() * 0 for p in self.heads.parameters())
                else:
                    found = self.heads(features, values, known)
            total = total + self.recipe.targets_weight * found
        return total

    def errors(self, model: VideoModel, clips: Tensor, place: Sequence[int]) -> Tensor:
        """Grade clips for validation.

        Args:
            model: In eval mode.
            clips: (B, 3, T, H, W), normalised.
            place: Decides what is hidden.

        Returns:
            (B,) float32 losses of masked features.
        """
        assert self.masked is not None
        with self.watch(model) as seen:
            hidden, mask = self.hide(clips, place)
            model(hidden)
        assert seen.local is not None
        assert mask is not None
        return self.masked.loss(seen.local, clips, mask)


def make_pretraining(
    recipe: Recipe, model: VideoModel, targets: Mapping[str, Target]
) -> Pretraining | None:
    """The losses beside the classes, if a recipe wants any.

    Args:
        recipe: Its seed decides the fresh layers.
        model: Tells the widths of its features.
        targets: What is known of the clips beside their class.

    Raises:
        RecipeError: If a weight is of no target.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        made = Pretraining(recipe.pretrain, model, targets)
    return made if made.heads is not None or made.masked is not None else None


def watch(model: VideoModel, stack: ExitStack, *, local: bool = True) -> Seen:
    """Keep what forward passes compute, until the stack is closed.

    Args:
        model: Any network of this package, in either graph form.
        stack: Removes the hooks.
        local: Whether to keep the features of all places.

    Returns:
        Filled by every forward pass anew.
    """
    seen = Seen()

    def keep_local(module: nn.Module, args: tuple[Tensor, int]) -> None:
        x, num_frames = args
        seen.local = x.transpose(1, 2) if x.dim() == 5 else x.unflatten(0, (-1, num_frames))

    def keep_input(module: nn.Module, args: tuple[Tensor]) -> None:
        seen.hidden = args[0]

    def pool(module: nn.Module, args: tuple[Tensor], logits: Tensor) -> None:
        # Where every frame has a row of its own, those of a clip follow each other.
        assert seen.hidden is not None
        width = seen.hidden.shape[-1]
        seen.hidden = seen.hidden.reshape(len(args[0]), -1, width).mean(1)

    handles = [
        model.classifier.register_forward_pre_hook(keep_input),
        model.register_forward_hook(pool),
    ]
    if local:
        last = model.get_submodule(model.last_features_into)
        handles.append(last.register_forward_pre_hook(keep_local))
    for handle in handles:
        stack.callback(handle.remove)
    return seen


@torch.no_grad()
def _channels(model: VideoModel) -> int:
    """Channels of the last features; a small clip is run through the model to see."""
    training = model.training
    with ExitStack() as stack:
        seen = watch(model.eval(), stack)
        parameter = next(model.parameters())
        model(parameter.new_zeros(1, 3, model.clip.num_frames, 32, 32))
    model.train(training)
    assert seen.local is not None
    return seen.local.shape[2]
