"""The ways in which data sets name their clips and labels, each a function that yields rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ....errors import DataError, known_names
from ..clip import Clip
from ..folders import folder_rows
from ..listing import list_rows
from ..source import DataSource, Faults, Format
from .activitynet import activitynet_rows
from .annotation_tools import cvat_rows, label_studio_rows, via_rows
from .ava import ava_rows
from .charades import charades_event_rows, charades_names, charades_rows
from .diving48 import diving48_names, diving48_rows
from .frames import frames_rows
from .guess import advise
from .intervals import interval_rows
from .kinetics import kinetics
from .plain import has_several_labels, plain_names, plain_rows
from .prepared import PREPARED, is_prepared, prepared_format
from .shards import SHARDS, is_shards, shards_format
from .twentybn import jester_names, jester_rows, something_names, something_rows
from .ucf_hmdb import hmdb51_names, hmdb51_rows, ucf101_names, ucf101_rows
from .unlabelled import unlabelled_rows

_PLAIN = Format(
    plain_rows,
    "lists of 'path label' lines, as SlowFast and mmaction2 use them",
    order=plain_names,
    may_be_multi_label=True,
    finds_several=has_several_labels,
)


def _intervals(
    rows: Callable[[DataSource, Faults], Iterator[Clip[str]]],
    summary: str,
    class_names: Callable[[DataSource], tuple[str, ...] | None] = lambda source: None,
) -> Format:
    return Format(rows, summary, class_names=class_names, multi_label=True, intervals=True)


FORMATS: dict[str, Format] = {
    "folder": Format(folder_rows, "a folder of class folders"),
    "list": Format(list_rows, "a CSV or TSV with the columns path,label", may_be_multi_label=True),
    "prepared": PREPARED,
    "shards": SHARDS,
    "unlabelled": Format(unlabelled_rows, "any folder of videos, for pre-training without labels"),
    "frames": Format(frames_rows, "a folder of class folders of frame folders"),
    "slowfast": _PLAIN,
    "mmaction": _PLAIN,
    "kinetics400": kinetics("kinetics400", "Kinetics-400 by its CSV files"),
    "kinetics600": kinetics("kinetics600", "Kinetics-600 by its CSV files"),
    "kinetics700": kinetics("kinetics700", "Kinetics-700 by its CSV files"),
    "something_something_v2": Format(
        something_rows, "Something-Something V2 by its JSON files", class_names=something_names
    ),
    "jester": Format(jester_rows, "Jester by its lists", class_names=jester_names),
    "ucf101": Format(ucf101_rows, "UCF101 by its lists", class_names=ucf101_names),
    "hmdb51": Format(hmdb51_rows, "HMDB51 by its lists", class_names=hmdb51_names),
    "diving48": Format(diving48_rows, "Diving48 by its JSON files", class_names=diving48_names),
    "charades": Format(
        charades_rows, "Charades by its lists", class_names=charades_names, multi_label=True
    ),
    "intervals": _intervals(interval_rows, "a CSV with a line for each event of a file"),
    "activitynet": _intervals(activitynet_rows, "ActivityNet's JSON"),
    "charades_events": _intervals(
        charades_event_rows, "Charades with the times of its actions", charades_names
    ),
    "ava": _intervals(ava_rows, "AVA's lists of labelled seconds"),
    "cvat": _intervals(cvat_rows, "exports of CVAT: XML for video 1.1, or Datumaro"),
    "label_studio": _intervals(label_studio_rows, "Label Studio's JSON of timelines"),
    "via": _intervals(via_rows, "projects or CSV of VIA 3"),
}
"""Every format under the name that ``data.format`` takes."""


def find_format(source: DataSource) -> Format:
    """The format of a source.

    Raises:
        DataError: If the name is unknown, the data does not exist, or is plainly of another form.
    """
    if source.format != "auto" and source.format not in FORMATS:
        near = known_names(source.format, FORMATS)
        raise DataError(f"unknown data format {source.format!r}{near}")
    if source.format == "shards" or (source.format == "auto" and is_shards(source.shown)):
        return shards_format(source)
    if not source.listing.exists():
        raise DataError(f"{source.listing}: no such file or folder")
    if source.format in ("auto", "prepared") and is_prepared(source.listing):
        return prepared_format(source.listing)
    if source.format != "auto":
        return FORMATS[source.format]
    advice = advise(source.listing)
    if advice:
        raise DataError(f"{source.listing}: {advice}")
    return FORMATS["folder" if source.listing.is_dir() else "list"]
