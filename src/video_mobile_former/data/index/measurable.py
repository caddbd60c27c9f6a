"""Which clips a model may be measured on: the same for the command, Python and several processes.

A model should not be measured on the clips that it was trained on, nor on those that a list
excludes. The record of training in its checkpoint, ``model.info``, is enough to find out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import check_path
from .held_out import of_recipe, with_held_out
from .index import ClipIndex, load_index
from .quarantine import list_of, without
from .source import DataSource

ALL = "all"
"""The split that is every clip of the data."""


@dataclass(frozen=True)
class MeasurableClips:
    """The clips of some data that one model is measured on."""

    index: ClipIndex
    """The data without excluded clips; where training itself held out a part, the division is made
    again and its parts are the splits ``train`` and ``val``."""
    split: str | None
    """The split that is measured; None is all clips."""
    notes: tuple[str, ...] = ()
    """What a user should know before measuring begins, one sentence each."""

    @property
    def clips(self) -> ClipIndex:
        """Only the clips that are measured.

        Raises:
            DataError: If the data has no such split.
        """
        return self.index if self.split is None else self.index.split(self.split)


def measurable(
    data: ClipIndex | DataSource | str | Path,
    info: Any = None,
    *,
    class_names: Sequence[str] | None = None,
    multi_label: bool = False,
    split: str | None = None,
    quarantine: str | Path | None = None,
    model_name: str = "",
) -> MeasurableClips:
    """Choose the clips that a model is measured on.

    Args:
        data: An index, or what one is read from.
        info: ``model.info``: the record of training in the checkpoint or artefact, if any.
        class_names: The model's, in the order of its scores; the data is read in this order.
        multi_label: The model gives several classes per clip; labels are read accordingly.
        split: ``"train"``, ``"val"``, ``"test"`` or ``"all"``; None takes ``test``, else ``val``,
            else what training held out, else all.
        quarantine: List of clips to exclude; None takes that of ``vmf data check`` where it has
            checked this data, but excludes nothing of an index.
        model_name: For messages.

    Raises:
        DataError: If the data or the list cannot be read, or the classes are not the model's.
    """
    name = f"the model {model_name}".rstrip()
    notes = []
    if isinstance(data, ClipIndex):
        index, excluded = data, None if quarantine is None else Path(quarantine)
    else:
        if not isinstance(data, DataSource):
            check_path("data", data)
        source = data if isinstance(data, DataSource) else DataSource(str(data))
        if multi_label:
            # The label column of a list is read as the model needs it.
            source = dataclasses.replace(source, multi_label=True)
        # Labels are names: in the model's own order they cannot end up in another one.
        index = load_index(source, class_names=class_names, class_names_of=name)
        excluded = list_of(None if quarantine is None else str(quarantine), source.place)
        notes += _other_fold(source, info, model_name or name)
    given = set(index.splits())
    # The run may have been before the list or after it.
    index = with_held_out(index, info)
    if excluded is not None:
        index = without(index, excluded, of_run=False)
        index = with_held_out(index, info) if set(index.splits()) <= given else index
    if split is not None:
        return MeasurableClips(index, None if split == ALL else split, tuple(notes))
    splits = index.splits()
    split = next((name for name in ("test", "val") if name in splits), None)
    if split is not None and split not in given:
        notes.append(
            f"measuring the {splits['val']} of {len(index)} clips that the training of this model "
            "held out (all: --split all)"
        )
    elif split is not None:
        notes.append(f"measuring the {split} split of {index.source} (others: --split)")
    return MeasurableClips(index, split, tuple(notes))


def _other_fold(source: DataSource, info: Any, model: str) -> list[str]:
    """Test clips of one division into splits are training clips of another."""
    trained = of_recipe(info, "data", "fold")
    if trained in (None, source.fold) or of_recipe(info, "data", "format") != source.format:
        return []
    note = (
        f"{model} was trained on fold {trained} of {source.format} and is measured on fold "
        f"{source.fold}: clips it was trained on may be among them (--fold {trained})"
    )
    return [note]
