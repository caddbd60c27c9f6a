"""The ways in which data sets name their clips and labels, each a function that yields rows."""

from __future__ import annotations

from ....errors import DataError, known_names
from ..folders import folder_rows
from ..listing import list_rows
from ..source import DataSource, Format
from .charades import charades_names, charades_rows
from .diving48 import diving48_names, diving48_rows
from .frames import frames_rows
from .guess import advise
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
