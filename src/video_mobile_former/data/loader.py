"""Batches from several worker processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext
from types import TracebackType
from typing import Any, Literal, cast

import numpy as np
import torch
from torch.utils.data import DataLoader

from ..console import say
from ..errors import DataError
from .batches import ClipBatchSampler
from .bytes import is_url
from .dataset import Batch, ClipDataset, collate


class ClipLoader(DataLoader):
    """A ``DataLoader`` that knows where in which epoch it is.

    Each ``for`` over it gives one epoch, and the next one the next epoch. ``state_dict()`` taken
    in the body of the loop, after a batch was used, continues with the batch after it.
    """

    batch_sampler: ClipBatchSampler
    _said = False

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]  # narrower: batches are Batch
        if not self._clips.train:
            self.batch_sampler.start_at(0)  # an evaluation that was left early begins anew
        epoch, batch = self.batch_sampler.epoch, self.batch_sampler.batch
        for item in super().__iter__():
            batch += 1
            # Counted by what was handed out: the sampler itself runs ahead of it.
            self.batch_sampler.start_at(epoch, batch)
            found = cast("Batch", item)
            if found["held"] and not self._said:
                self._say_held(found["held"][0])
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

    @property
    def _clips(self) -> ClipDataset:
        return cast("ClipDataset", self.dataset)

    def _say_held(self, first: int) -> None:
        self._said = True
        index, spec = self._clips.index, self._clips.spec
        clip = index.clips[first]
        say(
            f"{index.source}: {clip.name or clip.path} is shorter than a clip of {spec.num_frames} "
            "frames; its last frame is held, as for every such video"
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
    shuffle: Literal["auto", "full", "shards"] = "auto",
    shard_window: int = 8,
) -> ClipLoader:
    """Batches of a data set: shuffled anew each epoch for training, else in the order of the index.

    Args:
        dataset: Clips; its seed also seeds the order.
        batch_size: Clips per batch and process.
        num_workers: Processes that decode; 0 decodes here, None takes the usable cores, at most 8.
        class_balanced: Every class gives as many clips to an epoch.
        drop_last: Leave out the smaller batch at the end; None does so in training (a batch of one
            clip has no batch statistics).
        rank: Number of this training process, from 0.
        world_size: Number of training processes.
        pin_memory: Page-locked batches; None where there is a CUDA device.
        shuffle: ``"full"`` draws clips from everywhere; ``"shards"`` from some shards at a time,
            see :class:`~.batches.ClipBatchSampler`; ``"auto"`` is shards where they are URLs.
        shard_window: Shards from which clips are drawn at a time.

    Returns:
        A loader of :class:`~video_mobile_former.data.dataset.Batch`.
    """
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
    if num_workers is None:
        num_workers = default_workers()
    several: dict[str, Any] = {}
    if num_workers:
        several = {
            "multiprocessing_context": _context(),
            "persistent_workers": True,
            "worker_init_fn": _init_worker,
        }
    return ClipLoader(
        dataset,
        batch_sampler=sampler,
        num_workers=num_workers,
        collate_fn=collate,
        pin_memory=torch.cuda.is_available() if pin_memory is None else pin_memory,
        **several,
    )


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
    if hasattr(os, "sched_getaffinity"):
        return min(8, len(os.sched_getaffinity(0)))
    return min(8, os.cpu_count() or 1)


def _context() -> BaseContext:
    """How worker processes start.

    Not by a fork of this process: it has threads (OpenMP, loggers, progress bars), whose locks a
    fork copies in whatever state they are. The fork server has none; it imports torch once, so
    that workers start in milliseconds.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    from multiprocessing import forkserver  # not on every system

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    # Ctrl-C reaches all processes of a terminal. The server and its workers inherit that they do
    # not hear it, so that none prints a traceback; the main process says so and ends them.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return context


def _init_worker(worker: int) -> None:
    """Let a worker end with the main process, and without a word when that is interrupted.

    A batch on its way when the main process ends finds nobody to take it, which a thread of
    ``multiprocessing`` would print as a traceback. Errors of the data set itself reach the main
    process another way.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where the server was running before, or spawn
    report = sys.excepthook

    def report_others(
        kind: type[BaseException], error: BaseException, traceback: TracebackType | None
    ) -> None:
        if not issubclass(kind, (EOFError, ConnectionError)):
            report(kind, error, traceback)

    sys.excepthook = report_others
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    """Wait until the main process is gone, killed perhaps, and go too.

    PyTorch's workers look at their parent for that, but here it is the fork server, which itself
    stays for as long as a worker does.
    """
    wait([sentinel])
    os._exit(1)
