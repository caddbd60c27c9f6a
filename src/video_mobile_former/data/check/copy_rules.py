"""Finding duplicates: identical files, and re-encoded copies."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from ..index.clip import Clip
from .content import GRID, SIGNATURE_BYTES, unpack_signature
from .facts import FileFacts
from .problems import Problem, problem

_MEAN_DIFFERENCE, _LARGEST_DIFFERENCE = 2.0, 9.0
"""Largest differences in brightness between two signatures of the same content. Among real clips
from few places (371 of tennis, 300 of surveillance), different clips differ by at least 12.8 levels
in some cell, heavily compressed copies (x264, crf 35, or a third of the pixels) by at most 7.7."""
_LENGTH_RATIO = 1.1
"""Tolerance on the length of copies."""
_FLAT = 3.0
"""Spread of brightness below which a video has too little content to be distinguished."""
_BOX_DIMENSIONS = 4
"""Averages by which videos are sorted into boxes."""
_BLOCK = 2048
"""Videos compared at a time."""
_MOST_PARTNERS = 100
"""Most copies of one clip that are reported pair by pair."""


def problems_of_copies(clips: Sequence[tuple[Clip, FileFacts]]) -> list[Problem]:
    """List clips with the same content.

    Args:
        clips: All clips with the facts of their files.

    Returns:
        Leaks between splits, contradicting labels, duplicates, and near duplicates.
    """
    of_content: dict[str, list[Clip]] = defaultdict(list)
    facts_of: dict[str, FileFacts] = {}
    for clip, facts in clips:
        if facts.sha256 and facts.key.size:
            of_content[facts.sha256].append(clip)
            facts_of[facts.sha256] = facts
    found: list[Problem] = []
    for members in of_content.values():
        if len(members) > 1:
            found += _exact(members)
    for first, second in near_pairs([facts for facts in facts_of.values() if not facts.fault]):
        found += _near(of_content[first.sha256], of_content[second.sha256])
    return found


# The same bytes ---------------------------------------------------------------------------


def _exact(members: list[Clip]) -> Iterator[Problem]:
    """Problems of clips whose files are equal."""
    foreign: dict[int, list[Clip]] = defaultdict(list)
    said: set[tuple[str, int]] = set()
    for first, second in _overlapping(members):
        a, b = members[first], members[second]
        if a.split != b.split:
            foreign[first].append(b)
            foreign[second].append(a)
        kind = _repetition(a, b)
        if kind and (kind, second) not in said:  # report each of many copies once
            said.add((kind, second))
            other = ", under another label" if kind != "duplicate" else ""
            text = f"the same content as {_name(a)}{other}"
            yield problem(kind, _name(b), text, related=(_name(a),))
    for place, others in sorted(foreign.items()):
        clip = members[place]
        # Attributed to the training clip, which is excluded, so that results stay comparable.
        if clip.split == "train" or all(o.split != "train" for o in others):
            yield _leak(clip, others)
    splits = {clip.split for clip in members}
    if len(splits) > 1 and not foreign:
        yield problem(
            "video across splits",
            _name(members[0]),
            f"{len(members)} parts of it are in {_listed(splits)}",
            related=_names(members[1:]),
        )


def _repetition(a: Clip, b: Clip) -> str:
    """Kind of problem of two parts of equal videos within a split; empty if none."""
    if not _same_part(a, b):
        return ""
    if _labels(a) != _labels(b):
        return "same content, two labels"
    return "duplicate" if a.split == b.split else ""


def _leak(clip: Clip, others: Sequence[Clip]) -> Problem:
    where = _listed({other.split for other in others})
    text = f"in {clip.split or 'no split'}, and the same content in {where}"
    return problem("leak", _name(clip), text, related=_names(others))


def _overlapping(members: list[Clip]) -> Iterator[tuple[int, int]]:
    """Pairs of positions, the earlier in the data first, of parts that overlap in time."""
    by_start = sorted(range(len(members)), key=lambda i: members[i].start_seconds or 0.0)
    running: list[int] = []
    for i in by_start:
        start = members[i].start_seconds or 0.0
        running = [j for j in running if start < _end(members[j])]
        yield from ((min(i, j), max(i, j)) for j in running[-_MOST_PARTNERS:])
        running.append(i)


def _end(clip: Clip) -> float:
    return np.inf if clip.end_seconds is None else clip.end_seconds


def _same_part(a: Clip, b: Clip) -> bool:
    return (a.start_seconds or 0.0, a.end_seconds) == (b.start_seconds or 0.0, b.end_seconds)


# The same pictures ------------------------------------------------------------------------


def near_pairs(facts: Sequence[FileFacts]) -> Iterator[tuple[FileFacts, FileFacts]]:
    """Yield pairs of videos that look the same throughout, whatever their encoding.

    Args:
        facts: Of files with different bytes.
    """
    usable = [one for one in facts if one.signature]
    if len(usable) < 2:
        return
    signatures = np.stack([unpack_signature(one.signature) for one in usable])
    usable = [one for one, flat in zip(usable, _is_flat(signatures), strict=True) if not flat]
    signatures = signatures[~_is_flat(signatures)]
    for i, j in _close(signatures):
        a, b = usable[i].duration_seconds, usable[j].duration_seconds
        if max(a, b) <= _LENGTH_RATIO * min(a, b):
            yield usable[i], usable[j]


def _is_flat(signatures: np.ndarray) -> np.ndarray:
    out = np.empty(len(signatures), dtype=bool)
    for start in range(0, len(signatures), _BLOCK):  # floats take four times the memory
        block = signatures[start : start + _BLOCK].astype(np.float32)
        out[start : start + _BLOCK] = block.std(axis=1) < _FLAT
    return out


def _close(signatures: np.ndarray) -> Iterator[tuple[int, int]]:
    """Pairs of rows within the two limits.

    Rows are sorted into boxes by a few averages of their values. The averages of two rows differ by
    at most the mean difference of their values, so a row's matches are in its box or a neighbour.
    """
    if len(signatures) < 2:
        return
    averages = _averages(signatures)
    boxes: dict[tuple[int, ...], list[int]] = defaultdict(list)
    places = np.floor(averages[:, :_BOX_DIMENSIONS] / _MEAN_DIFFERENCE).astype(int)
    for row, box in enumerate(places.tolist()):
        boxes[tuple(box)].append(row)
    # Half of the neighbours suffices: the other half gives the same pairs in reverse.
    steps = itertools.product((-1, 0, 1), repeat=_BOX_DIMENSIONS)
    forward = [step for step in steps if step > (0,) * _BOX_DIMENSIONS]
    for box, rows in boxes.items():
        beside: list[int] = []
        for step in forward:
            beside += boxes.get(tuple(a + b for a, b in zip(box, step, strict=True)), ())
        candidates = np.array(rows + beside, dtype=np.int64)
        for place, row in enumerate(rows):
            others = candidates[place + 1 :]
            apart = np.abs(averages[others] - averages[row]).max(axis=1, initial=0)
            others = others[apart <= _MEAN_DIFFERENCE + 1e-3]  # float32 rounds
            yield from ((row, other) for other in _like(signatures, row, others))


def _like(signatures: np.ndarray, row: int, others: np.ndarray) -> list[int]:
    """The other rows within the limits of this one."""
    found: list[int] = []
    here = signatures[row].astype(np.int16)
    for start in range(0, len(others), _BLOCK):
        some = others[start : start + _BLOCK]
        difference = np.abs(signatures[some].astype(np.int16) - here)
        near = (difference.max(1) <= _LARGEST_DIFFERENCE) & (difference.mean(1) <= _MEAN_DIFFERENCE)
        found += some[near].tolist()
    return found


def _averages(signatures: np.ndarray) -> np.ndarray:
    """``(N, 14)`` float32: means of all values, some of them with a negative sign.

    Halves against halves and quarters against quarters, in time, down and across.
    """
    half = np.repeat([1.0, -1.0], GRID // 2)
    quarter = np.tile(np.repeat([1.0, -1.0], GRID // 4), 2)
    one = np.ones(GRID)
    # The first four make the boxes.
    patterns = [
        (one, one, one), (half, one, one), (one, half, one), (one, one, half),
        (one, half, half), (half, half, one), (half, one, half), (half, half, half),
        (quarter, one, one), (one, quarter, one), (one, one, quarter),
        (one, quarter, half), (one, half, quarter), (one, quarter, quarter),
    ]  # fmt: skip
    signs = np.stack([np.einsum("t,y,x->tyx", *pattern).ravel() for pattern in patterns], axis=1)
    signs = (signs / SIGNATURE_BYTES).astype(np.float32)
    parts = [
        signatures[start : start + _BLOCK].astype(np.float32) @ signs
        for start in range(0, len(signatures), _BLOCK)
    ]
    return np.concatenate(parts)


def _near(first: list[Clip], second: list[Clip]) -> Iterator[Problem]:
    a, b = first[0], second[0]
    across = next(((x, y) for x in first for y in second if x.split != y.split), None)
    if across is not None:
        a, b = across
        text = f"in {a.split or 'no split'}; looks like {_name(b)} in {b.split or 'no split'}"
        yield problem("near leak", _name(a), text, related=(_name(b),))
    else:
        other = ", which has another label" if _labels(a) != _labels(b) else ""
        text = f"looks like {_name(b)}{other}"
        yield problem("near duplicate", _name(a), text, related=(_name(b),))


# Words ------------------------------------------------------------------------------------


def _labels(clip: Clip) -> tuple[int, ...]:
    return tuple(sorted(clip.labels))


def _name(clip: Clip) -> str:
    return clip.name or clip.path


def _names(clips: Sequence[Clip]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(_name, clips)))


def _listed(splits: set[str | None]) -> str:
    return " and ".join(sorted(split or "no split" for split in splits))
