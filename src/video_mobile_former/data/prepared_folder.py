"""The folder that ``vmf data prepare`` fills: what lies where."""

from __future__ import annotations

from pathlib import Path

from .work_folder import WorkFolder

FORMAT = 1
"""Of the folder; raised when its files change their meaning."""


class PreparedFolder(WorkFolder):
    """Paths and journal of one folder of prepared clips.

    Args:
        path: The folder; it need not exist.
    """

    def __init__(self, path: str | Path):
        super().__init__(path, index="clips.csv", summary="prepare.json", journal="prepare.jsonl")
        self.labels = self.path / "labels.txt"
