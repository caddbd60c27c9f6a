"""The service under load: callers of all kinds for a minute, beside `vmf predict` in a loop.

Most callers send videos of mixed sizes as quickly as they are answered; some send slowly, some hang
up early, and after a third of the time a process that reads videos is killed. Every request must be
answered, memory must stay flat and no file may be left.

    python benchmarks/serve_load.py MODEL --videos FOLDER [--callers 50] [--seconds 60]
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "helpers"))

from running_service import RunningService, running_service


class Load:
    """Callers of one service, and what they were answered."""

    def __init__(self, service: RunningService, videos: list[Path], query: str):
        self.service, self.query = service, query
        self.bodies = [(path.name, path.read_bytes()) for path in videos]
        self.answers: collections.Counter[str] = collections.Counter()
        self.seconds: list[float] = []
        self.memory: list[tuple[float, float, int]] = []
        self.lost: list[str] = []
        self.killed: float | None = None
        self._lock = threading.Lock()
        self._end = 0.0

    def run(self, callers: int, seconds: float) -> float:
        """Callers for so long; how long it took until the last answer."""
        begun = time.monotonic()
        self._end = begun + seconds
        kinds = [self._slow] * 3 + [self._early] * 3
        kinds += [self._usual] * max(0, callers - len(kinds))
        threads = [threading.Thread(target=kind, args=(i,)) for i, kind in enumerate(kinds)]
        threads.append(threading.Thread(target=self._watch, args=(begun,)))
        threads.append(threading.Thread(target=self._kill, args=(begun + seconds / 3,)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.monotonic() - begun

    def _usual(self, number: int) -> None:
        chance = random.Random(number)
        with self.service.client() as client:
            while time.monotonic() < self._end:
                name, content = chance.choice(self.bodies)
                begun = time.monotonic()
                try:
                    answer = client.post(
                        f"/v1/predict{self.query}", files={"file": (name, content)}, timeout=120
                    )
                except httpx.HTTPError as error:
                    self.lost.append(repr(error))
                    continue
                taken = time.monotonic() - begun
                with self._lock:
                    self.answers[f"usual {answer.status_code}"] += 1
                    if answer.status_code == 200:
                        self.seconds.append(taken)
                if answer.status_code in (429, 503):
                    time.sleep(float(answer.headers["Retry-After"]))

    def _slow(self, number: int) -> None:
        """Sends a video in small parts over seconds; the last one of them stops half-way."""
        gives_up = number == 2
        while time.monotonic() < self._end:
            name, content = self.bodies[number % len(self.bodies)]
            built = httpx.Request("POST", self.service.url, files={"file": (name, content)})
            kind, body = built.headers["content-type"], built.read()
            with socket.create_connection(("127.0.0.1", self.service.port), timeout=60) as sock:
                head = f"POST /v1/predict{self.query} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                head += f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
                sock.sendall(f"{head}Connection: close\r\n\r\n".encode())
                step = -(-len(body) // 20)
                parts = [body[i : i + step] for i in range(0, len(body), step)]
                for part in parts[: 10 if gives_up else None]:
                    sock.sendall(part)
                    time.sleep(0.2)
                first = sock.recv(100).split(b"\r\n")[0].decode()
            with self._lock:
                self.answers[f"slow {first.split(' ')[1] if first else 'none'}"] += 1

    def _early(self, number: int) -> None:
        """Hangs up before the answer."""
        chance = random.Random(number)
        while time.monotonic() < self._end:
            name, content = chance.choice(self.bodies)
            given_up = contextlib.suppress(httpx.TimeoutException)
            with self.service.client() as client, given_up:
                client.post(
                    f"/v1/predict{self.query}",
                    files={"file": (name, content)},
                    timeout=chance.uniform(0.01, 0.2),
                )
            with self._lock:
                self.answers["hung up"] += 1
            time.sleep(0.05)

    def _watch(self, begun: float) -> None:
        while time.monotonic() < self._end:
            self.memory.append(
                (
                    time.monotonic() - begun,
                    _resident_mb(self.service.process.pid),
                    len(self.service.uploads()),
                )
            )
            time.sleep(1)

    def _kill(self, when: float) -> None:
        time.sleep(max(0.0, when - time.monotonic()))
        for number in self.service.workers()[:1]:
            os.kill(number, signal.SIGKILL)
            self.killed = time.monotonic()


def _resident_mb(number: int) -> float:
    pages = int(Path(f"/proc/{number}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _quantile(values: list[float], share: float) -> float:
    return float(np.quantile(values, share)) if values else float("nan")


def loop(model: str, videos: list[Path], seconds: float) -> tuple[int, list[float]]:
    """`vmf predict` once for each video, one after another; how many, and the seconds of each."""
    end, taken = time.monotonic() + seconds, []
    while time.monotonic() < end:
        path = videos[len(taken) % len(videos)]
        begun = time.monotonic()
        subprocess.run(
            [sys.executable, "-m", "video_mobile_former", "predict", model, str(path), "--json"],
            check=True,
            capture_output=True,
        )
        taken.append(time.monotonic() - begun)
    return len(taken), taken


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--videos", required=True)
    parser.add_argument("--callers", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--loop_seconds", type=float, default=30)
    parser.add_argument("--json")
    args = parser.parse_args()
    videos = sorted(p for p in Path(args.videos).rglob("*") if p.suffix in (".mp4", ".avi", ".mkv"))
    videos = random.Random(0).sample(videos, min(40, len(videos)))
    sizes = [path.stat().st_size / 1e3 for path in videos]
    with tempfile.TemporaryDirectory() as folder:
        words = ["--per_caller", "1000", "--waiting", "128", "--idle_seconds", "5"]
        with running_service(Path(folder), args.model, *words) as service:
            load = Load(service, videos, "")
            for _ in range(3):
                with service.client() as client:
                    name, content = load.bodies[0]
                    client.post("/v1/predict", files={"file": (name, content)})
            processor = _cpu_seconds(service)
            wall = load.run(args.callers, args.seconds)
            processor = _cpu_seconds(service) - processor
            time.sleep(1)
            left = len(service.uploads())
            with service.client() as client:
                figures = {
                    line.split()[0]: float(line.split()[1])
                    for line in client.get("/metrics").text.splitlines()
                    if not line.startswith("#")
                }
            status = service.stop()
            files = list(Path(folder).rglob("*"))
            files = [path for path in files if path.name not in (".lock", "vmf-uploads-lock")]
    before = os.times()
    count, taken = loop(args.model, videos, args.loop_seconds)
    after = os.times()
    alone = after.children_user + after.children_system
    alone -= before.children_user + before.children_system
    half = len(load.memory) // 2
    found = {
        "callers": args.callers,
        "seconds": round(wall, 1),
        "videos": len(videos),
        "kilobytes": [round(min(sizes)), round(max(sizes))],
        "answers": dict(load.answers),
        "lost": load.lost,
        "answered_per_second": round(len(load.seconds) / wall, 2),
        "p50_seconds": round(_quantile(load.seconds, 0.5), 3),
        "p99_seconds": round(_quantile(load.seconds, 0.99), 3),
        "processor_seconds": round(processor, 1),
        "clips_a_pass": round(
            figures["vmf_batch_clips_sum"] / max(1.0, figures["vmf_batch_clips_count"]), 2
        ),
        "worker_deaths": figures["vmf_worker_deaths_total"],
        "killed_a_worker": load.killed is not None,
        "memory_mb": {
            "first_half": round(max(m for _, m, _ in load.memory[: half or 1]), 1),
            "second_half": round(max(m for _, m, _ in load.memory[half:]), 1),
        },
        "uploads_at_once": max(files_now for _, _, files_now in load.memory),
        "uploads_left": left,
        "files_left_after_the_end": [str(path) for path in files],
        "exit_status": status,
        "loop_per_second": round(count / sum(taken), 3),
        "loop_processor_seconds_each": round(alone / count, 2),
        "loop_p50_seconds": round(_quantile(taken, 0.5), 2),
    }
    print(json.dumps(found, indent=2))
    if args.json:
        Path(args.json).write_text(json.dumps(found, indent=2) + "\n")
    ok = not load.lost and not left and not files and status == 0
    return 0 if ok else 1


def _cpu_seconds(service: RunningService) -> float:
    """Of the service and the processes that read for it now."""
    ticks = 0
    for number in (service.process.pid, *service.workers()):
        fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(main())
