"""Procedural clips as training data: batches as a function of seed and place in the run.

A place in the run (epoch, batch, process) is the number of a batch of the generator, so that
nothing is stored and a run that is resumed sees the very clips that it would have seen.
Validation clips come from another seed.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ...clip_spec import ClipSpec
from ...data.loading.dataset import Batch
from ...data.loading.loader import WorkersEndedError, tells_of_death
from ...data.processes import init_process, process_context
from ...data.transforms import AugmentParameters, augment, stack_parameters
from ...errors import RecipeError, UserError, known_names
from ...procedural import FAMILIES, ProceduralSpec, ProceduralVideo
from ...procedural.families import TABLE
from ..recipe.fields import AugmentRecipe, DataRecipe, Recipe
from ..samples import SampleClip
from .batches import TrainLoader
from .inputs import train_transform

PROCEDURAL = "procedural"
BACKGROUND = "background"
"""The family of clips in which nothing happens; the last of all."""
_BACKGROUND = 0xBAC
_TRAIN, _VAL = 0, 1


class TargetBatch(Batch):
    """A batch of procedural clips, one view of each, with what is known of them."""

    targets: dict[str, Tensor]
    """What :class:`~..objectives.target_heads.TargetHeads` learns."""
    masks: dict[str, Tensor]
    """(B,) bool for each target: whether it is known."""


def is_procedural(data: DataRecipe) -> bool:
    """Whether a recipe's clips are procedural: ``--data procedural``, or that format."""
    by_name = data.format == "auto" and data.path == PROCEDURAL and not Path(PROCEDURAL).exists()
    return data.format == PROCEDURAL or by_name


class ProceduralClips:
    """The procedural clips of a recipe, in place of an index of files.

    Args:
        recipe: Families, numbers of clips and seed.

    Raises:
        RecipeError: If the recipe asks for something that procedural clips do not have.
    """

    source = "procedural clips"
    multi_label = False

    spec: ClipSpec = ClipSpec()
    """Frames and size, to be set before clips are made."""

    def __init__(self, recipe: Recipe):
        _check(recipe)
        self.recipe = recipe
        try:
            generator = self.generator(_TRAIN)
        except UserError as error:
            raise RecipeError(f"pretrain: {error}") from error
        self.class_names = generator.class_names
        self.families = generator.class_family
        self.targets = generator.targets

    held_out: str | None = None
    """Validation clips are of another seed, none are held out."""

    @property
    def val_clips(self) -> int:
        """How many clips are validated on."""
        return self.recipe.pretrain.val_clips

    def __len__(self) -> int:
        """Clips of an epoch."""
        return self.recipe.pretrain.epoch_clips

    @property
    def generator_spec(self) -> ProceduralSpec:
        """The settings of the generator; only what the recipe says differs from its own."""
        pretrain = self.recipe.pretrain
        families, classes = pretrain.families or FAMILIES, pretrain.classes
        if self.recipe.stream.background:
            families = (*(f for f in families if f != BACKGROUND), BACKGROUND)
            classes = (*classes, *TABLE[BACKGROUND]) if classes else classes
        names = {"families": families, "classes": classes}
        own = {"num_frames": self.spec.num_frames, "size": self.spec.crop_size}
        return ProceduralSpec.from_dict({**names, **own, **pretrain.procedural_settings()})

    def generator(self, part: int, device: torch.device | str = "cpu") -> ProceduralVideo:
        """The generator of the training (0) or validation (1) clips."""
        state = np.random.SeedSequence([self.recipe.seed, part]).generate_state(1, np.uint32)
        return ProceduralVideo(self.generator_spec, seed=int(state[0]), device=device)

    def samples(self, count: int) -> Iterator[SampleClip]:
        """Validation clips, one of each of some classes, evenly over all.

        Args:
            count: At most so many.
        """
        classes = len(self.class_names)
        count = min(count, classes) if self.val_clips else 0
        labels = torch.arange(count) * classes // max(1, count)
        if not count:
            return
        made = self.generator(_VAL).draw(0, torch.arange(count), labels)
        for label, clip in zip(labels.tolist(), made.clips, strict=True):
            name = f"procedural clip of {self.class_names[label]}"
            yield SampleClip(name, clip, (self.class_names[label],), clip.shape[1] / 8)

    def fingerprint(self) -> str:
        """A short text that changes when the classes, targets or settings of the clips do."""
        known = {name: [target.kind, target.width] for name, target in self.targets.items()}
        # Which classes is told by their names: runs from before they could be named go on.
        settings = {k: v for k, v in self.generator_spec.to_dict().items() if k != "classes"}
        about = [self.class_names, known, settings, len(self)]
        return hashlib.sha256(json.dumps([*about, self.val_clips]).encode()).hexdigest()[:16]

    def loaders(
        self, rank: int, world: int, device: torch.device
    ) -> tuple[TrainLoader, ProceduralLoader | None]:
        """The training and validation clips of one process of ``world``."""
        recipe = self.recipe
        size, workers = recipe.train.batch_size, recipe.data.num_workers
        # Worker processes render on the CPU: on a GPU each of them would occupy it.
        place = torch.device("cpu") if workers else device
        count = len(self) // (size * world)
        make = functools.partial(ProceduralBatches, self, device=place, rank=rank, world=world)
        augmented = make(part=_TRAIN, sizes=[size] * count, augment=recipe.augment)
        train = ProceduralLoader(augmented, workers, source=self.source)
        if not self.val_clips:
            return train, None
        sizes = [size] * (self.val_clips // size) + [self.val_clips % size]
        mine = [n for n in sizes if n][rank::world]
        fixed = make(part=_VAL, sizes=mine, augment=None)
        return train, ProceduralLoader(fixed, min(workers, 1), source=self.source)


class ProceduralBatches(Dataset[TargetBatch]):
    """Whole batches by (epoch, batch).

    Args:
        clips: What to make.
        part: 0 for training clips, 1 for validation clips, which are the same in every epoch.
        sizes: Clips of each batch.
        augment: Changes of colour and shape to sample for each clip; None for none.
        device: Where clips are made.
        rank: Number of this process.
        world: Number of processes; each makes batches of its own.
    """

    def __init__(
        self,
        clips: ProceduralClips,
        *,
        part: int,
        sizes: Sequence[int],
        augment: AugmentRecipe | None,
        device: torch.device,
        rank: int = 0,
        world: int = 1,
    ):
        self.clips, self.part, self.sizes = clips, part, list(sizes)
        self.recipe, self.device = augment, device
        self.rank, self.world = rank, world
        self._generator: ProceduralVideo | None = None

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, place: tuple[int, int]) -> TargetBatch:
        epoch, k = place
        if self._generator is None:  # in the process that makes clips
            self._generator = self.clips.generator(self.part, self.device)
        number = ((0 if self.part == _VAL else epoch * len(self)) + k) * self.world + self.rank
        places = torch.arange(self.sizes[k], device=self.device)
        labels = self._with_background(self._generator.labels(number, places), number)
        made = self._generator.draw(number, places, labels)
        batch = TargetBatch(
            clips=made.clips[:, None],
            labels=made.labels,
            # Clips have no names; their numbers tell a person which they were.
            indices=torch.arange(self.sizes[k]) + number * max(self.sizes),
            failures=[],
            padded=[],
            targets=dict(made.targets),
            masks=dict(made.masks),
        )
        if self.recipe is not None:
            self._augment(batch, self.recipe, number)
        return batch

    def _with_background(self, labels: Tensor, number: int) -> Tensor:
        """Let nothing happen in a share of the clips of a training batch."""
        recipe = self.clips.recipe
        if self.part == _VAL or not recipe.stream.background:
            return labels
        random = np.random.default_rng(np.random.SeedSequence([recipe.seed, number, _BACKGROUND]))
        chosen = random.random(len(labels)) < recipe.stream.background
        nothing = len(self.clips.class_names) - 1  # the family stands last
        return labels.masked_fill(torch.as_tensor(chosen, device=labels.device), nothing)

    def _augment(self, batch: TargetBatch, recipe: AugmentRecipe, number: int) -> None:
        """Sample changes for every clip; do them here, or leave them to the training device."""
        changes = train_transform(self.clips.spec, recipe).augmentation
        size = batch["clips"].shape[-2:]
        seed = self.clips.recipe.seed
        sampled = []
        for i in range(len(batch["labels"])):
            state = np.random.SeedSequence([seed, number, i]).generate_state(2, np.uint32)
            generator = torch.Generator().manual_seed(int(state[0]) << 31 ^ int(state[1]))
            sampled.append(changes.sample(generator, *size))
        parameters = stack_parameters(sampled)
        if recipe.runs_on == "device":
            batch["parameters"] = AugmentParameters(*(field[:, None] for field in parameters))
            return
        frames = batch["clips"][:, 0].transpose(1, 2)  # (B, T, 3, H, W)
        batch["clips"] = augment(frames, parameters).transpose(1, 2)[:, None].contiguous()


class ProceduralLoader(DataLoader):
    """Batches of an epoch from any place on; each ``for`` over it gives the epoch it stands at.

    Args:
        batches: By (epoch, batch).
        num_workers: Processes that make them; 0 makes them in this one.
        source: What messages call the clips.
    """

    def __init__(self, batches: ProceduralBatches, num_workers: int, *, source: str):
        several: dict[str, Any] = {}
        if num_workers:
            several = {
                "multiprocessing_context": process_context(),
                "persistent_workers": True,
                "worker_init_fn": _init_worker,
            }
        self.places = _Places(len(batches))
        self.source = source
        super().__init__(
            batches, sampler=self.places, batch_size=None, num_workers=num_workers, **several
        )

    def __iter__(self) -> Iterator[TargetBatch]:  # type: ignore[override]  # narrower
        try:
            yield from super().__iter__()
        except RuntimeError as error:
            if not tells_of_death(error):
                raise
            raise WorkersEndedError(
                "processes that make clips ended unexpectedly: out of memory, or a script without "
                "`if __name__ == '__main__':`; try --data.num_workers 0"
            ) from error

    def start_at(self, epoch: int, batch: int = 0) -> None:
        """Let the next ``iter()`` begin at this batch of this epoch."""
        self.places.epoch, self.places.first = epoch, batch

    def names(self, indices: Sequence[int]) -> list[str]:
        """What a person is told of clips."""
        return [f"procedural clip {i}" for i in indices]

    def __len__(self) -> int:
        """Batches of a whole epoch."""
        return self.places.count


class _Places:
    """What :class:`ProceduralLoader` gives next, as torch's loader wants it."""

    def __init__(self, count: int):
        self.count, self.epoch, self.first = count, 0, 0

    def __iter__(self) -> Iterator[tuple[int, int]]:
        epoch, first = self.epoch, self.first
        self.first = 0
        return iter([(epoch, k) for k in range(first, self.count)])

    def __len__(self) -> int:
        return self.count - self.first


def _init_worker(worker: int) -> None:
    init_process()


def _check(recipe: Recipe) -> None:
    """Refuse what has no meaning for procedural clips."""
    train = recipe.train
    step = train.batch_size * train.devices * train.nodes
    refused = {
        "data.class_balanced": recipe.data.class_balanced,
        "data.multi_label": recipe.data.multi_label,
        "data.val_path": recipe.data.val_path is not None,
        "optim.class_weights": recipe.optim.class_weights != "none",
        "augment.repeats": recipe.augment.repeats != 1,
    }
    for key, is_set in refused.items():
        if is_set:
            raise RecipeError(
                f"{key} is not for procedural clips (data.format {PROCEDURAL}); leave it out"
            )
    known = [f.name for f in dataclasses.fields(ProceduralSpec) if f.type == "float"]
    for name in recipe.pretrain.procedural_settings():
        if name not in known:
            raise RecipeError(f"pretrain.procedural has no {name!r}{known_names(name, known)}")
    if recipe.pretrain.epoch_clips < step:
        raise RecipeError(
            f"pretrain.epoch_clips {recipe.pretrain.epoch_clips}: a step alone takes {step} clips"
        )
