"""Which frames of a video make a clip: pure functions on time stamps.

Everything is decided in seconds, not in frame numbers, so that a file of variable frame rate is
sampled as it plays. A video with fewer frames than asked for is padded with its last frame.
"""

from __future__ import annotations

import numpy as np
import torch

from ...clip_spec import ClipSpec

Generator = torch.Generator | np.random.Generator


def uniform(
    timestamps: np.ndarray,
    num_frames: int,
    generator: Generator | None = None,
    *,
    offset: float = 0.5,
) -> np.ndarray:
    """Take one frame from each of ``num_frames`` equal segments of the whole video.

    Args:
        timestamps: ``(N,)`` float64, seconds at which frames appear, sorted, N ≥ 1.
        num_frames: Frames wanted, at least 1.
        generator: Samples a random instant in each segment; None takes the same ``offset`` in each.
        offset: Instant within a segment as a share of it, in [0, 1); 0.5 is the centre.

    Returns:
        ``(num_frames,)`` int64 positions in ``timestamps``, sorted: the frames on display at the
        chosen instants, or every frame, padded with the last one where N < num_frames.

    Raises:
        ValueError: If there are no time stamps.
    """
    times = _checked(timestamps)
    if len(times) < num_frames:
        return np.minimum(np.arange(num_frames), len(times) - 1)
    within = np.full(num_frames, offset) if generator is None else _random(generator, num_frames)
    step = _frame_seconds(times)
    length = times[-1] + step - times[0]
    instants = times[0] + (np.arange(num_frames) + within) * (length / num_frames)
    return _on_display(times, instants, step)


def dense(
    timestamps: np.ndarray,
    num_frames: int,
    stride_seconds: float,
    generator: Generator | None = None,
    *,
    position: float = 0.5,
) -> np.ndarray:
    """Take ``num_frames`` frames that are ``stride_seconds`` apart.

    Args:
        timestamps: ``(N,)`` float64, seconds at which frames appear, sorted, N ≥ 1.
        num_frames: Frames wanted, at least 1.
        stride_seconds: Time between two of them, above 0.
        generator: Samples the start; None starts at ``position``.
        position: Where the clip lies in the video: 0 at its start, 0.5 in the middle, 1 at its end.

    Returns:
        ``(num_frames,)`` int64 positions in ``timestamps``, sorted: the frames nearest to the
        chosen instants, padded with the last one where the video ends too early.

    Raises:
        ValueError: If there are no time stamps.
    """
    times = _checked(timestamps)
    room = max(0.0, (times[-1] - times[0]) - (num_frames - 1) * stride_seconds)
    share = position if generator is None else float(_random(generator, 1)[0])
    step = _frame_seconds(times)
    # Start on a frame: at constant frame rate every later instant then falls on a frame too and
    # rounding cannot make the steps uneven.
    start = times[_nearest(times, times[:1] + share * room, step)[0]]
    return _nearest(times, start + np.arange(num_frames) * stride_seconds, step)


def window(
    timestamps: np.ndarray, seconds: float, generator: Generator | None = None
) -> np.ndarray:
    """Take the time stamps of a window.

    Args:
        timestamps: ``(N,)`` float64 seconds, sorted, N ≥ 1.
        seconds: Its length, above 0.
        generator: Draws where it lies; None takes the middle.

    Returns:
        ``(M,)`` of them, M ≥ 1; all where they are not longer than the window.
    """
    times = _checked(timestamps)
    room = times[-1] + _frame_seconds(times) - times[0] - seconds
    if room <= 0:
        return times
    start = times[0] + room * (0.5 if generator is None else float(_random(generator, 1)[0]))
    inside = times[(times >= start - 1e-6) & (times < start + seconds - 1e-6)]
    return inside if len(inside) else times[_nearest(times, np.array([start]), 0.0)]


def sample(
    timestamps: np.ndarray, spec: ClipSpec, generator: Generator | None = None
) -> np.ndarray:
    """Take one clip as ``spec`` says: random with a generator, centred without.

    Args:
        timestamps: ``(N,)`` float64 seconds, sorted, N ≥ 1.
        spec: Frames, policy and stride.
        generator: Makes the random choices of training.

    Returns:
        ``(spec.num_frames,)`` int64 positions in ``timestamps``.
    """
    if spec.sampling == "dense":
        return dense(timestamps, spec.num_frames, spec.stride_seconds, generator)
    return uniform(timestamps, spec.num_frames, generator)


def views(
    timestamps: np.ndarray, spec: ClipSpec, num_views: int, chosen: range | None = None
) -> list[np.ndarray]:
    """Take ``num_views`` different clips of one video for testing.

    Dense clips start evenly spread from the first to the last possible start; uniform clips take
    evenly spread instants within the segments. One view is the centred clip.

    Args:
        timestamps: ``(N,)`` float64 seconds, sorted, N ≥ 1.
        spec: Frames, policy and stride.
        num_views: At least 1.
        chosen: Which of them, from 0; None takes all.

    Returns:
        So many arrays of ``(spec.num_frames,)`` int64 positions in ``timestamps``.
    """
    if num_views < 1:
        raise ValueError(f"num_views must be at least 1, not {num_views}")
    chosen = range(num_views) if chosen is None else chosen
    if spec.sampling == "dense":
        places = [0.5 if num_views == 1 else v / (num_views - 1) for v in chosen]
        return [
            dense(timestamps, spec.num_frames, spec.stride_seconds, position=place)
            for place in places
        ]
    return [uniform(timestamps, spec.num_frames, offset=(v + 0.5) / num_views) for v in chosen]


def full_views(timestamps: np.ndarray, spec: ClipSpec) -> int:
    """How many clips see the whole of a video.

    Dense clips then follow each other without a gap longer than their stride; of uniform clips
    together, every frame is in one.

    Args:
        timestamps: ``(N,)`` float64 seconds, sorted, N ≥ 1.
        spec: Frames, policy and stride.
    """
    times = _checked(timestamps)
    if spec.sampling == "uniform":
        return max(1, -(-len(times) // spec.num_frames))
    # Clips start evenly from the first to the last possible start, at most a clip apart; rounding
    # of time stamps must not cost one more.
    room = max(0.0, times[-1] - times[0] - (spec.num_frames - 1) * spec.stride_seconds)
    return 1 + int(np.ceil(room / (spec.num_frames * spec.stride_seconds) - 1e-6))


def is_short(timestamps: np.ndarray, spec: ClipSpec) -> bool:
    """Say whether a video is too short for ``spec``, so that its last frame is repeated.

    Args:
        timestamps: ``(N,)`` float64 seconds, sorted, N ≥ 1.
        spec: Frames, policy and stride.
    """
    times = _checked(timestamps)
    if spec.sampling == "uniform":
        return len(times) < spec.num_frames
    needed = (spec.num_frames - 1) * spec.stride_seconds
    # An instant up to half a frame after the last time stamp still is nearest to it by right.
    slack = _frame_seconds(times) / 2 if len(times) > 1 else 0.0
    return bool(times[-1] - times[0] + slack < needed)


def _checked(timestamps: np.ndarray) -> np.ndarray:
    times = np.asarray(timestamps, dtype=np.float64)
    if times.ndim != 1 or len(times) == 0:
        raise ValueError("sampling needs a one-dimensional array of at least one time stamp")
    return times


def _random(generator: Generator, count: int) -> np.ndarray:
    if isinstance(generator, np.random.Generator):
        return generator.random(count)
    return torch.rand(count, generator=generator, dtype=torch.float64).numpy()


def _frame_seconds(times: np.ndarray) -> float:
    """Duration of a usual frame; the last one has no successor to measure it by."""
    return float(np.median(np.diff(times))) if len(times) > 1 else 1.0


def _on_display(times: np.ndarray, instants: np.ndarray, step: float) -> np.ndarray:
    # The tolerance keeps an instant that is a time stamp but for rounding on that frame.
    found = np.searchsorted(times, instants + 1e-6 * step, side="right") - 1
    return np.clip(found, 0, len(times) - 1).astype(np.int64)


def _nearest(times: np.ndarray, instants: np.ndarray, step: float) -> np.ndarray:
    # Halfway between two frames belongs to the earlier one.
    middles = (times[1:] + times[:-1]) / 2
    return np.searchsorted(middles, instants - 1e-6 * step, side="left").astype(np.int64)
