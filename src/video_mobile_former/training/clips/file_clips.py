"""Clips in files as training data; :mod:`.procedural_clips` is the other kind."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from ...clip_spec import ClipSpec
from ...data.index.held_out import division_of, fingerprint
from ...data.index.index import ClipIndex
from ...data.limits import Limits
from ...data.loading.dataset import Batch, ClipDataset, ClipFailure, clip_name
from ...data.loading.loader import ClipLoader, make_loader
from ...data.transforms import TrainTransform
from ...procedural import Target
from ..build import reading_of
from ..recipe.fields import Recipe
from ..run.run_folder import RunFolder
from ..samples import SampleClip
from .inputs import train_transform
from .paired import PairedLoader


class FileClips:
    """The clips that a recipe names, in files.

    Args:
        recipe: How they are read and changed.
        run: Keeps the list of files that fail.
        spec: Frames and size of the clips.
        train: Training clips.
        val: Validation clips; None trains without.
        class_weights: (K,) weights of the loss, which the fingerprint covers.
        unlabelled: Clips without labels, see :class:`.paired.PairedLoader`.
    """

    families: tuple[str, ...] | None = None
    targets: Mapping[str, Target] = {}

    def __init__(
        self,
        recipe: Recipe,
        run: RunFolder,
        spec: ClipSpec,
        train: ClipIndex,
        val: ClipIndex | None,
        class_weights: Tensor | None,
        unlabelled: ClipIndex | None = None,
    ):
        self.recipe, self.run, self.spec = recipe, run, spec
        self.train, self.val, self.class_weights = train, val, class_weights
        self.unlabelled = unlabelled

    @property
    def source(self) -> str:
        """Where the clips come from, for messages."""
        return self.train.source

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the logits in order."""
        return self.train.class_names

    @property
    def multi_label(self) -> bool:
        """Whether a clip may have several classes."""
        return self.train.multi_label

    @property
    def val_clips(self) -> int:
        """How many clips are validated on."""
        return 0 if self.val is None else len(self.val)

    def __len__(self) -> int:
        """Clips of an epoch."""
        return len(self.train)

    @property
    def held_out(self) -> str | None:
        """See :func:`~...data.index.held_out.division_of`."""
        data = self.recipe.data
        val_split = None if data.val_path is not None else data.val_split
        return division_of(self.train, self.val, val_split=val_split)

    def samples(self, count: int) -> Iterator[SampleClip]:
        """Validation clips as the network sees them, evenly over the classes.

        Args:
            count: At most so many; those that cannot be read are omitted.
        """
        if self.val is None:
            return
        order = np.argsort(self.val.table.label, kind="stable") if not self.multi_label else None
        places = np.arange(min(count, len(self.val))) * len(self.val) // max(1, count)
        if len(self.val) <= count:
            places = np.arange(len(self.val))
        chosen = places if order is None else order[places]
        val = dataclasses.replace(self.val, clips=self.val.table.take(chosen))
        limits = Limits(self.recipe.decode.timeout_seconds, self.recipe.decode.memory_limit_mb)
        reading = reading_of(self.recipe)
        dataset = ClipDataset(val, self.spec, train=False, limits=limits, reading=reading)
        for i, clip in enumerate(val.clips):
            sample = dataset[i]
            if isinstance(sample, ClipFailure):
                continue
            seconds = sample["frame_seconds"][0] if "frame_seconds" in sample else None
            length = 2.0 if seconds is None else float(seconds[-1] - seconds[0])
            names = tuple(self.class_names[label] for label in clip.labels)
            yield SampleClip(clip_name(clip), sample["clip"][0], names, length)

    def fingerprint(self) -> str:
        """A short text that changes when the clips, their labels or the weights of these do."""
        others = () if self.unlabelled is None else (self.unlabelled,)
        return fingerprint(self.train, self.val, *others, class_weights=self.class_weights)

    def loaders(
        self, rank: int, world: int, device: torch.device
    ) -> tuple[ClipLoader | PairedLoader, Iterable[Batch] | None]:
        """The training and validation clips of one process of ``world``."""
        recipe, spec, val = self.recipe, self.spec, self.val
        data, reading = recipe.data, reading_of(recipe)
        limits = Limits(recipe.decode.timeout_seconds, recipe.decode.memory_limit_mb)
        quarantine = self.run.quarantine(rank)
        clips = ClipDataset(
            self.train,
            spec,
            train=True,
            transform=train_transform(spec, recipe.augment),
            seed=recipe.seed,
            repeats=recipe.augment.repeats,
            augment_later=recipe.augment.runs_on == "device",
            limits=limits,
            reading=reading,
        )
        train_loader: ClipLoader | PairedLoader = make_loader(
            clips,
            batch_size=recipe.train.batch_size,
            num_workers=data.num_workers,
            class_balanced=data.class_balanced,
            rank=rank,
            world_size=world,
            quarantine=quarantine,
            shuffle=data.shuffle,
            shard_window=data.shard_window,
        )
        if self.unlabelled is not None:
            train_loader = PairedLoader(train_loader, self._others(rank, world, limits))
        if val is None:
            return train_loader, None
        mine = dataclasses.replace(val, clips=val.clips[rank::world])
        if not mine.clips:  # more processes than clips: still one of those that measure together
            return train_loader, ()
        val_loader = make_loader(
            ClipDataset(mine, spec, train=False, limits=limits, reading=reading),
            batch_size=recipe.train.batch_size,
            num_workers=min(data.num_workers, len(mine)),
            quarantine=quarantine,
        )
        return train_loader, val_loader

    def _others(self, rank: int, world: int, limits: Limits) -> ClipLoader:
        """The clips without labels of one process: cropped and flipped, nothing else."""
        recipe, data, augment = self.recipe, self.recipe.data, self.recipe.augment
        assert self.unlabelled is not None
        weak = TrainTransform(
            self.spec,
            scale=augment.scale,
            ratio=augment.ratio,
            horizontal_flip=augment.horizontal_flip,
        )
        clips = ClipDataset(
            self.unlabelled,
            self.spec,
            train=True,
            transform=weak,
            seed=recipe.seed,
            limits=limits,
            reading=reading_of(recipe),
        )
        mine = max(1, len(self.unlabelled) // world)
        return make_loader(
            clips,
            batch_size=min(mine, recipe.train.batch_size * recipe.semi.ratio),
            num_workers=data.num_workers,
            rank=rank,
            world_size=world,
            quarantine=self.run.quarantine(rank),
            shuffle=data.shuffle,
            shard_window=data.shard_window,
        )
