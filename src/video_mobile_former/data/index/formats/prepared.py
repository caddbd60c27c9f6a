"""A folder that ``vmf data prepare`` filled: a list of its clips, the classes in their order."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from ....errors import DataError
from ...work_folder import PreparedFolder, read_summary
from ..clip import Clip
from ..listing import list_rows, read_text
from ..source import DataSource, Faults, Format


def is_prepared(listing: Path) -> bool:
    """Tell whether a folder, or the folder of a list, was filled by ``vmf data prepare``.

    Args:
        listing: A folder, or its ``clips.csv``.
    """
    folder = _folder_of(listing)
    return folder.summary.is_file() and (listing.is_dir() or listing.name == folder.index.name)


def prepared_format(listing: Path) -> Format:
    """The format of such a folder, multi-label where its clips are.

    Args:
        listing: The folder, or its ``clips.csv``.

    Raises:
        DataError: If its ``prepare.json`` is missing or damaged.
    """
    folder = _folder_of(listing)
    multi_label = bool(read_summary(folder.summary).get("multi_label", False))
    return dataclasses.replace(PREPARED, multi_label=multi_label)


def _folder_of(listing: Path) -> PreparedFolder:
    return PreparedFolder(listing if listing.is_dir() else listing.parent)


def _rows(source: DataSource, faults: Faults) -> Iterator[Clip[str]]:
    folder = _folder_of(source.listing)
    if not folder.index.is_file():
        raise DataError(
            f"{folder.path}: not finished, it has no {folder.index.name}; "
            "the same `vmf data prepare` command goes on"
        )
    multi_label = prepared_format(source.listing).multi_label
    listed = DataSource(str(folder.index), multi_label=multi_label)
    yield from list_rows(listed, faults)


def _class_names(source: DataSource) -> tuple[str, ...]:
    path = _folder_of(source.listing).labels
    lines = read_text(path, "class names").splitlines()
    return tuple(line.strip() for line in lines if line.strip())


PREPARED = Format(_rows, "a folder that `vmf data prepare` filled", class_names=_class_names)
