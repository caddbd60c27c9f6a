"""Recognise what a camera or another program hands over as arrays, once a second.

    python examples/embed.py runs/first clip.mp4

The file stands for whatever gives pictures: all that is needed of it are uint8 RGB arrays and
their times. The last two seconds are kept, and the model looks at them once a second.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator

import av
import numpy as np

from video_mobile_former import Prediction, Predictor, load_model

WINDOW_SECONDS, EVERY_SECONDS = 2.0, 1.0


def pictures(path: str) -> Iterator[tuple[float, np.ndarray]]:
    """Times in seconds and pictures (H, W, 3), uint8 RGB."""
    with av.open(path) as container:
        for frame in container.decode(video=0):
            yield frame.time or 0.0, frame.to_ndarray(format="rgb24")


def main(model: str, path: str) -> list[tuple[float, Prediction]]:
    """Print the likeliest action of every window."""
    predictor = Predictor(load_model(model))
    window: deque[tuple[float, np.ndarray]] = deque()
    due, found = EVERY_SECONDS, []
    for seconds, picture in pictures(path):
        window.append((seconds, picture))
        while seconds - window[0][0] > WINDOW_SECONDS:
            window.popleft()
        if seconds >= due:
            due += EVERY_SECONDS
            length = max(seconds - window[0][0], 1e-3)
            frames = np.stack([picture for _, picture in window])
            best = predictor.predict(frames, frame_rate=len(window) / length, top_k=1)
            found.append((seconds, best))
            print(f"{seconds:6.1f} s  {best.labels[0]}  {best.scores[0]:.3f}")
    return found


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit((__doc__ or "").strip())
    main(*sys.argv[1:])
