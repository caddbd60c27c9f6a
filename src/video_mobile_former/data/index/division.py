"""Holding out a part of the clips for validation."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections import Counter, defaultdict

import numpy as np

from ...errors import DataError
from .index import ClipIndex

_ATTEMPTS = 64
"""Random divisions that ``split_index`` compares."""


def split_index(index: ClipIndex, fraction: float, seed: int) -> tuple[ClipIndex, ClipIndex]:
    """Hold out a share of the clips, stratified by class, with groups kept together.

    Clips without a group are groups of their own. Of many random divisions into whole groups, the
    one closest to the share in every class is taken.

    Args:
        index: The clips.
        fraction: Share to hold out, above 0 and below 1.
        seed: The same seed gives the same parts.

    Returns:
        The rest and the held-out part, each with the clips in their old order and with at least
        one clip of every class that has clips. In a multi-label index a clip counts for each of
        its classes.

    Raises:
        DataError: If a class has fewer than two groups, or the groups are shared between classes
            so that no such division is found.
    """
    rest, held = split_rows(index, fraction, seed)
    return (
        dataclasses.replace(index, clips=index.table.take(rest)),
        dataclasses.replace(index, clips=index.table.take(held)),
    )


def split_rows(index: ClipIndex, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The positions of both parts of :func:`split_index`, whose arguments and errors these are."""
    if not 0 < fraction < 1:
        raise DataError(f"the share to hold out must be above 0 and below 1, not {fraction}")
    members: dict[int, list[int]] = defaultdict(list)
    for i, group in enumerate(index.table.group.tolist()):
        members[group if group >= 0 else -1 - i].append(i)
    rows = list(members.values())
    group_of = np.empty(len(index), dtype=np.int64)
    for g, row in enumerate(rows):
        group_of[row] = g
    groups: list[Counter[int]] = [Counter() for _ in rows]
    clips, labels = index.table.label_pairs()
    for g, label in zip(group_of[clips].tolist(), labels.tolist(), strict=True):
        groups[g][label] += 1
    _check_groups(index, groups)
    total = index.counts()
    unlabelled = np.setdiff1d(np.arange(len(index)), clips)
    without = np.bincount(group_of[unlabelled], minlength=len(rows)).tolist()
    if sum(map(bool, without)) >= 2:
        # Clips without a class are divided as if that were a class of theirs.
        for group, n in zip(groups, without, strict=True):
            group.update({len(total): n} if n else {})
        total = (*total, sum(without))
    held = _choose_groups(groups, total, fraction, seed)
    if held is None:
        raise DataError(
            f"{index.source}: the groups are shared between classes so that no part can be held "
            "out with clips of every class on both sides; give a split column instead"
        )
    rows_held = np.array(sorted(i for g in held for i in rows[g]), dtype=np.int64)
    return np.setdiff1d(np.arange(len(index)), rows_held), rows_held


def _check_groups(index: ClipIndex, groups: list[Counter[int]]) -> None:
    of_class = Counter(label for group in groups for label in group)
    for label, clips in enumerate(index.counts()):
        if clips and of_class[label] < 2:
            what = "only one clip" if clips == 1 else "all its clips in one group"
            name = index.class_names[label]
            # Names that differ in a digit differ on purpose.
            digits = re.sub(r"\D", "", name)
            others = [
                other
                for other in index.class_names
                if other != name and re.sub(r"\D", "", other) == digits
            ]
            near = difflib.get_close_matches(name, others, n=1, cutoff=0.8)
            meant = f"; is it a misspelt {near[0]!r}?" if near else ""
            raise DataError(
                f"{index.source}: class {name!r} has {what}, so nothing of it can be held out"
                f"{meant}; add clips or give a split column"
            )


def _choose_groups(
    groups: list[Counter[int]], total: tuple[int, ...], fraction: float, seed: int
) -> set[int] | None:
    """Pick the groups (clips per class) to hold out; None where no division is found."""
    # At least one clip of each class, at most all but one, whatever the share says.
    target = [min(max(round(n * fraction), 1), n - 1) if n else 0 for n in total]
    rng = np.random.default_rng(seed)
    best: tuple[int, set[int]] | None = None
    for _attempt in range(_ATTEMPTS):
        order = rng.permutation(len(groups)).tolist()
        held = _divide_once(groups, order, total, target)
        if held is None:
            continue
        now = Counter()
        for g in held:
            now.update(groups[g])
        miss = sum(abs(now[label] - wanted) for label, wanted in enumerate(target))
        if best is None or miss < best[0]:
            best = miss, held
        if miss == 0:
            break
    return best[1] if best else None


def _divide_once(
    groups: list[Counter[int]], order: list[int], total: tuple[int, ...], target: list[int]
) -> set[int] | None:
    now = [0] * len(total)
    held: set[int] = set()

    def take(g: int) -> bool:
        # Something of every class stays behind.
        if g in held or any(now[label] + n >= total[label] for label, n in groups[g].items()):
            return False
        held.add(g)
        for label, n in groups[g].items():
            now[label] += n
        return True

    for g in order:
        closer = sum(
            abs(now[label] - target[label]) - abs(now[label] + n - target[label])
            for label, n in groups[g].items()
        )
        if closer > 0:
            take(g)
    by_size = sorted(order, key=lambda g: groups[g].total())
    for label in [label for label, n in enumerate(total) if n]:
        # A group taken for another class may have brought this one along.
        if now[label] == 0 and not any(take(g) for g in by_size if label in groups[g]):
            return None
    return held
