"""Where clips and their labels come from: a folder of class folders, or a CSV/TSV list.

A folder is ``root/<class>/<clip>`` (clips may lie deeper inside a class folder) or
``root/<train|val|test>/<class>/<clip>``. A list has a header with ``path`` and ``label`` and, where
wanted, ``split``, ``group``, ``start_seconds`` and ``end_seconds``; see ``listing.py``.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..console import say
from ..errors import DataError
from .listing import SPLIT_NAMES, Row, read_folder, read_list

_ATTEMPTS = 64
"""Random divisions that ``split_index`` compares."""


@dataclass(frozen=True)
class Clip:
    """One labelled video, or a part of one."""

    path: str
    """Absolute path of the file."""
    label: int
    """Position of the class in ``ClipIndex.class_names``."""
    split: str | None = None
    """``"train"``, ``"val"``, ``"test"``, or None where the data does not say."""
    group: str | None = None
    """Clips that must stay on one side of a split: same person, scene or source video."""
    start_seconds: float | None = None
    """Begin of the part that carries the label; None is the begin of the file."""
    end_seconds: float | None = None
    """End of that part, itself excluded; None is the end of the file."""
    name: str = ""
    """The path as written in the data: what people are shown."""


@dataclass(frozen=True)
class ClipIndex:
    """Clips with their labels and the order of the classes."""

    clips: tuple[Clip, ...]
    class_names: tuple[str, ...]
    source: str
    """Folder or list the clips come from, for messages."""

    def __len__(self) -> int:
        return len(self.clips)

    def counts(self) -> tuple[int, ...]:
        """Number of clips of each class, in the order of ``class_names``."""
        counts = np.bincount([clip.label for clip in self.clips], minlength=len(self.class_names))
        return tuple(int(count) for count in counts)

    def splits(self) -> dict[str, int]:
        """Number of clips in each split that the data names, in the order train, val, test."""
        found = {"train": 0, "val": 0, "test": 0}
        for clip in self.clips:
            if clip.split is not None:
                found[clip.split] += 1
        return {name: count for name, count in found.items() if count}

    def split(self, name: str) -> ClipIndex:
        """Only the clips of one split; the classes stay as they are.

        Args:
            name: ``"train"``, ``"val"`` (also ``"validation"``) or ``"test"``.

        Raises:
            DataError: If no clip belongs to it; names the splits that are there.
        """
        wanted = SPLIT_NAMES.get(name, name)
        clips = tuple(clip for clip in self.clips if clip.split == wanted)
        if not clips:
            present = ", ".join(f"{key} ({n} clips)" for key, n in self.splits().items())
            raise DataError(
                f"{self.source}: no split {name!r}; "
                + (f"there are: {present}" if present else "its clips are not divided into splits")
            )
        return dataclasses.replace(self, clips=clips)


def load_index(
    path: str | Path,
    *,
    class_names: Sequence[str] | None = None,
    label_file: str | Path | None = None,
) -> ClipIndex:
    """Read a folder of class folders, or a CSV/TSV list of clips.

    Args:
        path: The folder or the list.
        class_names: The classes in the order wanted, for example those of a checkpoint. Sorted
            names of the classes found where neither this nor ``label_file`` is given.
        label_file: Text file with one class name a line, order kept.

    Returns:
        The clips, in a stable order. Classes of the list without a clip are kept and said.

    Raises:
        DataError: If something is missing, empty, contradictory or not understood; one line with
            the file and, for lists, the line number.
    """
    source = Path(path)
    if class_names is not None and label_file is not None:
        raise DataError("give class_names or label_file, not both")
    names = read_label_file(label_file) if label_file is not None else class_names
    if names is not None:
        names = _checked_names(names, str(label_file) if label_file is not None else "class_names")
    if not source.exists():
        raise DataError(f"{source}: no such file or folder")
    if source.is_dir():
        rows = read_folder(source)
    else:
        rows = read_list(source)
    return _build(rows, names, str(source))


def read_label_file(path: str | Path) -> tuple[str, ...]:
    """Class names from a text file, one a line, order kept, blank lines ignored.

    Raises:
        DataError: If the file is missing or is not text.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a UTF-8 text file"
        raise DataError(f"label file {path}: {reason}") from error
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def _build(rows: list[Row], names: tuple[str, ...] | None, source: str) -> ClipIndex:
    if not rows:
        raise DataError(f"{source}: lists no clips")
    found = {row.label for row in rows}
    order = names if names is not None else tuple(sorted(found))
    position = {name: i for i, name in enumerate(order)}
    for row in rows:
        if row.label not in position:
            raise DataError(
                f"{row.where}: label {row.label!r} is not in the class list"
                + _hint(row.label, order)
            )
    without = [name for name in order if name not in found]
    if without:
        shown = ", ".join(without[:5]) + (", …" if len(without) > 5 else "")
        say(f"{source}: {len(without)} of {len(order)} classes have no clip: {shown}")
    clips = tuple(
        Clip(
            path=row.path,
            label=position[row.label],
            split=row.split,
            group=row.group,
            start_seconds=row.start_seconds,
            end_seconds=row.end_seconds,
            name=row.name,
        )
        for row in rows
    )
    return ClipIndex(clips=clips, class_names=order, source=source)


def _hint(label: str, names: Sequence[str]) -> str:
    folded = {name.casefold(): name for name in names}
    close = difflib.get_close_matches(label.casefold(), folded, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {folded[close[0]]!r}?"
    return f" of {len(names)} classes ({', '.join(names[:5])}{', …' if len(names) > 5 else ''})"


def _checked_names(names: Sequence[str], where: str) -> tuple[str, ...]:
    if not names:
        raise DataError(f"{where}: no class names")
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DataError(f"{where}: class {name!r} is listed twice")
        seen.add(name)
    return tuple(names)


def split_index(index: ClipIndex, fraction: float, seed: int) -> tuple[ClipIndex, ClipIndex]:
    """Hold out a share of the clips, stratified by class, with groups kept together.

    Clips without a group are groups of their own. Of many random divisions into whole groups the
    one is taken that comes closest to the share in every class.

    Args:
        index: The clips.
        fraction: Share to hold out, above 0 and below 1.
        seed: The same seed gives the same parts.

    Returns:
        The rest and the held-out part, each with the clips in their old order and with at least
        one clip of every class that has clips.

    Raises:
        DataError: If a class has fewer than two groups, or the groups are shared between classes
            so that no such division is found.
    """
    if not 0 < fraction < 1:
        raise DataError(f"the share to hold out must be above 0 and below 1, not {fraction}")
    members: dict[str, list[int]] = defaultdict(list)
    for i, clip in enumerate(index.clips):
        members[f"group {clip.group}" if clip.group is not None else f"clip {i}"].append(i)
    groups = [Counter(index.clips[i].label for i in rows) for rows in members.values()]
    _check_groups(index, groups)
    held = _choose_groups(groups, index.counts(), fraction, seed)
    if held is None:
        raise DataError(
            f"{index.source}: the groups are shared between classes so that no part can be held "
            "out with clips of every class on both sides; give a split column instead"
        )
    rows_held = {i for g, rows in enumerate(members.values()) if g in held for i in rows}
    rest = tuple(clip for i, clip in enumerate(index.clips) if i not in rows_held)
    out = tuple(clip for i, clip in enumerate(index.clips) if i in rows_held)
    return dataclasses.replace(index, clips=rest), dataclasses.replace(index, clips=out)


def _check_groups(index: ClipIndex, groups: list[Counter[int]]) -> None:
    of_class = Counter(label for group in groups for label in group)
    for label, clips in enumerate(index.counts()):
        if clips and of_class[label] < 2:
            what = "only one clip" if clips == 1 else "all its clips in one group"
            raise DataError(
                f"{index.source}: class {index.class_names[label]!r} has {what}, so nothing of it "
                "can be held out; add clips or give a split column"
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
