"""Read labels that are written down in a way of your own.

    python examples/own_data_format.py recordings/

A format is a function that yields a `Clip` for each labelled video, and an entry in `FORMATS`.
Index, splits, check, prepare, shards, training and evaluation then take `--format sheets`. Here
every day has a sheet `*.txt` with lines such as `00:12-00:15 jump cam1.mp4`: the part of a
recording in which something happens, what, and where it is.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from video_mobile_former import load_index
from video_mobile_former.data.index.clip import Clip
from video_mobile_former.data.index.formats import FORMATS
from video_mobile_former.data.index.index import ClipIndex
from video_mobile_former.data.index.source import DataSource, Faults, Format


def sheet_rows(source: DataSource, faults: Faults) -> Iterator[Clip[str]]:
    """Yield the clips of all sheets; a wrong line is reported with its place."""
    for sheet in sorted(source.folder.glob("*.txt")):
        for number, line in enumerate(sheet.read_text(encoding="utf-8").splitlines(), 1):
            try:
                part, label, name = line.split()
                start, end = map(seconds, part.split("-"))
            except ValueError:
                expected = "expected a line such as '00:12-00:15 jump cam1.mp4'"
                faults.add("malformed", f"{sheet}:{number}", f"{expected}, not {line!r}")
                continue
            yield Clip(
                path=str(source.folder.absolute() / name),
                name=name,
                labels=(label,),
                start_seconds=start,
                end_seconds=end,
                group=sheet.stem,  # clips of one day never end up on both sides of a split
                listing=str(sheet),
                line=number,
            )


def seconds(text: str) -> float:
    """Seconds of a time such as ``01:30``."""
    minutes, rest = text.split(":")
    return 60 * int(minutes) + float(rest)


def main(folder: str) -> ClipIndex:
    """Register the format, and list what it finds."""
    FORMATS["sheets"] = Format(sheet_rows, "sheets of 'mm:ss-mm:ss label file' lines")
    index = load_index(DataSource(folder, format="sheets"))
    for name, count in zip(index.class_names, index.counts(), strict=True):
        print(f"{count:6d}  {name}")
    return index


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit((__doc__ or "").strip())
    main(sys.argv[1])
