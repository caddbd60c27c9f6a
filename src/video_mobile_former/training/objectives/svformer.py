"""SVFormer: learning from few labelled clips and many without labels.

Paper: *SVFormer: Semi-supervised Video Transformer for Action Recognition* (CVPR 2023,
arXiv 2211.13222). The threshold that adapts itself is FreeMatch's (ICLR 2023, arXiv 2205.07246).

What is whose:

- From the paper: a teacher, the running average of the network, labels a weak view of each clip;
  the network learns these labels on a strong view where the teacher is sure, and the mean of two
  clips' labels where tubes of one strong view are put into another; frames of the strong view are
  warped in time.
- Decided here, for a network of convolutions: tubes lie on the grid of the last stride; labelled,
  strong and mixed clips share one forward pass and so their batch statistics; the teacher is the
  average that the run keeps anyway (``train.ema_decay``), which is also what its checkpoints hold;
  the squared error of mixed clips is summed over the classes, so that its size does not depend on
  their number; one colour is dropped with a probability, in the place of channels of patches.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...data.loading.dataset import Batch
from ...data.transforms import Augmentation, augment, normalize, stack_parameters
from ...errors import RecipeError
from ..clips.inputs import training_inputs
from ..recipe.fields import Recipe
from .objective import Figures, Objective, Pass
from .supervised import Supervised

_FORGET = 0.999
"""Share of the old value that FreeMatch's averages keep at a step."""


class SVFormer(Objective):
    """Learns the classes of labelled clips, and those that the average network sees in others.

    A batch has the unlabelled clips under ``"unlabelled"``. Without them, or with both weights 0,
    this is the supervised objective, number for number.

    Args:
        recipe: Its ``semi`` section, and what the supervised objective takes.
        model: Tells whether a clip may have several classes.
        class_weights: Of the labelled clips.

    Raises:
        RecipeError: If clips may have several classes, or the run keeps no average.
    """

    labels = True
    follows = True

    def __init__(self, recipe: Recipe, model: Any, class_weights: Tensor | None = None):
        super().__init__()
        if model.multi_label:
            raise RecipeError("data.unlabelled: clips with several classes are not learned so")
        if recipe.train.ema_decay is None:
            raise RecipeError(
                "data.unlabelled: the teacher is the running average of the weights; "
                "--train.ema_decay 0.99"
            )
        self.supervised = Supervised(recipe, model, class_weights)
        self.options = recipe.semi
        self.figures = (*self.supervised.figures, "confident")
        self.strong = Augmentation(
            color_jitter=max(recipe.augment.color_jitter, self.options.color_jitter),
            randaugment_ops=self.options.randaugment_ops,
            randaugment_magnitude=recipe.augment.randaugment_magnitude,
        )
        self._teacher: tuple[Any, ...] = ()
        # Of FreeMatch: mean confidence, and mean probability of each class.
        classes = model.num_classes
        self.register_buffer("mean_confidence", torch.tensor(1.0 / classes))
        self.register_buffer("mean_of_class", torch.full((classes,), 1.0 / classes))

    mean_confidence: Tensor
    mean_of_class: Tensor

    def follow(self, average: nn.Module) -> None:
        """See :class:`Objective`; kept in a tuple, for it is not part of this module."""
        self._teacher = (average,)

    def step(self, model: Any, batch: Batch, place: Sequence[int]) -> tuple[Tensor, Figures]:
        """See :class:`Objective`."""
        options, unlabelled = self.options, batch.get("unlabelled")
        learns = options.unlabelled_weight or options.mixed_weight
        if not learns or unlabelled is None or not len(unlabelled["clips"]):
            loss, figures = self.supervised.step(model, batch, place)
            return loss, {**figures, "confident": loss.new_zeros(())}
        pixels = unlabelled["clips"].flatten(0, 1)
        with torch.no_grad():
            told = self._told(normalize(pixels, model.clip))
        confidence, label = told.max(dim=1)
        sure = confidence >= self._threshold(told, confidence, label)
        strong = self._strong_view(pixels, model.clip)
        clips, targets = training_inputs(
            batch, model.clip, model.num_classes, self.supervised.mixing, place
        )
        order = torch.randperm(len(strong), device=strong.device)
        mask = tube_mask(strong.shape[-2:], options.tube, _beta(options.mix_alpha))
        share, mask = float(mask.float().mean()), mask.to(strong.device)
        mixed = torch.where(mask, strong, strong[order])

        logits = model(torch.cat([clips, strong, mixed])).float()
        own, of_strong, of_mixed = logits.split([len(clips), len(strong), len(mixed)])
        seen = Pass(batch, clips, targets, place, shown=clips)
        loss = self.supervised.loss(seen, own)
        each = F.cross_entropy(of_strong, label, reduction="none")
        loss = loss + options.unlabelled_weight * (each * sure).mean()
        soft = torch.where(sure[:, None], F.one_hot(label, told.shape[1]).to(told), told)
        wanted, weight = mixed_targets(soft, confidence, order, share)
        given = of_mixed.softmax(dim=1) if options.mixed_on == "probabilities" else of_mixed
        errors = (given - wanted).square().sum(dim=1)
        loss = loss + options.mixed_weight * (weight * errors).mean()
        figures = self.supervised.count(seen, own)
        return loss, {**figures, "confident": sure.float().mean() * len(clips)}

    def errors(self, model: Any, batch: Batch, place: Sequence[int]) -> Tensor:
        """See :class:`Objective`."""
        return self.supervised.errors(model, batch, place)

    def _told(self, clips: Tensor) -> Tensor:
        """Probabilities (B, K) of normalised clips, by the teacher."""
        assert self._teacher, "the loop says whom to follow"
        return self._teacher[0](clips).float().softmax(dim=1)

    def _threshold(self, told: Tensor, confidence: Tensor, label: Tensor) -> Tensor:
        """What confidence (B,) must reach: the recipe's, or FreeMatch's of each class."""
        if self.options.threshold is not None:
            return torch.full_like(confidence, self.options.threshold)
        self.mean_confidence.lerp_(confidence.mean().to(self.mean_confidence), 1 - _FORGET)
        self.mean_of_class.lerp_(told.mean(dim=0).to(self.mean_of_class), 1 - _FORGET)
        by_class = self.mean_confidence * self.mean_of_class / self.mean_of_class.max()
        return by_class.to(confidence)[label]

    def _strong_view(self, pixels: Tensor, spec: Any) -> Tensor:
        """Normalised clips (B, 3, T, H, W) of weak views (B, 3, T, H, W) uint8."""
        generator = torch.Generator().manual_seed(int(torch.randint(2**62, ())))
        height, width = pixels.shape[-2:]
        sampled = [self.strong.sample(generator, height, width) for _ in pixels]
        with torch.autocast(pixels.device.type, enabled=False):
            changed = augment(pixels.transpose(1, 2), stack_parameters(sampled))
            clips = normalize(changed.transpose(1, 2).contiguous(), spec)
        num_frames = clips.shape[2]
        if self.options.warp:
            kept = sorted({min(k, num_frames) for k in (2, 4, num_frames)})
            for i in range(len(clips)):
                count = kept[int(torch.randint(len(kept), (), generator=generator))]
                index = warp_index(num_frames, count, generator).to(clips.device)
                clips[i] = clips[i].index_select(1, index)
        dropped = torch.rand(len(clips), generator=generator) < self.options.channel_dropout
        colour = torch.randint(3, (len(clips),), generator=generator)
        keep = torch.ones(len(clips), 3, 1, 1, 1)
        keep[torch.arange(len(clips)), colour] = (~dropped).float()[:, None, None, None]
        return clips * keep.to(clips.device)


def tube_mask(size: Sequence[int], cell: int, share: float) -> Tensor:
    """Places (H, W) bool that are kept of the first of two clips, the same in all frames.

    Args:
        size: H and W in pixels.
        cell: Side of the squares of the grid in pixels; those at the edges may be smaller.
        share: Share of the squares that are kept, in [0, 1]; rounded to whole squares.
    """
    height, width = size
    rows, columns = -(-height // cell), -(-width // cell)
    kept = torch.zeros(rows * columns, dtype=torch.bool)
    kept[torch.randperm(rows * columns)[: round(share * rows * columns)]] = True
    grid = kept.view(rows, columns)
    return grid.repeat_interleave(cell, 0)[:height].repeat_interleave(cell, 1)[:, :width]


def mixed_targets(
    told: Tensor, confidence: Tensor, order: Tensor, share: float
) -> tuple[Tensor, Tensor]:
    """What mixed clips are, and how much each counts.

    Args:
        told: (B, K) of each clip: one-hot where the teacher is sure, else its probabilities.
        confidence: (B,) of the teacher.
        order: (B,) which clip each is mixed with.
        share: Of the first clip in the mix.

    Returns:
        (B, K), and (B,) weights.
    """
    other = 1 - share
    return share * told + other * told[order], share * confidence + other * confidence[order]


def warp_index(num_frames: int, kept: int, generator: torch.Generator) -> Tensor:
    """Which frame each frame (T,) int64 shows when only some are kept; their order stays.

    Frames before the first kept one show it and those after the last the last; between two, a
    random place divides those that show the one from those that show the other.

    Args:
        num_frames: T.
        kept: How many are kept, sampled evenly, at most T; all of them change nothing.
        generator: Source of randomness.
    """
    places = torch.randperm(num_frames, generator=generator)[:kept].sort().values.tolist()
    index = torch.full((num_frames,), places[-1])
    index[: places[0]] = places[0]
    for a, b in itertools.pairwise(places):
        middle = int(torch.randint(a + 1, b + 1, (), generator=generator))
        index[a:middle], index[middle:b] = a, b
    return index


def _beta(alpha: float) -> float:
    return float(torch.distributions.Beta(alpha, alpha).sample())
