from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from video_mobile_former.clip_spec import ClipSpec
from video_mobile_former.data.loading import sampling


def constant(count: int, fps: float = 30.0, start: float = 0.0) -> np.ndarray:
    return start + np.arange(count) / fps


@st.composite
def times(draw: st.DrawFn, min_size: int = 1) -> np.ndarray:
    """Time stamps at constant or wildly varying frame rate, in milliseconds as in Matroska."""
    if draw(st.booleans()):
        return constant(draw(st.integers(min_size, 200)), draw(st.sampled_from([10.0, 25.0, 30.0])))
    gaps = draw(st.lists(st.integers(1, 400), min_size=min_size, max_size=60))
    return np.cumsum(gaps) / 1000


specs = st.builds(
    ClipSpec,
    num_frames=st.integers(1, 40),
    sampling=st.sampled_from(["uniform", "dense"]),
    stride=st.integers(1, 12),
)
seeds = st.one_of(st.none(), st.integers(0, 1000))


def generator(seed: int | None) -> torch.Generator | None:
    return None if seed is None else torch.Generator().manual_seed(seed)


@pytest.mark.slow
@settings(deadline=None)
@given(stamps=times(), spec=specs, seed=seeds)
def test_sorted_in_range_and_as_many_as_asked(stamps: np.ndarray, spec: ClipSpec, seed: int | None):
    chosen = sampling.sample(stamps, spec, generator(seed))
    assert chosen.dtype == np.int64
    assert chosen.shape == (spec.num_frames,)
    assert (np.diff(chosen) >= 0).all()
    assert chosen[0] >= 0
    assert chosen[-1] < len(stamps)
    again = sampling.sample(stamps, spec, generator(seed))
    assert (chosen == again).all()


@pytest.mark.slow
@settings(deadline=None)
@given(stamps=times(), spec=specs, views=st.integers(1, 10))
def test_views(stamps: np.ndarray, spec: ClipSpec, views: int):
    chosen = sampling.views(stamps, spec, views)
    assert len(chosen) == views
    assert all(len(view) == spec.num_frames and (np.diff(view) >= 0).all() for view in chosen)
    starts = [view[0] for view in chosen]
    assert starts == sorted(starts)
    (centre,) = sampling.views(stamps, spec, 1)
    assert (centre == sampling.sample(stamps, spec)).all()
    if spec.sampling == "dense" and views > 1:
        assert starts[0] == 0
        if not sampling.is_short(stamps, spec):
            wanted = stamps[-1] - (spec.num_frames - 1) * spec.stride_seconds
            nearest = np.abs(stamps - wanted).min()
            assert abs(stamps[starts[-1]] - wanted) <= nearest + 1e-6


@pytest.mark.slow
@settings(deadline=None)
@given(stamps=times(), spec=specs, seed=seeds, shift=st.integers(-1000, 1000))
def test_translation_changes_nothing(
    stamps: np.ndarray, spec: ClipSpec, seed: int | None, shift: int
):
    # A random instant may fall within rounding of a boundary between two frames: one in 10^6.
    before = sampling.sample(stamps, spec, generator(seed))
    after = sampling.sample(stamps + shift, spec, generator(seed))
    assert (before == after).all()


@pytest.mark.slow
@settings(deadline=None)
@given(stamps=times(), num_frames=st.integers(1, 40), seed=seeds, power=st.integers(-8, 8))
def test_uniform_does_not_depend_on_speed(
    stamps: np.ndarray, num_frames: int, seed: int | None, power: int
):
    before = sampling.uniform(stamps, num_frames, generator(seed))
    after = sampling.uniform(stamps * 2.0**power, num_frames, generator(seed))
    assert (before == after).all()


@pytest.mark.slow
@settings(deadline=None)
@given(stamps=times(), num_frames=st.integers(1, 40), seed=seeds)
def test_uniform_takes_a_frame_on_display_in_each_segment(
    stamps: np.ndarray, num_frames: int, seed: int | None
):
    if len(stamps) < num_frames:
        return
    chosen = sampling.uniform(stamps, num_frames, generator(seed))
    step = np.median(np.diff(stamps)) if len(stamps) > 1 else 1.0
    edges = np.linspace(stamps[0], stamps[-1] + step, num_frames + 1)
    begins, ends = stamps[chosen], np.append(stamps[1:], stamps[-1] + step)[chosen]
    slack = 1e-5 * step
    assert (begins <= edges[1:] + slack).all()
    assert (ends >= edges[:-1] - slack).all()


@settings(deadline=None)
@given(
    count=st.integers(1, 60),
    num_frames=st.integers(1, 16),
    fps=st.sampled_from([10.0, 24.0, 25.0, 30.0, 29.97, 60.0]),
)
def test_uniform_centres_at_constant_rate(count: int, num_frames: int, fps: float):
    chosen = sampling.uniform(constant(count, fps), num_frames)
    if count < num_frames:
        assert (chosen == np.minimum(np.arange(num_frames), count - 1)).all()
    else:
        # Frame floor((i + ½)·N/T), in whole numbers.
        assert (
            chosen == [(2 * i + 1) * count // (2 * num_frames) for i in range(num_frames)]
        ).all()


@settings(deadline=None)
@given(
    count=st.integers(1, 300),
    num_frames=st.integers(1, 16),
    stride=st.integers(1, 8),
    fps=st.sampled_from([10.0, 24.0, 25.0, 30.0, 29.97, 60.0]),
    seed=seeds,
)
def test_dense_steps_are_even_at_constant_rate(
    count: int, num_frames: int, stride: int, fps: float, seed: int | None
):
    stamps = constant(count, fps)
    chosen = sampling.dense(stamps, num_frames, stride / fps, generator(seed))
    wanted = chosen[0] + stride * np.arange(num_frames)
    assert (chosen == np.minimum(wanted, count - 1)).all()
    if count > (num_frames - 1) * stride:
        assert wanted[-1] < count
        if seed is None:
            assert abs(chosen[0] - (count - 1 - wanted[-1] + chosen[0]) / 2) <= 0.5
    else:
        assert chosen[0] == 0


def test_dense_step_is_in_seconds_whatever_the_rate():
    spec = ClipSpec(num_frames=8, sampling="dense", stride=4, stride_fps=30.0)
    for fps in (15.0, 30.0, 60.0):
        stamps = constant(int(10 * fps), fps)
        gaps = np.diff(stamps[sampling.sample(stamps, spec)])
        assert np.allclose(gaps, 4 / 30)


def test_variable_rate_is_sampled_by_time():
    # One second at 10 fps, then one second at 100 fps.
    stamps = np.concatenate([np.arange(10) / 10, 1 + np.arange(100) / 100])
    chosen = stamps[sampling.uniform(stamps, 4)]
    assert np.allclose(chosen, [0.2, 0.7, 1.25, 1.75], atol=0.011)
    chosen = stamps[sampling.dense(stamps, 5, 0.4)]
    assert np.allclose(np.diff(chosen), 0.4, atol=0.051)


def test_random_starts_and_instants_cover_the_video():
    stamps = constant(100)
    rng = np.random.default_rng(0)
    dense = [sampling.dense(stamps, 4, 10 / 30, rng) for _ in range(400)]
    assert {int(view[0]) for view in dense} == set(range(70))
    uniform = np.stack([sampling.uniform(stamps, 4, rng) for _ in range(400)])
    for segment, column in enumerate(uniform.T):
        assert set(column) == set(range(25 * segment, 25 * segment + 25))


def test_uniform_views_differ():
    views = sampling.views(constant(160), ClipSpec(num_frames=16), 5)
    assert [int(view[0]) for view in views] == [1, 3, 5, 7, 9]


def test_shortness():
    uniform = ClipSpec(num_frames=16)
    assert sampling.is_short(constant(15), uniform)
    assert not sampling.is_short(constant(16), uniform)
    dense = ClipSpec(num_frames=4, sampling="dense", stride=5)
    assert sampling.is_short(constant(15), dense)
    assert not sampling.is_short(constant(16), dense)
    assert sampling.is_short(constant(1), dense)
    assert not sampling.is_short(constant(1), ClipSpec(num_frames=1, sampling="dense"))


def test_held_clips_end_on_the_last_frame():
    assert sampling.uniform(constant(3), 5).tolist() == [0, 1, 2, 2, 2]
    assert sampling.dense(constant(3), 5, 1 / 30).tolist() == [0, 1, 2, 2, 2]


def test_no_time_stamps():
    with pytest.raises(ValueError, match="at least one time stamp"):
        sampling.uniform(np.array([]), 4)
    with pytest.raises(ValueError, match="num_views"):
        sampling.views(constant(4), ClipSpec(), 0)


@pytest.mark.parametrize("how", ["dense", "uniform"])
def test_some_of_the_views_are_those_of_all(how: str) -> None:
    spec = ClipSpec.from_dict({"num_frames": 4, "sampling": how, "stride": 2})
    times = constant(50)
    found = sampling.views(times, spec, 7, range(2, 5))
    np.testing.assert_array_equal(found, sampling.views(times, spec, 7)[2:5])


@given(
    st.integers(1, 200),
    st.integers(1, 16),
    st.integers(1, 6),
    st.sampled_from(["dense", "uniform"]),
)
@settings(max_examples=60, deadline=None)
def test_full_views_leave_no_gap(count: int, frames: int, stride: int, how: str) -> None:
    spec = ClipSpec.from_dict({"num_frames": frames, "sampling": how, "stride": stride})
    times = np.arange(count) / 30
    found = sampling.views(times, spec, sampling.full_views(times, spec))
    seen = np.unique(np.concatenate(found))
    most = stride if how == "dense" else 1
    assert np.diff(seen).max(initial=0) <= most
    assert seen[0] < most
    assert seen[-1] >= count - most
