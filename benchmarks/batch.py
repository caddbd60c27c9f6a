"""A batch run in one process, in plain processes, in ours and on Ray, where an actor and the driver
are killed; the rows must be the same.

    python benchmarks/batch.py --clips 2000 --model vmf_500m

Writes procedural clips of 64², one second each, and a checkpoint at 8 × 64² with fresh weights, and
runs ``vmf batch`` over them. Time is processor time of everything that a run starts, actors and
Ray's own processes included, and wall time; the start (imports, model, cluster) is told apart by
when the first row is on disk. Prints JSON.
"""

from __future__ import annotations

import argparse
import ctypes
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=2000)
    parser.add_argument("--model", default="vmf_500m")
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
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
