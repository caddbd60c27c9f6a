"""Live sources: lag and frames passed over by number of cameras; memory over a long watch.

    python benchmarks/live_sources.py cameras runs/x/best --seconds 30
    python benchmarks/live_sources.py soak runs/x/best --seconds 3600

Cameras are an RTSP server on loopback (GStreamer, of the system's Python), whose pictures of
640×360 at 15 a second are encoded once for all. ``cameras`` watches 1, 4 and 8 of them in one
process, and in one process each. ``soak`` watches two while one is frozen and killed now and then,
and exits with status 1 where memory has grown by more than 5 % or lag was longer than one window.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "tests" / "helpers"))

from timing import write_result

from live_parts import RtspServer, run_vmf

GROWTH = 0.05
"""Of memory, at most."""
WINDOW_SECONDS = 2.0
"""Of the long watch."""


def start(model: str, sources: list[str], seconds: float, threads: int, *more: str) -> Any:
    words = run_vmf("watch", model, *sources, "--json", "--duration", f"{seconds:g}", *more)
    return subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        text=True,
        stderr=subprocess.PIPE,
        env=os.environ | {"OMP_NUM_THREADS": str(threads)},
    )


def finish(process: Any) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Summaries of its sources, and what the process took."""
    out = process.stdout.read()
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"vmf watch ended with {status}: {said}")
    records = [json.loads(line) for line in out.splitlines()]
    taken = {"cpu_seconds": usage.ru_utime + usage.ru_stime, "memory_mib": usage.ru_maxrss / 1024}
    return [record for record in records if record["type"] == "summary"], taken


def cameras(model: str, counts: list[int], seconds: float, stride: float) -> list[dict[str, Any]]:
    rows = []
    with RtspServer((640, 360), rate=15) as server:
        for count in counts:
            for together in (True, False):
                if count == 1 and not together:
                    continue
                names = [f"camera{i}={server.url()}" for i in range(count)]
                groups = [names] if together else [[name] for name in names]
                threads = 2 if together else 1
                more = ("--stride_seconds", f"{stride:g}", "--open_seconds", "60")
                running = [start(model, group, seconds, threads, *more) for group in groups]
                done = [finish(process) for process in running]
                found = [summary for summaries, _ in done for summary in summaries]
                rows.append(
                    {
                        "cameras": count,
                        "processes": len(groups),
                        "threads_each": threads,
                        "windows_per_second": sum(s["windows"] for s in found) / seconds,
                        "median_lag_seconds": statistics.median(s["lag_seconds"] for s in found),
                        "worst_lag_seconds": max(s["worst_lag_seconds"] for s in found),
                        "frames_passed_over": sum(s["passed_over"] for s in found),
                        "cpu_seconds": sum(taken["cpu_seconds"] for _, taken in done),
                        "memory_mib": sum(taken["memory_mib"] for _, taken in done),
                    }
                )
                print(json.dumps(rows[-1]), file=sys.stderr)
    return rows


def resident(pid: int) -> float:
    """MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def soak(model: str, seconds: float, *, trouble_seconds: float = 60.0) -> dict[str, Any]:
    """Watch a calm camera and one in trouble.

    Args:
        model: Checkpoint.
        seconds: How long.
        trouble_seconds: Time from one outage to the next.

    Returns:
        Memory in MiB by seconds, its growth from the first to the last fifth of what follows the
        first tenth, worst lag of the calm camera, and what the events were.
    """
    with RtspServer((320, 240), rate=15) as calm, RtspServer((320, 240), rate=15) as troubled:
        sources = [f"calm={calm.url()}", f"troubled={troubled.url()}"]
        more = (
            "--window_seconds",
            f"{WINDOW_SECONDS:g}",
            "--read_seconds",
            "3",
            "--open_seconds",
            "30",
        )
        process = start(model, sources, seconds, 1, *more)
        records: list[dict[str, Any]] = []
        heard = threading.Thread(
            target=lambda: records.extend(json.loads(line) for line in process.stdout), daemon=True
        )
        heard.start()
        while process.poll() is None and not records:
            time.sleep(0.2)
        begin, memory, next_trouble, number = time.monotonic(), [], trouble_seconds / 2, 0
        while process.poll() is None:
            now = time.monotonic() - begin
            memory.append((round(now, 1), resident(process.pid)))
            if next_trouble <= now < seconds - 20:
                number, next_trouble = number + 1, next_trouble + trouble_seconds
                if number % 2:
                    troubled.freeze()
                    time.sleep(6)
                    troubled.thaw()
                else:
                    troubled.kill()
                    troubled.show((640, 360) if number % 4 else (320, 240), 15)
                    troubled.start()
            time.sleep(min(2.0, seconds / 60))
        heard.join(10)
        said = process.stderr.read()
        process.stdout.close()
        process.stderr.close()
        if process.returncode:
            raise SystemExit(f"vmf watch ended with {process.returncode}: {said}")
    settled = [value for at, value in memory if at >= seconds / 10 and value]
    fifth = max(1, len(settled) // 5)
    first, last = statistics.median(settled[:fifth]), statistics.median(settled[-fifth:])
    of = {
        name: next(r for r in records if r.get("source") == name and r["type"] == "summary")
        for name in ("calm", "troubled")
    }
    starts = sum(r["type"] == "start" for r in records)
    ends = sum(r["type"] == "end" for r in records)
    return {
        "seconds": seconds,
        "memory_mib": memory,
        "memory_growth": last / first - 1,
        "calm": of["calm"],
        "troubled": of["troubled"],
        "events_started": starts,
        "events_ended": ends,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("cameras", "soak"))
    parser.add_argument("model")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--stride_seconds", type=float, default=1.0)
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 4, 8])
    args = parser.parse_args()
    if args.what == "cameras":
        rows = cameras(args.model, args.counts, args.seconds, args.stride)
        write_result("live_sources", rows, about="cameras", stride_seconds=args.stride)
        return 0
    found = soak(args.model, args.seconds)
    write_result("live_sources", [found], about="soak")
    print(json.dumps({k: v for k, v in found.items() if k != "memory_mib"}, indent=2))
    late = found["calm"]["worst_lag_seconds"] > WINDOW_SECONDS
    return int(late or found["memory_growth"] > GROWTH)


if __name__ == "__main__":
    sys.exit(main())
