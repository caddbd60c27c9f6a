"""The ways in which data sets name their clips and labels, each a function that yields rows."""

from __future__ import annotations

import difflib

from ...errors import DataError
from ..listing import folder_rows, list_rows
from ..source import DataSource, Format
from .prepared import PREPARED, is_prepared, prepared_format

FORMATS: dict[str, Format] = {
    "folder": Format(folder_rows, "a folder of class folders"),
    "list": Format(list_rows, "a CSV or TSV with the columns path,label", may_be_multi_label=True),
    "prepared": PREPARED,
}
"""Every format under the name that ``data.format`` takes."""


def find_format(source: DataSource) -> Format:
    """The format of a source.

    Raises:
        DataError: If the name is unknown, or the data does not exist.
    """
    if source.format != "auto" and source.format not in FORMATS:
        near = difflib.get_close_matches(source.format, FORMATS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(FORMATS)}"
        raise DataError(f"unknown data format {source.format!r}; {hint}")
    if not source.listing.exists():
        raise DataError(f"{source.listing}: no such file or folder")
    if source.format in ("auto", "prepared") and is_prepared(source.listing):
        return prepared_format(source.listing)
    if source.format != "auto":
        return FORMATS[source.format]
    return FORMATS["folder" if source.listing.is_dir() else "list"]
