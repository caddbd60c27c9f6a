"""Evidence that a run survives: killed and resumed, in two processes, and with one of them dead,
with a data worker killed, and what a loss that is not finite says.

    python benchmarks/interruptions.py

Trains on 24 procedural clips for 12 steps and writes what was done, what was said and every loss
into ``benchmarks/results/interruptions-DATE.txt``. Tests check the same (``tests/training``).
"""

from __future__ import annotations

import csv
import datetime
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from timing import RESULTS, describe_run

from video_mobile_former.procedural import ProceduralSpec, write_procedural

SCRIPT = Path(__file__).parents[1] / "tests" / "helpers" / "fit_once.py"
CLASSES = (
    "move_left",
    "move_right",
    "move_up",
    "move_down",
    "speed_up",
    "slow_down",
    "grow",
    "shrink",
)
RECIPE = """\
clip: {num_frames: 4, crop_size: 32}
augment: {horizontal_flip: false, mixup_alpha: 0.8}
data: {num_workers: 0}
optim: {warmup_epochs: 1.0, lr: 1e-4}
model: {drop_path_rate: 0.1}
train: {epochs: 4, device: cpu, log_every_n_steps: 1, checkpoint_every_n_steps: 1}
"""
PLAIN = ("--augment.mixup_alpha", "0", "--model.drop_path_rate", "0")
"""Mixes and dropped blocks are sampled anew in each process, so that two have others than one."""


class Log:
    """Lines for the screen and the file, the folder of the clips left out."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        text = text.replace(f"{self.folder}/", "")
        self.lines.append(text)
        print(text, flush=True)


def start(folder: Path, out: str, *words: str) -> subprocess.Popen[str]:
    first = [word for word in words if word in ("--frozen-norms", "--nan-in-second")]
    rest = [word for word in words if word not in first]
    data = ["--data", str(folder / "clips" / "clips.csv"), "--out", str(folder / out)]
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), *first, str(folder / "recipe.yaml"), *data, *rest],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def losses(folder: Path, out: str) -> list[str]:
    """Every loss of a run: of its steps, its epochs and its validations."""
    path = folder / out / "metrics.csv"
    if not path.exists():
        return []
    with path.open(newline="") as stream:
        return [f"{row['row']} {row['step']}: {row['loss']}" for row in csv.DictReader(stream)]


def wait_for(folder: Path, out: str, rows: int, process: subprocess.Popen[str]) -> None:
    while len(losses(folder, out)) < rows and process.poll() is None:
        time.sleep(0.02)


def children(parent: int) -> list[int]:
    tasks = Path(f"/proc/{parent}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def second_process(parent: int) -> int:
    return next(
        child
        for child in children(parent)
        if b"fit_once" in Path(f"/proc/{child}/cmdline").read_bytes()
    )


def data_worker(parent: int) -> int:
    """A child of the server that makes them by forking."""
    return next(worker for server in children(parent) for worker in children(server))


def finish(log: Log, process: subprocess.Popen[str], *, quiet: bool = False) -> None:
    said = process.communicate()[1]
    # Lightning warns of the norms that are kept still on purpose.
    shown = [line for line in said.splitlines() if "site-packages" not in line]
    for line in [] if quiet else shown:
        log.say(f"    {line}")
    log.say(f"  ended with status {process.returncode}")


def compare(log: Log, one: str, other: str, tolerance: float = 0.0) -> None:
    a, b = losses(log.folder, one), losses(log.folder, other)
    for left, right in zip(a, b, strict=True):
        log.say(f"  {left:32}{right}")
    far = max(
        abs(float(x.split(": ")[1]) - float(y.split(": ")[1])) for x, y in zip(a, b, strict=True)
    )
    verdict = "the same" if far <= tolerance else "NOT THE SAME"
    log.say(f"  largest difference {far:.1e} (allowed: {tolerance:g}): {verdict}")


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log = Log(folder)
        counts = {"train": 3, "val": 1}
        spec = ProceduralSpec(families=("motion",), classes=CLASSES, num_frames=6, size=40)
        write_procedural(folder / "clips", spec, counts)
        (folder / "recipe.yaml").write_text(RECIPE)
        eight, four = ("--train.batch_size", "8"), ("--train.batch_size", "4")

        log.say("1. Killed with SIGKILL three times, the same command each time")
        finish(log, start(folder, "whole", *eight), quiet=True)
        for rows in (2, 7, 11):
            process = start(folder, "killed", *eight)
            wait_for(folder, "killed", rows, process)
            process.kill()
            log.say(f"  kill -9 after {len(losses(folder, 'killed'))} rows of the log")
            process.communicate()
        finish(log, start(folder, "killed", *eight))
        log.say("  unbroken                        killed three times")
        compare(log, "whole", "killed")

        log.say("\n2. Two processes (gloo) with half the batch, norms with running statistics")
        two = (*four, "--train.devices", "2")
        finish(log, start(folder, "one", "--frozen-norms", *eight, *PLAIN), quiet=True)
        finish(log, start(folder, "two", "--frozen-norms", *two, *PLAIN))
        log.say("  one process                     two processes")
        compare(log, "one", "two", 2e-5)

        log.say("\n3. The second of two processes killed, the same command again")
        finish(log, start(folder, "pair", *two), quiet=True)
        process = start(folder, "dead", *two)
        wait_for(folder, "dead", 3, process)
        os.kill(second_process(process.pid), signal.SIGKILL)
        log.say("  kill -9 of the second process; the first says")
        finish(log, process)
        finish(log, start(folder, "dead", *two))
        log.say("  unbroken                        one process killed")
        compare(log, "pair", "dead")

        log.say("\n4. The data worker killed: the run goes on by itself")
        worker = (*eight, "--data.num_workers", "1")
        process = start(folder, "worker", *worker)
        wait_for(folder, "worker", 2, process)
        os.kill(data_worker(process.pid), signal.SIGKILL)
        log.say("  kill -9 of the data worker")
        finish(log, process)
        log.say("  unbroken                        data worker killed")
        compare(log, "whole", "worker")

        log.say("\n5. A loss that is not a number in the second of two processes")
        finish(log, start(folder, "nan", "--nan-in-second", *two))
    path = RESULTS / f"interruptions-{datetime.date.today().isoformat()}.txt"
    about = ", ".join(f"{key} {value}" for key, value in describe_run().items())
    head = f"python benchmarks/interruptions.py\n{about}\n\n"
    path.write_text(head + "\n".join(log.lines) + "\n")


if __name__ == "__main__":
    main()
