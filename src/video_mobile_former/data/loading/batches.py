"""Which clips make which batch: seeded, balanced on request, shared among processes, resumable."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Sampler, get_worker_info

from ...errors import DataError
from ..transforms import stack_parameters
from .dataset import Batch, ClipFailure, ClipSample, PartsOfBatch, ToAugment


class ClipBatchSampler(Sampler[list[tuple[int, int]]]):
    """Yields batches of ``(epoch, clip)``, one epoch for each ``iter()``.

    The order depends on (seed, epoch) alone. The batches of all processes of one step together
    are a run of ``batch_size × world_size`` clips of that order, so every process has the same
    number of batches of the same sizes. The last, smaller step is dropped (``drop_last``), or
    filled to a multiple of ``world_size`` from the start of the order.

    Args:
        labels: ``(N,)`` label of every clip, or ``(N, K)`` with a 1 for every class of a clip.
        batch_size: Clips per batch and process, at least 1.
        shuffle: A new order each epoch; False keeps the order of the index.
        seed: Of the order.
        class_balanced: Every class gives as many clips to an epoch (to within one), the clips of a
            class in turn; N clips an epoch as otherwise. With several classes a clip takes its turn
            in each of them; clips without a class come once an epoch as otherwise.
        drop_last: Drop the smaller batch at the end of an epoch, unless it is the only one.
        rank: Number of this process, from 0.
        world_size: Number of processes.
        shards: ``(N,)`` number of the file that holds each clip. The order then is sampled near the
            files: these in random order, and the clips of ``shard_window`` of them at a time in
            random order. Not with ``class_balanced``, which takes clips from everywhere.
        shard_window: Files whose clips are mixed, at least 1.
    """

    def __init__(
        self,
        labels: np.ndarray,
        batch_size: int,
        *,
        shuffle: bool = True,
        seed: int = 0,
        class_balanced: bool = False,
        drop_last: bool = False,
        rank: int = 0,
        world_size: int = 1,
        shards: np.ndarray | None = None,
        shard_window: int = 8,
    ):
        if batch_size < 1:
            raise DataError(f"batch_size must be at least 1, not {batch_size}")
        if shard_window < 1:
            raise DataError(f"shard_window must be at least 1, not {shard_window}")
        if not 0 <= rank < world_size:
            raise ValueError(f"rank {rank} is not one of {world_size} processes")
        self._labels = np.asarray(labels)
        if len(self._labels) == 0:
            raise DataError("there are no clips to make batches of")
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.class_balanced = class_balanced
        self.drop_last = drop_last
        self.rank = rank
        self.world_size = world_size
        self._shards = None if shards is None else np.unique(shards, return_inverse=True)[1]
        self.shard_window = shard_window
        self.epoch = 0
        self.batch = 0
        """First batch that the next ``iter()`` yields; 0 again once an epoch is through."""

    def __len__(self) -> int:
        """Batches of a whole epoch, also when a resumed one has fewer left."""
        step = self.batch_size * self.world_size
        whole = len(self._labels) // step
        rest = len(self._labels) % step
        return whole if (self.drop_last and whole) or not rest else whole + 1

    def start_at(self, epoch: int, batch: int = 0) -> None:
        """Let the next ``iter()`` begin at this batch of this epoch."""
        # After the last batch of an epoch comes the first of the next.
        self.epoch = epoch + batch // len(self)
        self.batch = batch % len(self)

    def set_epoch(self, epoch: int) -> None:
        """Move to an epoch; a position within that same epoch is kept."""
        if epoch != self.epoch:
            self.start_at(epoch)

    def state_dict(self) -> dict[str, int]:
        """Where the next ``iter()`` begins."""
        return {"epoch": self.epoch, "batch": self.batch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go back to where :meth:`state_dict` was taken."""
        self.start_at(state["epoch"], state["batch"])

    def order(self, epoch: int) -> np.ndarray:
        """The ``(N,)`` clips of an epoch in order, for all processes together."""
        count = len(self._labels)
        rng = np.random.default_rng([self.seed, epoch])
        if self.class_balanced:
            order = self._balanced(epoch, rng)
            return rng.permutation(order) if self.shuffle else order
        if not self.shuffle:
            return np.arange(count)
        order = rng.permutation(count)
        return order if self._shards is None else self._near(order, self._shards, rng)

    def _near(self, order: np.ndarray, shards: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Take the clips of a few files at a time, in the order given."""
        place = rng.permutation(shards.max() + 1) // self.shard_window
        return order[np.argsort(place[shards[order]], kind="stable")]

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        epoch, first = self.epoch, self.batch
        order = self.order(epoch)
        step = self.batch_size * self.world_size
        for k in range(first, len(self)):
            clips = order[k * step : (k + 1) * step]
            lacking = -len(clips) % self.world_size
            clips = np.concatenate([clips, np.resize(order, lacking)])
            yield [(epoch, int(clip)) for clip in clips[self.rank :: self.world_size]]

    def _balanced(self, epoch: int, rng: np.random.Generator) -> np.ndarray:
        members, without = self._by_class()
        if not members:
            return without
        count = len(self._labels) - len(without)
        share = np.full(len(members), count // len(members))
        share[rng.permutation(len(members))[: count % len(members)]] += 1
        chosen = [without]
        for clips, wanted in zip(members, share, strict=True):
            turns = [rng.permutation(clips) for _ in range(-(-wanted // len(clips)))]
            chosen.append(np.concatenate(turns)[:wanted] if wanted else clips[:0])
        return np.concatenate(chosen)

    def _by_class(self) -> tuple[list[np.ndarray], np.ndarray]:
        """The clips of every class that has any, and those without a class."""
        if self._labels.ndim == 1:
            classes = np.unique(self._labels)
            return [np.flatnonzero(self._labels == c) for c in classes], np.array([], np.int64)
        members = [np.flatnonzero(column) for column in self._labels.T]
        without = np.flatnonzero(~self._labels.any(axis=1))
        return [clips for clips in members if len(clips)], without


def collate(items: Sequence[ClipSample | ClipFailure]) -> Batch:
    """Stack the items that were read and list the failures."""
    good = [item for item in items if not isinstance(item, ClipFailure)]
    parameters = [item["parameters"] for item in good if "parameters" in item]
    later: ToAugment = {"parameters": stack_parameters(parameters)} if parameters else {}
    of_views = {item["index"]: item["of_views"] for item in good if "of_views" in item}
    parts: PartsOfBatch = {"of_views": of_views} if of_views else {}
    return Batch(
        clips=_stack_clips([item["clip"] for item in good]),
        labels=_stack_labels([item["label"] for item in good]),
        indices=torch.tensor([item["index"] for item in good], dtype=torch.int64),
        failures=[item for item in items if isinstance(item, ClipFailure)],
        padded=[item["index"] for item in good if item["padded"]],
        records=[item["record"] for item in good if "record" in item],
        frame_seconds=_stack_seconds([i["frame_seconds"] for i in good if "frame_seconds" in i]),
        **later,
        **parts,
    )


def _stack_clips(clips: Sequence[Tensor]) -> Tensor:
    if not clips:
        return torch.empty((0, 0, 3, 0, 0, 0), dtype=torch.uint8)
    out = clips[0].new_empty(0)
    if get_worker_info() is not None:
        # Memory that the main process maps: else the batch would be copied there afterwards.
        storage = torch.UntypedStorage._new_shared(len(clips) * clips[0].numel())
        shape = (len(clips), *clips[0].shape)
        out = out.set_(storage, 0, shape)  # pyright: ignore[reportCallIssue, reportArgumentType]
    return torch.stack(list(clips), out=out)


def _stack_seconds(seconds: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(seconds)) if seconds else torch.empty((0, 0, 0), dtype=torch.float64)


def _stack_labels(labels: Sequence[int | Tensor]) -> Tensor:
    rows = [label for label in labels if isinstance(label, Tensor)]
    if rows:
        return torch.stack(rows)
    return torch.tensor(labels, dtype=torch.int64)
