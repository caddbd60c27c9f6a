"""A copy of a data set with ten kinds of damage, and what a check should say of each."""

from __future__ import annotations

import csv
import os
import shutil
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

NOT_UTF8 = os.fsdecode(b"d\xe9j\xe0.mp4")


@dataclass
class Row:
    path: str
    label: str
    split: str
    group: str = ""


@dataclass
class Damaged:
    """Where the copy is, and the name for which each kind of problem should be found."""

    listing: Path
    expected: dict[str, str]
    """Name of the clip (or class) by kind of problem."""
    untouched: set[str]
    """Names of the clips that nothing was done to."""


def damaged_copy(source: Path, target: Path) -> Damaged:
    """Copy the clips of a CSV beside it and spoil ten of them, each in its own way."""
    with source.open(newline="", encoding="utf-8") as file:
        rows = [
            Row(r["path"], r["label"], r["split"], r.get("group", "")) for r in csv.DictReader(file)
        ]
    for row in rows:
        (target / row.path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source.parent / row.path, target / row.path)
    victims = _victims(rows)
    expected: dict[str, str] = {}

    row = next(victims)
    data = (target / row.path).read_bytes()
    (target / row.path).write_bytes(data[: len(data) * 6 // 10])
    expected["truncated"] = row.path

    row = next(victims)
    (target / row.path).write_bytes(b"")
    expected["empty file"] = row.path

    row = next(victims)
    (target / row.path).write_text("no video, whatever its name says\n")
    expected["not a video"] = row.path

    row = next(victims)
    write_sound(target / row.path)
    expected["no video stream"] = row.path

    row = next(victims)
    (target / row.path).unlink()
    expected["missing"] = row.path

    row = next(victims)
    copy = Row(f"{row.label}/renamed copy.mp4", row.label, "test", "of its own")
    shutil.copyfile(target / row.path, target / copy.path)
    rows.append(copy)
    expected["leak"] = row.path

    row = next(victims)
    typo = f"{row.label[:-1]}{row.label[-1]}x"
    row.label = typo
    expected["likely label typo"] = typo

    row = next(victims)
    (target / row.path).chmod(0)
    expected["no permission"] = row.path

    row = next(victims)
    write_still(target / row.path)
    expected["zero duration"] = row.path

    row = next(victims)
    renamed = str(Path(row.path).parent / NOT_UTF8)
    (target / row.path).rename(target / renamed)
    row.path = renamed
    expected["name"] = renamed

    listing = target / "clips.csv"
    lines = ["path,label,split,group", *(f"{r.path},{r.label},{r.split},{r.group}" for r in rows)]
    listing.write_bytes(os.fsencode("\n".join(lines) + "\n"))
    touched = {*expected.values(), copy.path}
    return Damaged(
        listing,
        expected,
        untouched={r.path for r in rows if r.path not in touched and r.label != typo},
    )


def _victims(rows: list[Row]) -> Iterator[Row]:
    """Clips of train in turn from each class, so that no class suffers much."""
    of_class: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.split == "train":
            of_class[row.label].append(row)
    while any(of_class.values()):
        for members in list(of_class.values()):
            if members:
                yield members.pop()


def write_sound(path: Path) -> None:
    """A tenth of a second of sound in a file of any video format."""
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=16000)
        samples = np.zeros((1, 1600), dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def write_still(path: Path) -> None:
    """A video of a single frame."""
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        picture = np.arange(64 * 48 * 3, dtype=np.uint8).reshape(48, 64, 3)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
