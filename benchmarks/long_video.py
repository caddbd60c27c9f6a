"""A long file spliced from held-out clips with known boundaries: mAP, delay, memory.

    python benchmarks/long_video.py runs/x/best clips.csv --hours 2

Clips of the split are put end to end in random order, each played so slowly or quickly that it
lasts ``--seconds``, with grey pauses of the same length between them. The file is decoded and
scored in one pass; memory is that of this process, sampled as it goes through the file.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from timing import write_result

from video_mobile_former.data.index.index import ClipIndex, load_index
from video_mobile_former.data.video.from_begin import frames_from_begin
from video_mobile_former.evaluation.metrics.events import Span, compute_event_metrics
from video_mobile_former.export.loading import load_model
from video_mobile_former.inference.events import EventSettings
from video_mobile_former.inference.find import EventFinder
from video_mobile_former.inference.stream import StreamPredictor

PAGE = 4096


def memory_mb() -> float:
    """Resident memory of this process (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / 2**20


def splice(
    index: ClipIndex, path: Path, *, hours: float, seconds: float, rate: int, size: int, seed: int
) -> list[Span]:
    """Write the file; gives the true events."""
    generator = np.random.default_rng(seed)
    true: list[Span] = []
    grey = np.full((size, size, 3), 128, dtype=np.uint8)
    known: dict[int, list[np.ndarray]] = {}
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=rate, options={"preset": "ultrafast"})
        stream.width = stream.height = size
        stream.pix_fmt, stream.time_base = "yuv420p", Fraction(1, rate)
        written = 0
        each = round(seconds * rate)
        while written / rate < hours * 3600:
            i = int(generator.integers(len(index)))
            if i not in known:
                frames = [
                    np.array(f if isinstance(f, np.ndarray) else f.rgb(size))[:size, :size]
                    for _, f in frames_from_begin(index.clips[i].path)
                ]
                known[i] = frames
            begin = (written + each) / rate
            name = index.class_names[index.clips[i].label]
            true.append(Span(str(path), name, begin, begin + seconds))
            shown = [grey] * each + [known[i][k * len(known[i]) // each] for k in range(each)]
            for picture in shown:
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
                frame.pts = written
                container.mux(stream.encode(frame))
                written += 1
        container.mux(stream.encode(None))
    return true


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("data")
    parser.add_argument("--split", default="test")
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rate", type=int, default=8)
    parser.add_argument("--on", type=float, default=0.5)
    parser.add_argument("--window_seconds", type=float)
    parser.add_argument("--stride_seconds", type=float)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    model = load_model(args.model)
    index = load_index(args.data, class_names=model.class_names).split(args.split)
    predictor = StreamPredictor(
        model,
        device="cpu",
        window_seconds=args.window_seconds,
        stride_seconds=args.stride_seconds,
    )
    settings = EventSettings(on=args.on)
    curve: list[tuple[float, float]] = []

    def sample(done: float, of: float) -> None:
        if not curve or done - curve[-1][0] >= 60:
            curve.append((done, memory_mb()))

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.mp4"
        true = splice(
            index,
            path,
            hours=args.hours,
            seconds=args.seconds,
            rate=args.rate,
            size=model.clip.resize_size,
            seed=args.seed,
        )
        begin = time.perf_counter()
        result = EventFinder(predictor, settings).find(path, progress=sample)
        took = time.perf_counter() - begin
    found = [
        Span(str(path), e.label, e.start_seconds, e.end_seconds, e.score) for e in result.events
    ]
    metrics = compute_event_metrics(true, found, index.class_names, 1)
    memory = [mb for _, mb in curve]
    quarter = max(1, len(memory) // 4)
    row = {
        "clips": len(index),
        "video_seconds": round(result.duration_seconds, 1),
        "seconds": round(took, 1),
        "window_seconds": predictor.window_seconds,
        "stride_seconds": predictor.stride_seconds,
        **{k: v for k, v in metrics.to_dict().items() if k != "per_class"},
        "memory_mb_first_quarter": round(max(memory[:quarter]), 1),
        "memory_mb_last_quarter": round(max(memory[-quarter:]), 1),
        "memory_mb": [[round(at), round(mb, 1)] for at, mb in curve],
    }
    print({key: value for key, value in row.items() if key != "memory_mb"})
    write_result("long_video", [row], settings=dataclasses.asdict(settings))


if __name__ == "__main__":
    main()
