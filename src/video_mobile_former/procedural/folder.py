"""A folder of procedural clips: its manifest, removal of old clips, and its index."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import DataError, UserError
from ..files import check_folder, write_json, write_text
from ..text import csv_line


def check_splits(clips_per_class: Mapping[str, int]) -> None:
    """Check that splits have clips and names that can be folder names.

    Raises:
        UserError: If one does not.
    """
    if not clips_per_class or any(count < 1 for count in clips_per_class.values()):
        raise UserError(f"clips_per_class must name splits with >= 1 clips, not {clips_per_class}")
    for split in clips_per_class:
        if not split.replace("-", "").replace("_", "").isalnum():
            raise UserError(f"split {split!r} must be made of letters, digits, '-' and '_'")


def make_room(
    manifest: Path,
    parameters: Mapping[str, Any],
    classes_of: Callable[[Mapping[str, Any]], Sequence[str]],
    *,
    may_hold: str | None = None,
) -> None:
    """Remove the clips of an earlier call with other parameters, and record the new parameters.

    Args:
        manifest: JSON file in the folder that records them.
        parameters: Everything that determines the clips, as JSON data, with ``clips_per_class``.
        classes_of: Class names of recorded parameters.
        may_hold: Pattern of files allowed in a folder without clips.

    Raises:
        DataError: If the manifest is damaged, or the folder holds other files.
        UserError: If the folder cannot be written to.
    """
    folder = manifest.parent
    check_folder(folder)
    if manifest.exists():
        try:
            old = json.loads(manifest.read_text(encoding="utf-8"))
            classes, splits = classes_of(old), list(old["clips_per_class"])
        except (ValueError, KeyError, TypeError, UserError) as error:
            raise DataError(f"{manifest} is damaged: delete the folder and try again") from error
        if old == parameters:
            return
        # The index is removed first and the old manifest last: after an interruption the next call
        # starts over.
        (folder / "clips.csv").unlink(missing_ok=True)
        for split in splits:
            for name in classes:
                for clip in (folder / split / name).glob("*.mp4"):
                    clip.unlink()
    elif folder.exists() and any(
        may_hold is None or not path.match(may_hold) for path in folder.iterdir()
    ):
        raise DataError(f"{folder} holds other things: name an empty or new folder")
    write_json(manifest, parameters)


def write_index(folder: Path, rows: Sequence[tuple[str, str, str, str]]) -> Path:
    """Write ``clips.csv`` with the columns path, label, split and group, unless it is unchanged.

    Returns:
        Its path.
    """
    path = folder / "clips.csv"
    text = "".join(map(csv_line, [("path", "label", "split", "group"), *rows]))
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)
    return path
