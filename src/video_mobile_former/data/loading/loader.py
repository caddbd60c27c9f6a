"""Batches from several worker processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, cast

import numpy as np
import torch
from torch.utils.data import DataLoader

from ...console import say
from ...errors import DataError, UserError, check_at_least
from ..byte_ranges import is_url
from ..processes import process_context, usable_cores
from .batches import ClipBatchSampler, collate
from .dataset import Batch, ClipDataset, clip_name
from .failures import Failures, Quarantine
from .room import fitting
from .worker_watch import Death, WorkerWatch, stop_workers

_MAX_FUTILE = 10
"""Times in a row that new processes may end before they have read a single clip."""
_MAX_UNEXPLAINED = 5
"""Times within an epoch that processes may end for another reason than the file they read."""


class WorkersEndedError(UserError):
    """Processes that read video ended, and new ones would end as well."""


class ClipLoader(DataLoader):
    """A ``DataLoader`` that knows its epoch and position.

    Each ``for`` over it gives one epoch, and the next one the next epoch. ``state_dict()`` taken
    in the body of the loop, after a batch was used, continues with the batch after it.

    A worker process that dies is replaced: what it was reading counts as failed, and the next
    batch is the one after the last that was given. As everything random is a function of (seed,
    epoch, clip), no batch is lost, repeated or changed by that.
    """

    batch_sampler: ClipBatchSampler
    failures: Failures
    """Failures by file."""
    watch: WorkerWatch | None = None
    """Notes of the worker processes; None without them."""
    _said = False
    _futile = 0
    _unexplained = 0

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]  # narrower: batches are Batch
        if not self._clips.train:
            self.batch_sampler.start_at(0)  # an evaluation that was left early starts again
        epoch, batch = self.batch_sampler.epoch, self.batch_sampler.batch
        self.failures.refresh()
        self._unexplained = 0
        items: Iterator[Any] | None = None
        while True:
            try:
                if items is None:
                    items = super().__iter__()
                item = next(items, None)
            except (RuntimeError, OSError, EOFError) as error:
                self._replace_workers(error)
                self.batch_sampler.start_at(epoch, batch)
                items = None
                continue
            if item is None:
                return
            batch += 1
            # Counted by what was handed out: the sampler itself runs ahead of it.
            self.batch_sampler.start_at(epoch, batch)
            found = cast("Batch", item)
            found["failures"] = [self.failures.note(failure) for failure in found["failures"]]
            if found["padded"] and not self._said:
                self._say_padded(found["padded"][0])
            yield found

    def state_dict(self) -> dict[str, int]:
        """Epoch and batch that come next."""
        return self.batch_sampler.state_dict()

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue where :meth:`state_dict` was taken."""
        self.batch_sampler.load_state_dict(state)

    def set_epoch(self, epoch: int) -> None:
        """Move to an epoch; a position within that same epoch is kept."""
        self.batch_sampler.set_epoch(epoch)

    def start_at(self, epoch: int, batch: int = 0) -> None:
        """Let the next ``iter()`` begin at this batch of this epoch."""
        self.batch_sampler.start_at(epoch, batch)

    @property
    def source(self) -> str:
        """Where the clips come from, for messages."""
        return self._clips.index.source

    def names(self, indices: Sequence[int]) -> list[str]:
        """Message about clips."""
        return [clip_name(self._clips.index.clips[i]) for i in indices]

    @property
    def _clips(self) -> ClipDataset:
        return cast("ClipDataset", self.dataset)

    def _replace_workers(self, error: Exception) -> None:
        """After the death of workers, find the cause; new workers continue.

        Raises:
            WorkersEndedError: If new ones would not do better.
            Exception: The same error, if it is another one.
        """
        batches = self._iterator
        if self.watch is None or batches is None or not tells_of_death(error):
            raise error
        processes = batches._workers  # pyright: ignore[reportAttributeAccessIssue]
        deaths = self.watch.deaths(processes, 1.0, self._clips.limits.seconds)
        # None died, but a batch did not arrive: its sender had no memory left, for one.
        explained = bool(deaths) and all(death.certain for death in deaths)
        self._unexplained += not explained
        self._futile = 0 if any(slot.reads for slot in self.watch.slots) else self._futile + 1
        stop_workers(batches, self.watch)
        self._iterator = None
        self.watch.clear()
        for death in deaths:
            if death.clip is not None and death.can_go_on:
                self.failures.ended_a_process(death.clip, death.reason, for_certain=death.certain)
        hopeless = self._futile >= _MAX_FUTILE or self._unexplained > _MAX_UNEXPLAINED
        if hopeless or not all(death.can_go_on for death in deaths):
            raise WorkersEndedError(
                f"{self._last_words(deaths)}: out of memory, or a script without "
                "`if __name__ == '__main__':`; try a lower num_workers, in Docker more --shm-size"
            ) from error
        if not explained:
            say(f"{self._last_words(deaths)}; new ones go on")

    def _last_words(self, deaths: list[Death]) -> str:
        what = "processes that read video ended unexpectedly"
        clips = self._clips.index.clips
        reasons = [
            death.reason + ("" if death.clip is None else f" over {clip_name(clips[death.clip])}")
            for death in deaths
        ]
        return what + (f" ({'; '.join(reasons)})" if reasons else "")

    def _say_padded(self, first: int) -> None:
        self._said = True
        index, spec = self._clips.index, self._clips.spec
        clip = index.clips[first]
        say(
            f"{index.source}: {clip.name or clip.path} is shorter than a clip of {spec.num_frames} "
            "frames; its last frame is repeated, as for every such video"
        )


def make_loader(
    dataset: ClipDataset,
    *,
    batch_size: int,
    num_workers: int | None = None,
    class_balanced: bool = False,
    drop_last: bool | None = None,
    rank: int = 0,
    world_size: int = 1,
    pin_memory: bool | None = None,
    quarantine: Quarantine | None = None,
    give_up: bool = True,
    shuffle: Literal["auto", "full", "shards"] = "auto",
    shard_window: int = 8,
) -> ClipLoader:
    """Batches of a data set: shuffled anew each epoch for training, else in the order of the index.

    Args:
        dataset: Clips; its seed also seeds the order.
        batch_size: Clips per batch and process.
        num_workers: Processes that decode; 0 decodes here, None takes the usable cores, at most 8.
        class_balanced: Every class gives as many clips to an epoch.
        drop_last: Drop the smaller batch at the end; None does so in training (a batch of one
            clip has no batch statistics).
        rank: Number of this training process, from 0.
        world_size: Number of training processes.
        pin_memory: Page-locked batches; None where there is a CUDA device.
        quarantine: Where files go that failed twice; None keeps it in memory.
        give_up: Whether files that failed twice are no longer read. A file may hold several clips,
            and an evaluation needs every one that can be read.
        shuffle: ``"full"`` samples clips from everywhere; ``"shards"`` from some shards at a time,
            see :class:`~.batches.ClipBatchSampler`; ``"auto"`` is shards where they are URLs.
        shard_window: Shards from which clips are sampled at a time.

    Returns:
        A loader of :class:`~video_mobile_former.data.loading.dataset.Batch`.

    Raises:
        UserError: If a number is out of range, or there is no room for batches of worker
            processes.
    """
    if num_workers is None:
        num_workers = default_workers()
    check_at_least("num_workers", num_workers, 0)
    sampler = ClipBatchSampler(
        dataset.targets if class_balanced and dataset.index.multi_label else dataset.labels,
        batch_size,
        shuffle=dataset.train,
        seed=dataset.seed,
        class_balanced=class_balanced,
        drop_last=dataset.train if drop_last is None else drop_last,
        rank=rank,
        world_size=world_size,
        shards=_shards(dataset, shuffle),
        shard_window=shard_window,
    )
    several: dict[str, Any] = {}
    watch = None
    if num_workers:
        size = min(batch_size, len(dataset)) * dataset.clip_bytes
        num_workers, ahead = fitting(num_workers, size, processes=world_size)
        watch = WorkerWatch(num_workers)
        dataset.excluded.share_memory_()
        several = {
            "multiprocessing_context": process_context(),
            "persistent_workers": True,
            "prefetch_factor": ahead,
            "worker_init_fn": watch.init(),
        }
    loader = ClipLoader(
        dataset,
        batch_sampler=sampler,
        num_workers=num_workers,
        collate_fn=collate,
        pin_memory=torch.cuda.is_available() if pin_memory is None else pin_memory,
        **several,
    )
    loader.watch = watch
    loader.failures = Failures(dataset.index, dataset.excluded, quarantine, give_up=give_up)
    return loader


def _shards(dataset: ClipDataset, shuffle: Literal["auto", "full", "shards"]) -> np.ndarray | None:
    """The shard of each clip where the order is to stay near them."""
    table = dataset.index.table
    if shuffle == "full" or (shuffle == "auto" and not (table and is_url(table[0].path))):
        return None
    if shuffle == "shards" and table.shard is None:
        raise DataError(f"{dataset.index.source}: no shards, so their clips cannot be kept near")
    return table.shard


def default_workers() -> int:
    """Number of cores this process may use, at most 8."""
    return min(8, usable_cores())


def tells_of_death(error: Exception) -> bool:
    """Distinguish the end of a worker process from an error of the data set in one that lives."""
    text = str(error)
    if "in DataLoader worker process" in text:
        return False
    if isinstance(error, (OSError, EOFError)):
        return True  # a batch lies in memory that its worker hands out: nobody answered
    return "DataLoader worker" in text or "Pin memory thread" in text
