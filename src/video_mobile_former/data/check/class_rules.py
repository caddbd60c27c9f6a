"""Problems of classes, groups and splits as a whole."""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from ..index.index import ClipIndex
from ..index.listing import is_utf8
from ..index.table import SPLITS
from .problems import Problem, problem

_TYPO_SHARE, _TYPO_CLIPS, _TYPO_LIKENESS = 0.02, 2, 0.8
"""A class counts as a misspelling of another with a similar name and many more clips, if it has at
most this share of them, or this number of clips."""
_TIMES_LARGER = 5
"""Least ratio of the other's clips to its own."""
_IMBALANCE = 10
"""Ratio of the largest class to the smallest."""
_MANY_UNUSABLE, _FEW_UNUSABLE = 0.1, 2
"""Share of a split that may be unusable, and number of clips that always may."""


def problems_of_classes(
    index: ClipIndex, usable: np.ndarray, *, min_clips: int, one_split: bool
) -> Iterator[Problem]:
    """Yield the problems of the data set as a whole.

    Args:
        index: All clips.
        usable: ``(N,)`` bool; clips that training does not exclude.
        min_clips: Usable training clips below which a class is called tiny.
        one_split: Whether the index has only one split, so that the others are not judged.
    """
    counts = class_counts(index, usable)
    split = index.table.split
    yield from _unusable(index, usable)
    yield from _groups(index)
    if len(index.class_names) < 2 and not index.multi_label:
        yield problem("one class", " ".join(index.class_names), f"all {len(index)} clips have it")
    for name in index.class_names:
        if not is_utf8(name):
            yield problem("malformed", name, "the name of a class is not UTF-8: rename its folder")
    if one_split:
        return
    divided = bool((split >= 0).any())
    train = counts["train"] if divided else counts[""]
    if divided and not (split == SPLITS.index("train")).any():
        there = ", ".join(f"{name} ({n} clips)" for name, n in index.splits().items())
        yield problem("no training clips", index.source, f"there are: {there}")
        return
    listed = np.array(index.counts())
    typos = dict(_typos(index.class_names, listed))
    for label, name in enumerate(index.class_names):
        if label in typos:
            yield typos[label]
        else:
            yield from _size(name, int(listed[label]), int(train[label]), min_clips)
    # Report nothing else about a misspelled class.
    train[list(typos)] = 0
    if divided:
        yield from _absent(index, counts, train)
    else:
        yield from _indivisible(index, usable, set(typos))
    present = train[train > 0]
    if len(present) > 1 and present.max() >= _IMBALANCE * present.min():
        smallest = int(np.where(train > 0, train, present.max()).argmin())
        large, small = index.class_names[int(train.argmax())], index.class_names[smallest]
        text = f"{present.max()} clips of {large}, {present.min()} of {small}"
        yield problem("imbalance", small, text)


def class_counts(index: ClipIndex, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Clips of each class in each split.

    Args:
        index: All clips.
        rows: ``(N,)`` bool; the clips to count.

    Returns:
        ``(K,)`` int64 for ``"train"``, ``"val"``, ``"test"`` and, for clips without a split,
        ``""``.
    """
    table = index.table
    out: dict[str, np.ndarray] = {}
    for position, name in ((-1, ""), *enumerate(SPLITS)):
        chosen = np.flatnonzero(rows & (table.split == position))
        part = ClipIndex(table.take(chosen), index.class_names, index.source)
        # A part without clips does not know whether it is multi-label.
        out[name] = np.array(part.counts() if len(chosen) else [0] * len(index.class_names))
    return out


def _size(name: str, listed: int, train: int, min_clips: int) -> Iterator[Problem]:
    if not listed:
        yield problem("class without clips", name, "no clip has it")
    elif not train:
        yield problem("empty class", name, f"0 usable training clips of {listed} listed")
    elif train < min_clips:
        clips = "clip" if train == 1 else "clips"
        yield problem("tiny class", name, f"{train} usable training {clips}")


def _typos(names: Sequence[str], listed: np.ndarray) -> Iterator[tuple[int, Problem]]:
    """Small classes with almost the name of a much larger one."""
    order = np.argsort(-listed, kind="stable")
    folded = [_folded(name) for name in names]
    for label, count in enumerate(listed.tolist()):
        larger = [
            int(i)
            for i in order
            if 0 < count <= max(_TYPO_CLIPS, listed[i] * _TYPO_SHARE)
            and listed[i] >= _TIMES_LARGER * count
        ]
        like = difflib.get_close_matches(
            folded[label], [folded[i] for i in larger], n=1, cutoff=_TYPO_LIKENESS
        )
        # Names that differ in a digit, or in a word such as left and right, are intended.
        match = next((i for i in larger if like and folded[i] == like[0]), None)
        if match is None or _digits(folded[match]) != _digits(folded[label]):
            continue
        clips = "clip" if count == 1 else "clips"
        text = f"{count} {clips}; did you mean {names[match]!r} ({listed[match]} clips)?"
        yield label, problem("likely label typo", names[label], text, related=(names[match],))


def _folded(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())


def _digits(name: str) -> str:
    return "".join(char for char in name if char.isdigit())


def _absent(
    index: ClipIndex, counts: dict[str, np.ndarray], train: np.ndarray
) -> Iterator[Problem]:
    for split in SPLITS[1:]:
        if not counts[split].any():
            continue
        for label in np.flatnonzero((counts[split] == 0) & (train > 0)):
            name = index.class_names[label]
            yield problem("class absent from split", name, f"no usable clip in {split}")


def _indivisible(index: ClipIndex, usable: np.ndarray, leave_out: set[int]) -> Iterator[Problem]:
    """Classes too small to hold out clips for validation."""
    groups: dict[int, set[object]] = defaultdict(set)
    for i in np.flatnonzero(usable).tolist():
        clip = index.clips[i]
        for label in clip.labels:
            groups[label].add(clip.group if clip.group is not None else i)
    for label, members in sorted(groups.items()):
        if len(members) == 1 and label not in leave_out:
            what = "group" if isinstance(next(iter(members)), str) else "clip"
            yield problem("cannot be held out", index.class_names[label], f"only one {what}")


def _groups(index: ClipIndex) -> Iterator[Problem]:
    splits: dict[str, dict[str, str]] = defaultdict(dict)
    for clip in index.clips:
        if clip.group is not None and clip.split is not None:
            splits[clip.group].setdefault(clip.split, clip.name or clip.path)
    for group, names in splits.items():
        if len(names) > 1:
            text = f"its clips are in {' and '.join(s for s in SPLITS if s in names)}"
            yield problem("group across splits", group, text, related=tuple(names.values()))


def _unusable(index: ClipIndex, usable: np.ndarray) -> Iterator[Problem]:
    for position, name in ((-1, ""), *enumerate(SPLITS)):
        rows = index.table.split == position
        bad = int((rows & ~usable).sum())
        if bad > max(_FEW_UNUSABLE, _MANY_UNUSABLE * rows.sum()):
            where = f" of the {name} split" if name else ""
            text = f"{bad} of {int(rows.sum())} clips{where}"
            yield problem("too many unusable", name or index.source, text)
