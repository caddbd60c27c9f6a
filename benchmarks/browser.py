"""The browser beside ONNX Runtime and OpenVINO: milliseconds a clip and a streaming step.

    python benchmarks/browser.py --clip WEB_FOLDER clip.xml --stream WEB_FOLDER stream.xml

The folders are of ``vmf export --to web``, the other artefacts of ``--to openvino``, of the same
model. Chromium runs the module of the folder, ONNX Runtime the ``model.onnx`` inside. All run in
turn, round by round in one session, so that the load of a shared machine falls on all alike;
figures are medians of wall-clock times, and their lower quartiles.

The difference that resizing makes is measured too (``--videos``): probabilities of the page against
those of ``vmf predict``, by the page's own filter and by the canvas alone.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import json
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timing import describe_run

from video_mobile_former.export.loading import load_artefact
from video_mobile_former.export.stream import ExportedStream
from video_mobile_former.files import write_json
from video_mobile_former.inference import Predictor

ISOLATED = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}
START = """async (threads) => {
  const { load } = await import("./recognise.js");
  const model = window.model = await load({ threads, webgpu: false });
  const frames = model.isStreaming ? model.framesPerStep : model.clip.num_frames;
  window.pixels = new Uint8Array(frames * model.clip.crop_size ** 2 * 3).map((_, i) => i * 7919);
  window.opened = model.isStreaming ? model.open() : null;
  return model.backend;
}"""
RUN = """async () => (await (opened ? opened.step(pixels) : model.classify(pixels))).milliseconds"""
RESIZE = """async ([url, plain]) => {
  const { FrameReader } = await import("./frames.js");
  const own = window.ownRead ??= FrameReader.prototype.read;
  const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  FrameReader.prototype.read = !plain ? own : function (picture) {
    const scale = this.short / Math.min(picture.videoWidth, picture.videoHeight);
    const [w, h] = [picture.videoWidth * scale, picture.videoHeight * scale].map(Math.round);
    context.canvas.width = context.canvas.height = this.size;
    context.imageSmoothingQuality = plain;
    const [x, y] = [w, h].map((side) => -Math.round((side - this.size) / 2));
    context.drawImage(picture, x, y, w, h);
    const { data } = context.getImageData(0, 0, this.size, this.size);
    return data.filter((_, i) => i % 4 < 3);
  };
  const file = await (await fetch(url)).blob();
  return [...(await model.predict(file)).probabilities];
}"""


def main() -> int:
    args = parse()
    rows: list[dict[str, Any]] = []
    resizing: dict[str, Any] | None = None
    with chromium() as browser:
        for kind, places in (("clip", args.clip), ("stream", args.stream)):
            if places:
                other = Path(places[1]) if len(places) > 1 else None
                rows += timed(browser, kind, Path(places[0]), other, args.rounds)
        if args.videos and args.clip:
            resizing = compared(browser, Path(args.clip[0]), [Path(v) for v in args.videos])
    for row in rows:
        print(
            f"{row['kind']:7} {row['runtime']:13} {row['threads']} thread(s)  "
            f"median {row['median_ms']:8.1f} ms   lower quartile {row['quartile_ms']:8.1f} ms"
        )
    if resizing is not None:
        print(json.dumps(resizing, indent=2))
    if args.json:
        write_json(args.json, {"run": describe_run(), "rows": rows, "resizing": resizing})
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clip", nargs="+", metavar="ARTEFACT", help="of a clip model")
    parser.add_argument("--stream", nargs="+", metavar="ARTEFACT", help="of a streaming model")
    parser.add_argument("--videos", nargs="+", metavar="FILE", help="for the effect of resizing")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures")
    return parser.parse_args()


@contextmanager
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as parts:
        browser = parts.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


@contextmanager
def served(folder: Path) -> Iterator[str]:
    class Handler(http.server.SimpleHTTPRequestHandler):
        def end_headers(self) -> None:
            for name, value in ISOLATED.items():
                self.send_header(name, value)
            super().end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def timed(
    browser: Any, kind: str, folder: Path, xml: Path | None = None, rounds: int = 15
) -> list[dict[str, Any]]:
    """Rows of one kind: each runtime with one thread and with two."""
    runs: dict[tuple[str, int], Callable[[], float]] = {}
    with ExitStack() as stack:
        url = stack.enter_context(served(folder))
        for threads in (1, 2):
            page = blank(browser, url)
            backend = page.evaluate(START, threads)
            assert backend["threads"] == threads, backend
            runs["Chromium", threads] = functools.partial(page.evaluate, RUN)
            for name, place in (("ONNX Runtime", folder), ("OpenVINO", xml)):
                if place is not None:
                    runs[name, threads] = native(place, threads)
        found: dict[tuple[str, int], list[float]] = {key: [] for key in runs}
        for number in range(rounds + 1):
            for key, run in runs.items():
                milliseconds = run()
                if number:
                    found[key].append(milliseconds)
    return [
        {
            "kind": kind,
            "runtime": name,
            "threads": threads,
            "median_ms": statistics.median(times),
            "quartile_ms": float(np.quantile(times, 0.25)),
            "rounds": rounds,
        }
        for (name, threads), times in found.items()
    ]


def blank(browser: Any, url: str) -> Any:
    """A page of the site that loads no model by itself."""
    page = browser.new_page()
    page.set_default_timeout(180_000)
    answer = {"body": "<!doctype html>", "content_type": "text/html", "headers": ISOLATED}
    page.route("**/blank.html", lambda route: route.fulfill(**answer))
    page.goto(f"{url}blank.html")
    return page


def native(place: Path, threads: int) -> Callable[[], float]:
    """One clip or step of an artefact, as milliseconds."""
    model = load_artefact(place, threads)
    clip = model.clip
    count = model.frames_per_update if isinstance(model, ExportedStream) else clip.num_frames
    frames = torch.randn(1, 3, count, clip.crop_size, clip.crop_size)
    state = model.init_state(1, clip.crop_size) if isinstance(model, ExportedStream) else None

    def run() -> float:
        nonlocal state
        begin = time.perf_counter()
        if isinstance(model, ExportedStream):
            assert state is not None
            _, state = model.step(frames, state)
        else:
            model(frames)
        return 1000 * (time.perf_counter() - begin)

    return run


def compared(browser: Any, folder: Path, videos: Sequence[Path]) -> dict[str, Any]:
    """How far probabilities of the page are from those of ``vmf predict``, by way of resizing."""
    predictor = Predictor(load_artefact(folder))
    ways = {"own filter": None, "canvas high": "high", "canvas low": "low"}
    found: dict[str, Any] = {way: {"differences": [], "same_top1": 0} for way in ways}
    with served(folder) as url:
        page = blank(browser, url)
        page.evaluate(START, 2)
        page.route("**/a-video", lambda route: route.fulfill(path=str(current)))
        for current in videos:
            expected = predictor.predict(current, top_k=10**6)
            scores = dict(zip(expected.classes, expected.scores, strict=True))
            for way, plain in ways.items():
                given = page.evaluate(RESIZE, ["a-video", plain])
                off = max(abs(given[number] - score) for number, score in scores.items())
                found[way]["differences"].append(off)
                found[way]["same_top1"] += int(np.argmax(given)) == expected.classes[0]
    for way in found.values():
        differences = way.pop("differences")
        way |= {"videos": len(videos), "mean": float(np.mean(differences))}
        way |= {"largest": max(differences)}
    return found


if __name__ == "__main__":
    raise SystemExit(main())
