"""Sections ``decode`` and ``scaling`` of ``data.py``: clips in time, alone and from processes."""

from __future__ import annotations

import functools
import multiprocessing
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import raw_decoders
import torch
from raw_decoders import Video

from video_mobile_former.clip_spec import ClipSpec
from video_mobile_former.data.index.clip import Clip
from video_mobile_former.data.index.index import ClipIndex
from video_mobile_former.data.loading import sampling
from video_mobile_former.data.loading.batches import collate
from video_mobile_former.data.loading.dataset import ClipDataset, ClipFailure
from video_mobile_former.data.loading.loader import make_loader
from video_mobile_former.data.video.reader import VideoReader
from video_mobile_former.memory import keep_freed_memory
from video_mobile_former.training.clips.inputs import train_transform
from video_mobile_former.training.recipe.fields import AugmentRecipe

Sampling = Literal["uniform", "dense"]
BATCH = 4


@dataclass(frozen=True)
class Material:
    """Videos of one size, as they come or prepared."""

    size: str
    prepared: bool
    paths: tuple[Path, ...]

    @property
    def name(self) -> str:
        return f"{self.size} prep." if self.prepared else self.size


def make_dataset(paths: Sequence[Path], sampling_mode: Sampling, repeat: int = 1) -> ClipDataset:
    """Training clips of 16×224² with the changes that ``vmf train`` makes by default."""
    spec = ClipSpec(num_frames=16, crop_size=224, sampling=sampling_mode)
    transform = train_transform(spec, AugmentRecipe())
    clips = [Clip(str(path), (0,)) for path in paths] * repeat
    index = ClipIndex(clips, ("any",), "benchmark")
    return ClipDataset(index, spec, train=True, transform=transform)


def measure_decode(material: Material, mode: Sampling, rounds: int) -> dict[str, Any]:
    """Milliseconds of processor time a clip, in one process: bare loops, and the loader's parts.

    ``decode`` goes up to the cropped and resized RGB, which FFmpeg's scaler makes in one pass;
    ``transform`` is the rest: flip, colours and the order in memory that a batch has.
    ``loader`` is everything that a worker process does for a clip: time stamps, decoding,
    transform, batching and putting the batch into memory that the main process sees.
    """
    dataset = make_dataset(material.paths, mode)
    videos = [Video.of(path) for path in material.paths]
    decoders = raw_decoders.available()
    spent: dict[str, list[float]] = defaultdict(list)
    keep_freed_memory(32 << 20)  # as in a worker
    for number in range(-1, rounds * BATCH):
        if number == 0:
            spent.clear()  # the first turn warms up
        which = number % len(videos)
        _one_turn(dataset, videos[which], which, number, decoders, spent)
    ms = {name: 1e3 * statistics.median(values) for name, values in spent.items()}
    ms["batch"] /= BATCH
    ms["loader"] = ms["item"] + ms["batch"]
    best = min((name for name in raw_decoders.COMPARED if name in ms), key=ms.__getitem__)
    return {
        "section": "decode",
        "material": material.name,
        "sampling": mode,
        "ms": {name: round(value, 2) for name, value in ms.items()},
        "best_raw": best,
        "loader_to_raw": round(ms[best] / ms["loader"], 3),
        "transform_to_decode": round(ms["transform"] / ms["decode"], 3),
    }


def _one_turn(
    dataset: ClipDataset,
    video: Video,
    which: int,
    number: int,
    decoders: dict[str, raw_decoders.Decoder],
    spent: dict[str, list[float]],
) -> None:
    """The same frames by every way in turn, so that load falls on all alike."""

    def note(name: str, run: Callable[[], Any]) -> Any:
        start = time.process_time()
        result = run()
        spent[name].append(time.process_time() - start)
        return result

    epoch = 1000 + number
    # Exactly the frames that the data set takes in this epoch.
    positions = _positions(dataset, video, dataset._generator(epoch, which))
    for name, decode in decoders.items():
        note(name, functools.partial(decode, video, positions))
    generator = torch.Generator().manual_seed(epoch)
    view = note("decode", lambda: _read(dataset, which, positions, generator))
    note("transform", lambda: dataset._transformed([[view]], [generator]))
    item = note("item", lambda: dataset[epoch, which])
    if isinstance(item, ClipFailure):
        raise SystemExit(f"cannot read {item}")
    note("batch", lambda: collate([item] * BATCH)["clips"].share_memory_())


def _positions(dataset: ClipDataset, video: Video, generator: torch.Generator) -> list[int]:
    times = torch.tensor(video.pts, dtype=torch.float64)
    seconds = (times - times[0]) / (times[1] - times[0]) / 30
    return sampling.sample(seconds.numpy(), dataset.spec, generator).tolist()


def _read(
    dataset: ClipDataset, which: int, positions: list[int], generator: torch.Generator
) -> torch.Tensor:
    """What the data set does before the transform."""
    with VideoReader(dataset.index.clips[which].path) as reader:
        times = reader.timestamps()[positions]
        return dataset._frames(reader, times, [generator])[0]


@dataclass
class Rate:
    """What some processes did."""

    clips_per_second: float
    processor_ms_per_clip: float


def measure_scaling(material: Material, mode: Sampling, rounds: int) -> dict[str, Any]:
    """Clips per second of 1 and 2 worker processes, and of bare loops in as many processes."""
    clips = 48 if material.prepared else 24
    found: dict[str, list[Rate]] = defaultdict(list)
    loaders = {n: _loader(material, mode, n, clips) for n in (1, 2)}
    raw = _best_raw(material, mode)
    for _ in range(rounds):
        for n, loader in loaders.items():
            found[f"loader {n}"].append(_loader_rate(loader, clips))
            found[f"raw {n}"].append(_raw_rate(raw, material, mode, n, clips))
    rates = {
        name: Rate(
            statistics.median(r.clips_per_second for r in values),
            statistics.median(r.processor_ms_per_clip for r in values),
        )
        for name, values in found.items()
    }
    one, two = rates["loader 1"], rates["loader 2"]
    ratios = [
        b.clips_per_second / a.clips_per_second
        for a, b in zip(found["loader 1"], found["loader 2"], strict=True)
    ]
    return {
        "section": "scaling",
        "material": material.name,
        "sampling": mode,
        "rates": {name: asdict(rate) for name, rate in rates.items()},
        "raw": raw,
        "speedup": round(statistics.median(ratios), 3),
        "processor_time_ratio": round(2 * one.processor_ms_per_clip / two.processor_ms_per_clip, 3),
        "loader_to_raw": {
            str(n): round(
                rates[f"loader {n}"].clips_per_second / rates[f"raw {n}"].clips_per_second, 3
            )
            for n in (1, 2)
        },
    }


def _loader(material: Material, mode: Sampling, workers: int, clips: int) -> Any:
    # Twice the clips: the first ones fill the queue, and are not counted.
    dataset = make_dataset(material.paths, mode, repeat=-(-2 * clips // len(material.paths)))
    return make_loader(dataset, batch_size=BATCH, num_workers=workers)


def _loader_rate(loader: Any, clips: int) -> Rate:
    batches = iter(loader)
    for _ in islice(batches, clips // BATCH // 2):
        pass
    workers = [child for child in multiprocessing.active_children() if "DataLoader" in child.name]
    pids = [w.pid for w in getattr(loader._iterator, "_workers", workers) if w.pid]
    before, start = _processor_seconds(pids), time.perf_counter()
    for _ in islice(batches, clips // BATCH):
        pass
    seconds, spent = time.perf_counter() - start, _processor_seconds(pids) - before
    for _ in batches:
        pass
    return Rate(clips / seconds, 1e3 * spent / clips)


def _processor_seconds(pids: Sequence[int]) -> float:
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / 100


def _best_raw(material: Material, mode: Sampling) -> str:
    dataset, video = make_dataset(material.paths, mode), Video.of(material.paths[0])
    decoders = raw_decoders.available()
    spent = {}
    for name in raw_decoders.COMPARED:
        if name in decoders:
            times = []
            for number in range(4):
                start = time.process_time()
                decoders[name](
                    video, _positions(dataset, video, torch.Generator().manual_seed(number))
                )
                times.append(time.process_time() - start)
            spent[name] = statistics.median(times)
    return min(spent, key=spent.__getitem__)


def _raw_rate(raw: str, material: Material, mode: Sampling, workers: int, clips: int) -> Rate:
    context = multiprocessing.get_context("spawn")
    ready, go = context.Barrier(workers + 1), context.Barrier(workers + 1)
    results = context.Queue()
    arguments = (raw, material, mode, clips // workers, ready, go, results)
    processes = [context.Process(target=_raw_process, args=arguments) for _ in range(workers)]
    for process in processes:
        process.start()
    ready.wait()
    start = time.perf_counter()
    go.wait()
    spent = sum(results.get() for _ in processes)
    seconds = time.perf_counter() - start
    for process in processes:
        process.join()
    return Rate(clips / seconds, 1e3 * spent / clips)


def _raw_process(
    raw: str, material: Material, mode: Sampling, clips: int, ready: Any, go: Any, results: Any
) -> None:
    torch.set_num_threads(1)
    decode = raw_decoders.available()[raw]
    dataset = make_dataset(material.paths, mode)
    videos = [Video.of(path) for path in material.paths]
    decode(videos[0], _positions(dataset, videos[0], torch.Generator()))
    ready.wait()
    go.wait()
    start = time.process_time()
    for number in range(clips):
        video = videos[number % len(videos)]
        decode(video, _positions(dataset, video, torch.Generator().manual_seed(number)))
    results.put(time.process_time() - start)
