"""The picture of the page of ``vmf serve`` in the docs: a procedural video, recognised.

    vmf demo && python tools/page_picture.py demo/run/best --out docs/page.png

Needs playwright and Chromium (Debian: ``apt-get install chromium``).
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
from PIL import Image
from playwright.sync_api import sync_playwright

from video_mobile_former.demo import CLIPS
from video_mobile_former.files import atomic_path
from video_mobile_former.procedural.stream import ProceduralVideo

SECONDS, RATE, SIDE = 2.0, 25, 256
ORDER = ("move_left", "swing_vertical", "move_down", "swing_horizontal", "move_right", "move_up")
COLOURS = 200
MOST_BYTES = 200_000


def write_video(path: Path, seed: int) -> None:
    """Scenes one after another, each of one class."""
    spec = dataclasses.replace(CLIPS, num_frames=round(SECONDS * RATE), size=SIDE)
    source = ProceduralVideo(spec, seed=seed)
    batch = source.batch(0, len(source.class_names))
    of_class = {source.class_names[int(label)]: i for i, label in enumerate(batch.labels)}
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=RATE)
        stream.width = stream.height = SIDE
        stream.pix_fmt = "yuv420p"
        for name in ORDER:
            for picture in batch.clips[of_class[name]].permute(1, 2, 3, 0).numpy():
                frame = av.VideoFrame.from_ndarray(picture.copy(), format="rgb24")
                container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@contextmanager
def serve(model: str, folder: Path) -> Iterator[str]:
    """Address of a service with this model."""
    command = [sys.executable, "-m", "video_mobile_former", "serve", f"demo={model}", "--json"]
    command += ["--port", "0", "--folder", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())["url"]
        finally:
            process.terminate()


def take(url: str, video: Path, *, at: float, scheme: Any) -> bytes:
    """PNG of the page, with the video at a moment and where the model looks."""
    with sync_playwright() as parts:
        browser = parts.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1180, "height": 1000}, color_scheme=scheme)
        page.goto(url)
        page.wait_for_selector("#knows li")
        page.set_input_files("#file", str(video))
        page.wait_for_selector("#lines .row", timeout=120_000)
        page.check("#look")
        page.evaluate(
            "at => new Promise(done => { const v = document.getElementById('video'); v.pause();"
            " v.controls = false; v.onseeked = () => setTimeout(done, 300); v.currentTime = at; })",
            at,
        )
        bottom = page.evaluate(
            "document.getElementById('lines').getBoundingClientRect().bottom + scrollY + 20"
        )
        page.set_viewport_size({"width": 1180, "height": round(bottom)})
        page.wait_for_timeout(300)
        picture = page.screenshot()
        browser.close()
    return picture


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model", help="run folder of vmf demo, as demo/run/best")
    parser.add_argument("--out", type=Path, default=Path("docs/page.png"))
    parser.add_argument("--scheme", choices=("light", "dark"), default="light")
    parser.add_argument("--at", type=float, default=3.0, help="moment of the video in seconds")
    parser.add_argument("--seed", type=int, default=5, help="of the procedural scenes")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        video = Path(temporary) / "six scenes.mp4"
        write_video(video, args.seed)
        with serve(args.model, Path(temporary) / "uploads") as url:
            png = take(url, video, at=args.at, scheme=args.scheme)
    small = io.BytesIO()
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(small, "png", optimize=True)
    if small.tell() > MOST_BYTES:
        raise SystemExit(f"{small.tell()} bytes are more than {MOST_BYTES}: use fewer colours")
    with atomic_path(args.out) as path:
        path.write_bytes(small.getvalue())
    print(f"{args.out}: {picture.width} × {picture.height}, {small.tell()} bytes")


if __name__ == "__main__":
    main()
