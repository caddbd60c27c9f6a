"""What the reader makes of every file of some folders, one process a file.

    python benchmarks/odd_files.py ../shared/data/odd ../shared/data/hostile

prints a row a file: frames and times, or why it is refused, and the time that took. Another version
of the package is tried by PYTHONPATH; ``--before`` puts its rows beside.

    python benchmarks/odd_files.py FOLDER --before /path/to/older/src
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

NOT_VIDEOS = frozenset({".md", ".py", ".csv", ".txt", ".json", ".jpg"})
LIMIT_SECONDS = 60
ONE_FILE = """
import json, resource, sys, time
try:
    from video_mobile_former.data.video.reader import VideoReader
except ImportError:  # before the redesign
    from video_mobile_former.data.decode import VideoReader
from video_mobile_former.data.limits import Limits, limited
from video_mobile_former.errors import VideoError
start, found = time.process_time(), {}
try:
    with limited(sys.argv[1], Limits()), VideoReader(sys.argv[1]) as reader:
        times = reader.timestamps()
        first = reader.frames(times[:1])
        count = min(len(times), 300)
        frames = reader.frames(times[:count], 32)
        found = {
            "frames": len(times),
            "last": round(float(times[-1]), 3),
            "size": f"{first.shape[3]}x{first.shape[2]}",
            "ids": ids(frames) if count == len(times) else [],
        }
except VideoError as error:
    found = {"error": error.reason}
found["seconds"] = round(time.process_time() - start, 2)
print(json.dumps(found))
"""
IDS = """
def ids(frames):
    # The number in twelve upright bars that the odd files carry.
    found = []
    for picture in frames.permute(0, 2, 3, 1).numpy():
        height, width = picture.shape[:2]
        lines = picture[height // 3 : 2 * height // 3].mean((0, 2))
        bars = [int(lines[int((bit + 1.5) * width / 14)] > 128) << bit for bit in range(12)]
        found.append(sum(bars))
    return found
"""


def look(path: Path, source: Path | None) -> dict[str, Any]:
    """Read a file with the package of ``source``, None being the one in use."""
    environment = {**os.environ, **({"PYTHONPATH": str(source)} if source else {})}
    try:
        done = subprocess.run(
            [sys.executable, "-c", IDS + ONE_FILE, str(path)],
            capture_output=True,
            text=True,
            env=environment,
            timeout=LIMIT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"error": f"HANGS: more than {LIMIT_SECONDS} s"}
    try:
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        last = done.stderr.strip().splitlines()[-1:] or [""]
        return {"error": f"CRASHES: status {done.returncode}, {last[0][:80]}"}
    return found


def described(found: dict[str, Any]) -> str:
    """One cell of the table."""
    if "error" in found:
        return f"refused: {found['error']}"
    ids = found["ids"]
    order = ""
    if ids and max(ids) < 200:  # pictures that carry no number give large ones
        order = ", in order" if ids == sorted(ids) else ", NOT in order"
        order += f", {len(set(ids))} different"
    return f"{found['frames']} frames {found['size']}, last at {found['last']} s{order}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--before", type=Path, help="src of another version, for a second column")
    args = parser.parse_args()
    files = [
        path
        for folder in args.folders
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix not in NOT_VIDEOS
    ]
    print("| file | before | now | s |" if args.before else "| file | found | s |")
    print("|---|---|---|---|" if args.before else "|---|---|---|")
    for path in files:
        now = look(path, None)
        before = f" {described(look(path, args.before))} |" if args.before else ""
        print(f"| {path.name} |{before} {described(now)} | {now.get('seconds', '')} |", flush=True)


if __name__ == "__main__":
    main()
