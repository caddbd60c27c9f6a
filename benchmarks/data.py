"""How fast clips get from files to batches, as ratios taken in one run.

    python benchmarks/data.py                          # some minutes on two cores
    python benchmarks/data.py --only decode,index --sizes 340x256 --rounds 3

Sections:

decode   Processor time for a random clip of 16 frames at 224² from ten seconds of 30 fps H.264 with
         250 frames a group, as it is and after ``vmf data prepare``: bare loops of PyAV, torchcodec
         and decord2 that only decode the same frames, against the whole work of a loader's worker.
scaling  Clips per second of 1 and 2 workers by the clock, and of as many bare loops.
index    A list of 300,000 files, from the import of the package to a loader, in a fresh process.
memory   What a worker takes beyond an interpreter that imported torch.
device   What a training step takes, against what a worker gives.

Videos are generated and kept in ``--work``. Processor time hardly depends on what else the machine
does, the scaling by the clock does: read it from a quiet machine. Torchcodec needs a system FFmpeg;
what is not installed is skipped, with a note.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import raw_decoders
import torch
from data_decode import BATCH, Material, make_dataset, measure_decode, measure_scaling
from data_index import measure_device, measure_index, measure_memory
from moving_pictures import write_video
from timing import write_result

from video_mobile_former.data.prepare.settings import PrepareSettings
from video_mobile_former.data.prepare.transcode import transcode
from video_mobile_former.data.video.reader import VideoReader

SECTIONS = ("decode", "scaling", "index", "memory", "device")
MODES = ("uniform", "dense")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default=",".join(SECTIONS), help="sections, divided by commas")
    parser.add_argument("--sizes", nargs="+", default=["340x256", "640x360", "1280x720"])
    parser.add_argument("--videos", type=int, default=2, help="of each size")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--lines", type=int, default=300_000, help="of the list")
    parser.add_argument("--gop", type=int, default=PrepareSettings.gop, help="of prepared clips")
    parser.add_argument("--work", type=Path, help="folder for videos and the list")
    args = parser.parse_args()
    only = [name.strip() for name in args.only.split(",")]
    if unknown := set(only) - set(SECTIONS):
        parser.error(f"no section {sorted(unknown)[0]!r}; there are {', '.join(SECTIONS)}")
    torch.set_num_threads(1)
    # Where the videos lie does not belong into the stored command.
    given = [i for i, word in enumerate(sys.argv) if word.startswith("--work")]
    for i in reversed(given):
        del sys.argv[i : i + (1 if "=" in sys.argv[i] else 2)]
    work = args.work or Path(tempfile.gettempdir()) / "vmf-benchmark-data"
    work.mkdir(parents=True, exist_ok=True)
    for name in raw_decoders.COMPARED:
        if name not in raw_decoders.available():
            print(f"{name} is not installed or does not load: skipped", file=sys.stderr)
    rows: list[dict[str, Any]] = []
    material = []
    if only != ["index"]:
        material = [m for size in args.sizes for m in _material(work, size, args)]
    if "decode" in only:
        rows += _decode(material, args.rounds)
    if "scaling" in only:
        rows += _scaling(material[:2], args.rounds)
    if "index" in only:
        rows.append(measure_index(work, args.lines, 3))
        _print_index(rows[-1])
    if "memory" in only:
        for batch_size in (4, 16):
            found = material[min(1, len(material) - 1)]
            dataset = make_dataset(found.paths, "uniform", repeat=16 * batch_size)
            rows.append(measure_memory(dataset, batch_size))
            _print_memory(rows[-1])
    if "device" in only:
        rates = {
            f"{r['material']}, {r['sampling']}": round(1e3 / r["ms"]["loader"], 1)
            for r in rows
            if r["section"] == "decode"
        }
        rows.append(measure_device(rates, 3))
        _print_device(rows[-1])
    versions = {
        name: importlib.metadata.version(name)
        for name in ("av", "torchcodec", "decord2", "numpy")
        if _installed(name)
    }
    write_result(
        "data", rows, versions=versions, cores=os.cpu_count(), load=os.getloadavg(), gop=args.gop
    )


def _material(work: Path, size: str, args: argparse.Namespace) -> list[Material]:
    width, height = (int(side) for side in size.split("x"))
    plain, short = [], []
    for seed in range(args.videos):
        path = work / f"{size}-{seed}.mp4"
        ready = work / f"{size}-{seed}-gop{args.gop}.mp4"
        for target in (path, ready):
            if target.exists():
                continue
            print(f"making {target.name}", file=sys.stderr)
            partial = target.with_name(f"partial-{target.name}")
            if target is path:
                write_video(partial, width, height, seed)
            else:
                transcode(
                    lambda path=path: VideoReader(path), partial, PrepareSettings(gop=args.gop)
                )
            partial.rename(target)
        plain.append(path)
        short.append(ready)
    return [Material(size, False, tuple(plain)), Material(size, True, tuple(short))]


def _decode(material: list[Material], rounds: int) -> list[dict[str, Any]]:
    print("Milliseconds of processor time a clip of 16×224², medians; loader / best raw loop:")
    print(
        f"{'video':15}{'frames':8}{'pyav':>7}{'codec':>7}{'decord':>7}"
        f"{'decode':>8}{'transf.':>8}{'loader':>8}{'ratio':>7}"
    )
    rows, plain = [], {}
    for mode in MODES:
        for item in material:
            row = measure_decode(item, mode, rounds)
            ms = row["ms"]
            raw = "".join(f"{ms.get(name, float('nan')):7.1f}" for name in raw_decoders.COMPARED)
            print(
                f"{item.name:15}{mode:8}{raw}{ms['decode']:8.1f}{ms['transform']:8.1f}"
                f"{ms['loader']:8.1f}{row['loader_to_raw']:7.2f}",
                flush=True,
            )
            if item.prepared:
                row["prepared_to_plain"] = round(plain[item.size, mode] / ms["loader"], 2)
                print(
                    f"{'':15}{row['prepared_to_plain']:.1f} times the rate before; transform / "
                    f"decode {row['transform_to_decode']:.2f}"
                )
            else:
                plain[item.size, mode] = ms["loader"]
            rows.append(row)
    return rows


def _scaling(material: list[Material], rounds: int) -> list[dict[str, Any]]:
    print(f"\nClips per second by the clock, 1 and 2 processes, batches of {BATCH}:")
    print(
        f"{'video':15}{'frames':8}{'loader':>14}{'raw loop':>14}{'speed-up':>10}{'loader/raw':>14}"
    )
    rows = []
    for item in material:
        for mode in MODES:
            row = measure_scaling(item, mode, rounds)
            rate = {name: value["clips_per_second"] for name, value in row["rates"].items()}
            print(
                f"{item.name:15}{mode:8}"
                f"{rate['loader 1']:7.1f}{rate['loader 2']:7.1f}"
                f"{rate['raw 1']:7.1f}{rate['raw 2']:7.1f}{row['speedup']:10.2f}"
                f"{row['loader_to_raw']['1']:7.2f}{row['loader_to_raw']['2']:7.2f}",
                flush=True,
            )
            rows.append(row)
    return rows


def _print_index(row: dict[str, Any]) -> None:
    print(
        f"\nIndex of {row['lines']:,} lines: {row['processor_seconds']:.2f} s of processor time "
        f"({row['seconds']:.2f} s by the clock),\n"
        f"  of it {row['of_it_importing']:.2f} s importing; "
        f"memory +{row['peak_mb']:.0f} MB at its peak, +{row['resident_mb']:.0f} MB after"
    )


def _print_memory(row: dict[str, Any]) -> None:
    print(
        f"Worker, batches of {row['batch_size']}: {row['private_mb']:+.0f} MB private against an "
        f"interpreter with torch ({row['interpreter_private_mb']:.0f} MB),\n"
        f"  besides {row['batches_mb']:.0f} MB of batches under way"
    )


def _print_device(row: dict[str, Any]) -> None:
    print(
        f"A training step of {row['model']} ({row['device']}) takes "
        f"{row['step_clips_per_second']:.1f} clips per second; a worker gives"
    )
    for name, rate in row["loader_clips_per_second_per_worker"].items():
        print(f"  {rate:6.1f}  {name}")


def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


if __name__ == "__main__":
    main()
