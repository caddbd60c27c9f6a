from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from video_mobile_former.data.loading.batches import ClipBatchSampler
from video_mobile_former.errors import DataError

sizes = st.integers(1, 70)
batch_sizes = st.integers(1, 12)
worlds = st.integers(1, 5)
seeds = st.integers(0, 1000)


def labels(count: int, classes: int = 3) -> np.ndarray:
    return np.arange(count) ** 2 % classes


def samplers(count: int, batch: int, world: int, **kwargs) -> list[ClipBatchSampler]:
    return [
        ClipBatchSampler(labels(count), batch, rank=rank, world_size=world, **kwargs)
        for rank in range(world)
    ]


@pytest.mark.slow
@settings(deadline=None)
@given(count=sizes, batch=batch_sizes, world=worlds, seed=seeds, shuffle=st.booleans())
def test_no_clip_is_lost_between_processes(
    count: int, batch: int, world: int, seed: int, shuffle: bool
):
    ranks = [list(s) for s in samplers(count, batch, world, seed=seed, shuffle=shuffle)]
    assert len({len(batches) for batches in ranks}) == 1
    for step in zip(*ranks, strict=True):
        assert len({len(clips) for clips in step}) == 1
        assert 1 <= len(step[0]) <= batch
    drawn = Counter(clip for batches in ranks for clips in batches for _, clip in clips)
    assert set(drawn) == set(range(count))
    # Only to make the last step even among the processes is a clip taken twice (or, with fewer
    # clips than processes, more often).
    assert drawn.total() - count == -count % world


@settings(deadline=None)
@given(count=sizes, batch=batch_sizes, world=worlds, seed=seeds)
def test_drop_last(count: int, batch: int, world: int, seed: int):
    ranks = [list(s) for s in samplers(count, batch, world, seed=seed, drop_last=True)]
    step = batch * world
    drawn = [clip for batches in ranks for clips in batches for _, clip in clips]
    if count >= step:
        assert all(len(clips) == batch for batches in ranks for clips in batches)
        assert len(set(drawn)) == len(drawn) == count // step * step
    else:
        assert set(drawn) == set(range(count))  # the only batch is kept, however small
        assert [len(batches) for batches in ranks] == [1] * world


@settings(deadline=None)
@given(count=sizes, batch=batch_sizes, world=worlds, drop=st.booleans())
def test_length(count: int, batch: int, world: int, drop: bool):
    for sampler in samplers(count, batch, world, drop_last=drop):
        assert len(list(sampler)) == len(sampler) >= 1


@pytest.mark.slow
@settings(deadline=None)
@given(count=sizes, batch=batch_sizes, seed=seeds, world=st.integers(1, 4))
def test_the_same_clips_make_a_step_however_many_processes(
    count: int, batch: int, seed: int, world: int
):
    alone = list(ClipBatchSampler(labels(count), batch * world, seed=seed))
    ranks = [list(s) for s in samplers(count, batch, world, seed=seed)]
    for whole, *parts in zip(alone, *ranks, strict=True):
        together = [clip for clips in parts for clip in clips]
        assert set(whole) <= set(together)
        assert len(together) - len(whole) < world


@pytest.mark.slow
@settings(deadline=None)
@given(
    count=sizes,
    batch=batch_sizes,
    world=worlds,
    seed=seeds,
    balanced=st.booleans(),
    drop=st.booleans(),
    stop=st.integers(0, 60),
)
def test_resumed_order_is_the_unbroken_one(
    count: int, batch: int, world: int, seed: int, balanced: bool, drop: bool, stop: int
):
    rank = seed % world
    kwargs = {"seed": seed, "class_balanced": balanced, "drop_last": drop}

    def make() -> ClipBatchSampler:
        return samplers(count, batch, world, **kwargs)[rank]

    unbroken = make()
    everything = []
    for epoch in range(4):
        unbroken.set_epoch(epoch)
        everything += list(unbroken)
    stop = min(stop, len(everything) - 1)
    resumed = make()
    resumed.load_state_dict({"epoch": stop // len(resumed), "batch": stop % len(resumed)})
    rest = []
    for epoch in range(resumed.epoch, 4):
        resumed.set_epoch(epoch)  # keeps the place within the epoch it stands in
        rest += list(resumed)
    assert rest == everything[stop:]


def test_start_behind_the_last_batch_is_the_next_epoch():
    sampler = ClipBatchSampler(labels(10), 3)
    sampler.start_at(2, len(sampler))
    assert sampler.state_dict() == {"epoch": 3, "batch": 0}


def test_epochs_and_seeds_differ_and_order_is_kept_on_request():
    def order(seed: int, epoch: int, **kwargs) -> list[int]:
        return ClipBatchSampler(labels(50), 5, seed=seed, **kwargs).order(epoch).tolist()

    drawn = {tuple(order(seed, epoch)) for seed in range(3) for epoch in range(3)}
    assert len(drawn) == 9
    assert order(7, 3, shuffle=False) == list(range(50))
    epochs = [
        {epoch for epoch, _ in batch}
        for sampler in [ClipBatchSampler(labels(50), 5)]
        for sampler.epoch in (4,)
        for batch in sampler
    ]
    assert epochs == [{4}] * 10


@pytest.mark.slow
@settings(deadline=None)
@given(
    counts=st.lists(st.integers(1, 30), min_size=1, max_size=6),
    seed=seeds,
    epoch=st.integers(0, 20),
)
def test_balanced_classes(counts: list[int], seed: int, epoch: int):
    tags = np.repeat(np.arange(len(counts)) * 2, counts)  # some numbers without a clip
    sampler = ClipBatchSampler(tags, 4, seed=seed, class_balanced=True)
    order = sampler.order(epoch)
    assert len(order) == len(tags)
    per_class = np.bincount(tags[order], minlength=2 * len(counts))[::2]
    assert per_class.max() - per_class.min() <= 1
    for label in range(len(counts)):
        times = Counter(order[tags[order] == 2 * label].tolist())
        every = [times[int(clip)] for clip in np.flatnonzero(tags == 2 * label)]
        assert max(every) - min(every) <= 1


def test_balanced_epochs_show_all_clips_of_a_large_class():
    tags = np.array([0] * 40 + [1] * 5)
    sampler = ClipBatchSampler(tags, 4, class_balanced=True)
    seen = set()
    for epoch in range(20):
        seen |= set(sampler.order(epoch).tolist())
    assert seen == set(range(45))


@pytest.mark.slow
@settings(deadline=None)
@given(
    rows=st.lists(st.sets(st.integers(0, 4)), min_size=1, max_size=40),
    seed=seeds,
    epoch=st.integers(0, 9),
)
def test_balanced_draw_of_several_classes(rows: list[set[int]], seed: int, epoch: int):
    targets = np.zeros((len(rows), 5), dtype=np.uint8)
    for i, row in enumerate(rows):
        targets[i, list(row)] = 1
    order = ClipBatchSampler(targets, 4, seed=seed, class_balanced=True).order(epoch)
    assert len(order) == len(rows)
    times = Counter(order.tolist())
    without = [i for i, row in enumerate(rows) if not row]
    assert all(times[i] == 1 for i in without)
    present = np.flatnonzero(targets.any(axis=0))
    if len(present):
        # Every class is drawn that often, and comes besides with clips drawn for another one.
        least = (len(rows) - len(without)) // len(present)
        assert (targets[order].sum(axis=0)[present] >= least).all()


def test_one_class_a_clip_is_balanced_alike_in_either_form():
    tags = np.array([0] * 9 + [1] * 3 + [2] * 4)
    rows = np.eye(3, dtype=np.uint8)[tags]
    orders = [ClipBatchSampler(t, 4, seed=3, class_balanced=True).order(1) for t in (tags, rows)]
    assert orders[0].tolist() == orders[1].tolist()


def test_wrong_arguments():
    with pytest.raises(DataError, match="batch_size must be at least 1, not 0"):
        ClipBatchSampler(labels(4), 0)
    with pytest.raises(DataError, match="no clips"):
        ClipBatchSampler(labels(0), 1)
    with pytest.raises(ValueError, match="rank 2 is not one of 2"):
        ClipBatchSampler(labels(4), 1, rank=2, world_size=2)


@pytest.mark.slow
@settings(deadline=None)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=9),
    batch=batch_sizes,
    world=worlds,
    seed=seeds,
    window=st.integers(1, 4),
    stop=st.integers(0, 40),
)
def test_an_order_near_the_shards(
    sizes: list[int], batch: int, world: int, seed: int, window: int, stop: int
):
    shards = np.repeat(np.arange(len(sizes)), sizes)
    shards = np.random.default_rng(seed).permutation(shards)  # in whatever order the index is
    kwargs = {"seed": seed, "shards": shards, "shard_window": window}
    count = len(shards)
    ranks = samplers(count, batch, world, **kwargs)
    orders = [ranks[0].order(epoch) for epoch in range(3)]
    for order in orders:
        assert sorted(order) == list(range(count))
        seen = list(dict.fromkeys(shards[order]))
        # While clips of one window are left, no other window begins.
        places = np.array([seen.index(shard) for shard in shards[order]]) // window
        assert (np.diff(places) >= 0).all()
    # Every clip once an epoch, whatever the processes; at most the fill-up of the last step more.
    drawn = Counter(clip for sampler in ranks for clips in list(sampler) for _, clip in clips)
    assert set(drawn) == set(range(count))
    assert drawn.total() - count == -count % world
    # Resumed at any batch it is the unbroken order.
    stop = min(stop, len(ranks[0]) - 1)
    whole = list(samplers(count, batch, world, **kwargs)[0])
    resumed = samplers(count, batch, world, **kwargs)[0]
    resumed.load_state_dict({"epoch": 0, "batch": stop})
    assert list(resumed) == whole[stop:]


def test_shards_are_mixed_within_their_window_and_new_each_epoch():
    shards = np.repeat(np.arange(20), 50)
    sampler = ClipBatchSampler(labels(1000), 10, shards=shards, shard_window=4)
    first, second = sampler.order(0), sampler.order(1)
    assert len(set(shards[first[:20]])) == 4  # the first clips come from all four
    assert set(shards[first[:200]]) != set(shards[second[:200]])
    full = ClipBatchSampler(labels(1000), 10, shards=shards, shard_window=20).order(0)
    assert len(set(shards[full[:100]])) > 10
    kept = ClipBatchSampler(labels(1000), 10, shards=shards, shuffle=False)
    assert (kept.order(0) == np.arange(1000)).all()
    with pytest.raises(DataError, match="shard_window must be at least 1"):
        ClipBatchSampler(labels(4), 2, shards=shards[:4], shard_window=0)
