"""A batch run in one process, in plain processes, in ours and on Ray, where an actor and the driver
are killed; the rows must be the same.

    python benchmarks/batch.py --clips 2000 --model vmf_500m
    python benchmarks/batch.py --driver 20000
    python benchmarks/batch.py --rates --model vmf_500m

Writes procedural clips of 64², one second each, and a checkpoint at 8 × 64² with fresh weights, and
runs ``vmf batch`` over them. Time is processor time of everything that a run starts, actors and
Ray's own processes included, and wall time; the start (imports, model, cluster) is told apart by
when the first row is on disk. ``--driver`` measures in place of that what the driver does alone:
memory of the list and the journal, and processor time to keep rows and to write the table.
``--rates`` measures what videos of usual size cost: 10 s of 340 × 256 at 30 frames a second, one
view of the model's own size, and events in all of 40 s of it; starts are subtracted. Prints JSON.
"""

from __future__ import annotations

import argparse
import ctypes
import functools
import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

from timing import describe_run

sys.path.append(str(Path(__file__).parents[1] / "tests" / "helpers"))

_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of linux/prctl.h

PLAIN = """
import multiprocessing, sys
from video_mobile_former import Predictor, load_model

def init(model):
    global predictor
    import torch
    torch.set_num_threads(1)
    predictor = Predictor(load_model(model), device="cpu")

def work(path):
    return predictor.predict(path).scores

if __name__ == "__main__":
    model, folder, workers = sys.argv[1:]
    from video_mobile_former.inference import expand_sources
    paths = [str(path) for path in expand_sources([folder])]
    context = multiprocessing.get_context("spawn")
    with context.Pool(int(workers), init, (model,)) as pool:
        done = sum(1 for _ in pool.imap(work, paths, 1))
    assert done == len(paths)
"""


class Measured:
    """Processor and wall time of what is started within the block, orphans included."""

    def __enter__(self) -> Measured:
        self._before, self._begin = _children_seconds(), time.monotonic()
        return self

    def __exit__(self, *error: object) -> None:
        self.wall_seconds = round(time.monotonic() - self._begin, 1)
        until = time.monotonic() + 60
        while time.monotonic() < until:  # processes of a driver that is gone come to us
            try:
                if os.waitpid(-1, os.WNOHANG)[0] == 0:
                    time.sleep(0.1)
            except ChildProcessError:
                break
        self.processor_seconds = round(_children_seconds() - self._before, 1)

    def to_dict(self) -> dict[str, float]:
        return {"processor_seconds": self.processor_seconds, "wall_seconds": self.wall_seconds}


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def rows_in(journal: Path) -> int:
    return max(0, journal.read_bytes().count(b"\n") - 1) if journal.exists() else 0


def actors_with(mark: str) -> list[int]:
    """Process numbers of actors that inherited a mark of ours."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if (
                mark.encode() in (process / "environ").read_bytes()
                and b"ray::MapWorker" in (process / "cmdline").read_bytes()
            ):
                found.append(int(process.name))
        except (OSError, ValueError):
            continue
    return found


class Bench:
    def __init__(self, folder: Path, clips: int, model: str, workers: int):
        self.folder, self.clips, self.workers = folder, clips, workers
        self.data, self.model = folder / "clips", folder / "model"
        self._make(model)

    def _make(self, name: str) -> None:
        from video_mobile_former import create_model
        from video_mobile_former.procedural import ProceduralSpec, write_procedural

        classes = ("move_left", "move_right", "grow", "shrink")
        spec = ProceduralSpec(families=("motion",), classes=classes, size=64, num_frames=12)
        write_procedural(self.data, spec, {"test": -(-self.clips // len(classes))})
        extra = sorted(self.data.rglob("*.mp4"))[self.clips :]
        for path in extra:
            path.unlink()
        create_model(name, num_classes=10, num_frames=8, crop_size=64).save_pretrained(self.model)

    def command(self, out: str, *more: str) -> list[str]:
        words = ["batch", str(self.model), str(self.data), "--out", str(self.folder / out)]
        return [sys.executable, "-m", "video_mobile_former", *words, "--device", "cpu", *more]

    def run(self, out: str, *more: str) -> dict[str, Any]:
        """One run from its begin to its end."""
        journal = self.folder / f"{out}.progress.jsonl"
        first = None
        with Measured() as took:
            process = subprocess.Popen(self.command(out, *more), stdout=subprocess.DEVNULL)
            begin = time.monotonic()
            while process.poll() is None:
                if first is None and rows_in(journal):
                    first = round(time.monotonic() - begin, 1)
                time.sleep(0.2)
        assert process.returncode == 0, f"{out}: status {process.returncode}"
        return took.to_dict() | {"seconds_to_first_row": first, "rows": self.digest(out)}

    def plain(self) -> dict[str, Any]:
        script = self.folder / "plain.py"
        script.write_text(PLAIN)
        words = [str(self.model), str(self.data), str(self.workers)]
        with Measured() as took:
            subprocess.run([sys.executable, str(script), *words], check=True)
        return took.to_dict()

    def interrupted(self, out: str, *more: str) -> dict[str, Any]:
        """A run whose actor is killed at a quarter and whose driver at half, and that goes on."""
        journal, mark = self.folder / f"{out}.progress.jsonl", uuid.uuid4().hex
        with Measured() as took:
            driver = subprocess.Popen(
                self.command(out, *more),
                stdout=subprocess.DEVNULL,
                env={**os.environ, "VMF_BENCHMARK_MARK": mark},
            )
            self._wait(driver, journal, self.clips // 4)
            actor = actors_with(mark)[0]
            os.kill(actor, signal.SIGKILL)
            at_actor = rows_in(journal)
            self._wait(driver, journal, self.clips // 2)
            driver.kill()
            driver.wait()
            at_driver = rows_in(journal)
            subprocess.run(self.command(out, *more), check=True, stdout=subprocess.DEVNULL)
        return took.to_dict() | {
            "rows_when_an_actor_was_killed": at_actor,
            "rows_when_the_driver_was_killed": at_driver,
            "rows_made": rows_in(journal),
            "rows": self.digest(out),
        }

    @staticmethod
    def _wait(driver: subprocess.Popen[bytes], journal: Path, count: int) -> None:
        while rows_in(journal) < count:
            assert driver.poll() is None, "the run ended before it was killed"
            time.sleep(0.05)

    def digest(self, out: str) -> str:
        """Of the table: every row, its values to the last digit, its order."""
        data = (self.folder / out).read_bytes()
        rows = data.count(b"\n")
        assert rows == self.clips, f"{out}: {rows} rows"
        return hashlib.sha256(data).hexdigest()[:16]


def rates(model: str) -> dict[str, Any]:
    """Processor seconds a video of 10 s (labels) and a second of video (events), of one core."""
    import numpy as np
    import torch

    from video_files import write_video
    from video_mobile_former import create_model

    with tempfile.TemporaryDirectory(prefix="vmf-batch-") as name:
        folder = Path(name)
        torch.manual_seed(0)
        coarse = 255 * torch.rand(1, 3, 64, 86)
        fine = torch.nn.functional.interpolate(coarse, size=(512, 680), mode="bicubic")[0]
        wide = fine.clamp(0, 255).byte().permute(1, 2, 0).numpy()

        def pictures(count: int) -> list[Any]:
            corners = [((2 * i) % 250, (3 * i) % 330) for i in range(count)]
            return [np.ascontiguousarray(wide[y : y + 256, x : x + 340]) for y, x in corners]

        first = write_video(folder / "a" / "0.mp4", pictures(300), fps=30, gop=60)
        for number in range(1, 20):
            os.link(first, folder / "a" / f"{number}.mp4")
        long = write_video(folder / "long.mp4", pictures(1200), fps=30, gop=60)
        create_model(model, num_classes=400).save_pretrained(folder / "model")
        found: dict[str, Any] = {"model": model, "bytes_of_10_s": first.stat().st_size}
        spent = {}
        for source, kind in (
            (first, "labels"),
            (folder / "a", "labels"),
            (first, "events"),
            (long, "events"),
        ):
            out = str(folder / f"{len(spent)}.jsonl")
            words = ["batch", str(folder / "model"), str(source), "--out", out, "--rows", kind]
            words += ["--device", "cpu", "--num_workers", "0"]
            with Measured() as took:
                command = [sys.executable, "-m", "video_mobile_former", *words]
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            spent[source, kind] = took.processor_seconds
        one, many, short, whole = spent.values()
    found["labels_seconds_a_video"] = round((many - one) / 19, 3)
    found["events_seconds_a_second"] = round((whole - short) / 30, 3)
    return found


def _resident() -> int:
    from video_mobile_former.profiling.memory import resident_bytes

    return resident_bytes() or 0


def driver(count: int) -> dict[str, Any]:
    """Memory and processor time of the driver for so many videos, without workers."""
    import numpy as np

    from video_mobile_former.inference.batch.journal import BatchJournal
    from video_mobile_former.inference.batch.rows import Row, encode_row, table_format
    from video_mobile_former.inference.batch.sources import batch_items

    names = [f"class {number}" for number in range(5)]
    label: Row = {"labels": names, "scores": [0.123456789] * 5, "classes": list(range(5))}
    features = np.random.default_rng(0).normal(size=1280).astype(np.float32)
    kinds: dict[str, Row] = {"labels": label, "embeddings": {"features": features}}
    more = {"duration_seconds": 10.0, "num_frames": 16, "padded": False}
    found: dict[str, Any] = {"videos": count}
    with tempfile.TemporaryDirectory(prefix="vmf-batch-") as name:
        folder = Path(name)
        listing = folder / "list.txt"
        listing.write_text("".join(f"file://bucket/videos/{n:09d}.mp4\n" for n in range(count)))
        before = _resident()
        items = batch_items([listing])
        found["list_bytes_a_video"] = round((_resident() - before) / count)
        for kind, row in kinds.items():
            some = items if kind == "labels" else items[: count // 10]
            rows = [encode_row(item, None, more | row) for item in some]
            before, begin = _resident(), time.process_time()
            with BatchJournal(folder / f"{kind}.jsonl", {}) as journal:
                for each in rows:
                    journal.add([each])
                kept = time.process_time() - begin
                memory = _resident() - before
                begin = time.process_time()
                for suffix in (".parquet", ".jsonl"):
                    table_format(suffix[1:] + suffix).write(
                        folder / f"table{suffix}", functools.partial(journal.rows, some), kind, {}
                    )
                    wrote = time.process_time() - begin
                    begin = time.process_time()
                    found[f"{kind}_microseconds_a_row{suffix}"] = round(1e6 * wrote / len(some), 1)
            found[f"{kind}_microseconds_to_keep_a_row"] = round(1e6 * kept / len(some), 1)
            found[f"{kind}_journal_bytes_a_row"] = round(
                (folder / f"{kind}.jsonl").stat().st_size / len(some)
            )
            found[f"{kind}_journal_memory_bytes_a_row"] = round(memory / len(some))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=2000)
    parser.add_argument("--model", default="vmf_500m")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--driver", type=int, metavar="VIDEOS")
    parser.add_argument("--rates", action="store_true")
    args = parser.parse_args()
    if args.driver is not None:
        print(json.dumps({"run": describe_run(), **driver(args.driver)}, indent=2))
        return
    if args.rates:
        print(json.dumps({"run": describe_run(), **rates(args.model)}, indent=2))
        return
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    with tempfile.TemporaryDirectory(prefix="vmf-batch-") as folder:
        bench = Bench(Path(folder), args.clips, args.model, args.workers)
        workers = ("--num_workers", str(args.workers))
        ray = ("--engine", "ray", *workers)
        found: dict[str, Any] = {}
        for name, run in (
            ("serial", lambda: bench.run("serial.jsonl", "--num_workers", "0")),
            ("plain processes", bench.plain),
            ("local", lambda: bench.run("local.jsonl", *workers)),
            ("ray", lambda: bench.run("ray.jsonl", *ray)),
            ("ray, killed", lambda: bench.interrupted("killed.jsonl", *ray)),
        ):
            found[name] = run()
            print(name, found[name], file=sys.stderr, flush=True)
    digests = {each["rows"] for each in found.values() if "rows" in each}
    report = {
        "run": describe_run(),
        "clips": args.clips,
        "model": args.model,
        "workers": args.workers,
        "rows_identical": len(digests) == 1,
        "runs": found,
    }
    print(json.dumps(report, indent=2))
    sys.exit(0 if len(digests) == 1 else 1)


if __name__ == "__main__":
    main()
