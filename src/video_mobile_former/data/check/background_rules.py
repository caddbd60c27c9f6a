"""Finding clips of one camera where nobody says which belong together: equal backgrounds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..index.clip import Clip
from .content import MOMENTS, unpack_signature
from .facts import FileFacts, FileKey
from .problems import Problem, problem

_APART, _APART_OF_CONTRAST = 10.0, 0.25
"""Largest distance of two backgrounds of one camera: root mean square in levels of brightness, and
as a share of the smaller standard deviation over a background. Measured on five sets whose groups
are known (ucf101_8, surveillance, tennis, skating, lips: 2,680 clips), none of the 936,430 pairs of
different groups is as near; of clips held out at random without regard to groups, it finds 39, 20,
18, 7 and 88 %. At 14 levels and without the share of contrast, 24,153 pairs would be wrong."""
_MOST_CLIPS = 10_000
"""Files compared: more are thinned evenly, so that it takes seconds."""
_BLOCK = 512
"""Files compared at a time."""


def background(signature: str) -> np.ndarray:
    """What stands still in a video: the median over time of each cell of its signature.

    Returns:
        ``(GRID × GRID,)`` float32 levels of brightness.
    """
    return np.median(unpack_signature(signature).reshape(MOMENTS, -1), axis=0).astype(np.float32)


def problems_of_backgrounds(
    pairs: Sequence[tuple[Clip, FileFacts]], known: frozenset[str] = frozenset()
) -> Iterator[Problem]:
    """Yield clips that seem to be filmed by one camera and are, or may come, on both sides.

    Only clips without a group are looked at: where the data says which clips belong together,
    that counts.

    Args:
        pairs: All clips with the facts of their files.
        known: Names of clips whose copies in other splits are reported already.
    """
    chosen: dict[tuple[FileKey, str | None], Clip] = {}
    signatures: dict[FileKey, str] = {}
    for clip, facts in pairs:
        if clip.group is None and facts.signature and not facts.fault:
            chosen.setdefault((facts.key, clip.split), clip)
            signatures[facts.key] = facts.signature
    splits = {split for _, split in chosen}
    if not chosen or splits == {"train"}:
        return
    items = _thinned([*chosen.items()])
    scenes = _Scenes([key for (key, _), _ in items], signatures)
    if "train" in splits:
        yield from _across(items, scenes, known)
    elif splits == {None}:
        yield from _together(items, scenes)


_Item = tuple[tuple[FileKey, "str | None"], Clip]


def _thinned(items: list[_Item]) -> list[_Item]:
    if len(items) <= _MOST_CLIPS:
        return items
    return [items[i * len(items) // _MOST_CLIPS] for i in range(_MOST_CLIPS)]


class _Scenes:
    """The backgrounds of files, ready to be compared."""

    def __init__(self, keys: Sequence[FileKey], signatures: dict[FileKey, str]):
        self.keys = keys
        self.levels = np.stack([background(signatures[key]) for key in keys])
        self.squares = (self.levels**2).mean(1)
        self.limits = np.minimum(_APART, _APART_OF_CONTRAST * self.levels.std(1))

    def apart(self, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Distances ``(R, O)`` in levels; infinite where two are not of one camera."""
        products = self.levels[rows] @ self.levels[others].T / self.levels.shape[1]
        squares = self.squares[rows][:, None] + self.squares[others] - 2 * products
        found = np.sqrt(np.maximum(squares, 0))
        limits = np.minimum(self.limits[rows][:, None], self.limits[others])
        return np.where(found <= limits, found, np.inf)


def _across(items: list[_Item], scenes: _Scenes, known: frozenset[str]) -> Iterator[Problem]:
    """Clips of other splits with the background of a training clip."""
    train = np.array([i for i, ((_, split), _) in enumerate(items) if split == "train"])
    rest = np.array([i for i, ((_, split), _) in enumerate(items) if split not in ("train", None)])
    in_train = {scenes.keys[i] for i in train.tolist()}
    for start in range(0, len(rest), _BLOCK):
        rows = rest[start : start + _BLOCK]
        apart = scenes.apart(rows, train)
        nearest = apart.argmin(1)
        for row, place, distance in zip(
            rows.tolist(), nearest.tolist(), apart.min(1).tolist(), strict=True
        ):
            clip, other = items[row][1], items[train[place]][1]
            # A file that is in train too is a problem of its own.
            if np.isinf(distance) or scenes.keys[row] in in_train or _name(clip) in known:
                continue
            text = (
                f"in {clip.split}; the background is that of {_name(other)} in train "
                f"(brightness differs by {distance:.0f} of 255)"
            )
            yield problem("same camera across splits", _name(clip), text, related=(_name(other),))


def _together(items: list[_Item], scenes: _Scenes) -> Iterator[Problem]:
    """Sets of clips with one background, the largest first, where clips are held out at random."""
    left = np.arange(len(items))
    found: list[list[int]] = []
    while len(left):
        members, left = [int(left[0])], left[1:]
        begin = 0
        while begin < len(members) and len(left):
            rows = np.array(members[begin : begin + _BLOCK])
            begin += len(rows)
            near = np.isfinite(scenes.apart(rows, left)).any(0)
            members += left[near].tolist()
            left = left[~near]
        if len(members) > 1:
            found.append(members)
    for members in sorted(found, key=len, reverse=True):
        names = [_name(items[i][1]) for i in members]
        more = len(names) - 1
        text = f"the same background as {more} other clip{'' if more == 1 else 's'}"
        yield problem("same camera", names[0], text, related=tuple(names[1:]))


def _name(clip: Clip) -> str:
    return clip.name or clip.path
