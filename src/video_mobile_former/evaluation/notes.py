"""Notes of an evaluation: caveats of its numbers, one sentence each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..data.index.held_out import of_recipe
from ..data.index.index import ClipIndex
from ..inference.scorer import untrained_head
from ..models.runnable import RunnableModel
from .result import TRAINED_ON, Method

_FEW_GROUPS = 20
"""Number of groups below which an interval over groups is itself uncertain."""
_NAMED = 3
"""Most clips named in a note."""


def notes_of(method: Method, index: ClipIndex, model: RunnableModel) -> list[str]:
    """All notes of an evaluation.

    Args:
        method: How it was measured.
        index: The clips.
        model: The model, whose checkpoint may describe its training.
    """
    notes, info = [], model.info
    if method.freeze_frames is not None:
        notes.append(
            f"Frozen clips: every frame was replaced by sampled frame {method.freeze_frames} (from "
            "0), so nothing moved. This measures what is recognised without motion; it is not the "
            "accuracy of the model."
        )
    if method.clip != model.clip:
        notes.append(
            f"The frame sampling is not the model's own: {method.clip.sampling_words} "
            f"(the model: {model.clip.sampling_words})."
        )
    if method.failures:
        notes.append(_unread(method))
    untrained = untrained_head(model)
    if untrained is not None:
        notes.append(untrained)
    notes += data_notes(index)
    if not index.splits() and _same_path(of_recipe(info, "data", "path"), index.source):
        notes.append(
            "The model was trained on this data, which has no splits: training clips are likely "
            "to be among those measured."
        )
    if method.split == "val" and of_recipe(info, "train", "best_by") is not None:
        notes.append(
            "These are validation clips. If they were used to choose the best checkpoint, accuracy "
            "on new clips tends to be a little lower."
        )
    if not method.class_order_checked:
        notes.append(
            "The model has no class names: it could not be checked that their order is that of the "
            "data."
        )
    if _trained_balanced(info) and not index.multi_label:
        notes.append(
            "The model was trained with balanced classes, so for mean per-class accuracy rather "
            "than top-1."
        )
    if method.num_padded:
        notes.append(
            f"{method.num_padded} of {method.num_clips} videos are shorter than the model's clip; "
            "their last frame was repeated."
        )
    return notes


def _unread(method: Method) -> str:
    named = [f"{one['name']} ({one['reason']})" for one in method.failures]
    return (
        f"{len(named)} of {method.num_clips + len(named)} clips could not be read and are "
        f"excluded: {some_of(named, '; ')}."
    )


def some_of(names: Sequence[str], separator: str) -> str:
    """The first names, and the number of others."""
    more = len(names) - _NAMED
    return separator.join(names[:_NAMED]) + (f"{separator}and {more} more" if more > 0 else "")


def data_notes(index: ClipIndex) -> list[str]:
    """Notes on the clips alone, for printing before an hour of scoring."""
    notes = []
    splits = index.splits()
    if "train" in splits:
        notes.append(
            f"{TRAINED_ON} ({splits['train']} of {len(index)}): this is not accuracy on unseen "
            "data."
        )
    empty = sum(1 for count in index.counts() if count == 0)
    if empty:
        notes.append(
            f"{empty} of {len(index.class_names)} classes have no clip here; the mean "
            + ("average precision" if index.multi_label else "per-class accuracy")
            + " is over the others."
        )
    groups = {clip.group for clip in index.clips if clip.group is not None}
    if groups and len(groups) < len(index):
        notes.append(
            f"The {len(index)} clips come from {len(groups)} groups (scenes, people), whose clips "
            "are not independent; intervals resample whole groups"
            + (", but so few are unreliable." if len(groups) < _FEW_GROUPS else ".")
        )
    return notes


def training_seed(model: RunnableModel) -> int | None:
    """Seed of the model's training, where its checkpoint has it."""
    seed = of_recipe(model.info, "seed")
    return seed if isinstance(seed, int) else None


def _same_path(trained_on: Any, source: str) -> bool:
    return isinstance(trained_on, str) and Path(trained_on).absolute() == Path(source).absolute()


def _trained_balanced(info: Any) -> bool:
    weights = of_recipe(info, "optim", "class_weights") or "none"
    return bool(of_recipe(info, "data", "class_balanced")) or weights != "none"
