"""Finding clips in a folder of class folders, and which files of a folder are clips."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ...console import say
from ...errors import DataError
from ..suffixes import VIDEO_SUFFIXES
from .clip import Clip
from .listing import SPLIT_NAMES
from .source import DataSource, Faults


def folder_rows(source: DataSource, faults: Faults) -> Iterator[Clip[str]]:
    """Yield the clips of a folder of class folders, or of train, val and test folders of them.

    Hidden files are passed over; so are, with a note, files without the ending of a video, and
    videos that lie beside the class folders and so have no class.

    Raises:
        DataError: If there is no class folder, or one without a clip.
    """
    root = Path(source.place)
    folders = _subfolders(root)
    if not folders:
        raise DataError(
            f"{root}: no class folders in it; expected {root.name}/<class>/<clip>.mp4 "
            "or a CSV file with the columns path,label"
        )
    in_splits = [folder for folder in folders if folder.name.lower() in SPLIT_NAMES]
    if in_splits and len(in_splits) < len(folders):
        other = next(folder.name for folder in folders if folder not in in_splits)
        raise DataError(
            f"{root}: {in_splits[0].name!r} is the name of a split but {other!r} is not; "
            "use either only split folders or only class folders"
        )
    ignored: list[Path] = []
    beside = [video for place in (root, *in_splits) for video in _videos_in(place)]
    if in_splits:
        for folder in in_splits:
            split = SPLIT_NAMES[folder.name.lower()]
            classes = _subfolders(folder)
            if not classes:
                faults.add("empty", str(folder), "no class folders in it")
            for class_folder in classes:
                yield from _read_class(root, class_folder, split, ignored, faults)
    else:
        for class_folder in folders:
            yield from _read_class(root, class_folder, None, ignored, faults)
    faults.passed_over += [
        (str(p.absolute()), p.relative_to(root).as_posix()) for p in (*ignored, *beside)
    ]
    if beside:
        what = "videos lie beside the class folders, have no class and are left out"
        if len(beside) == 1:
            what = "video lies beside the class folders, has no class and is left out"
        names = ", ".join(path.relative_to(root).as_posix() for path in beside[:3])
        more = f" and {len(beside) - 3} more" if len(beside) > 3 else ""
        say(f"{root}: {len(beside)} {what}: {names}{more}")
    if ignored:
        endings = sorted({path.suffix.lower() or path.name for path in ignored})
        what = "files are no videos by their ending and are ignored"
        if len(ignored) == 1:
            what = "file is no video by its ending and is ignored"
        say(f"{root}: {len(ignored)} {what}: {', '.join(endings[:8])}")


def _read_class(
    root: Path, folder: Path, split: str | None, ignored: list[Path], faults: Faults
) -> list[Clip[str]]:
    found = _files(str(folder), links=Links(str(folder)))
    files = sorted(found, key=lambda name: name.split(os.sep))  # noqa: PTH206 - faster
    endings = [os.path.splitext(name)[1].lower() for name in files]  # noqa: PTH122 - as below
    videos = [n for n, end in zip(files, endings, strict=True) if end in VIDEO_SUFFIXES]
    ignored += [
        folder / n for n, end in zip(files, endings, strict=True) if end not in VIDEO_SUFFIXES
    ]
    if not videos:
        what = "file" if len(files) == 1 else "files"
        faults.add(
            "empty class",
            str(folder),
            f"class {folder.name!r} has no clips"
            + (f" ({len(files)} {what}, none a video by its ending)" if files else "")
            + "; add some or remove the folder",
        )
    # Strings, not paths: there may be hundreds of thousands.
    labels = (folder.name,)
    below_root = folder.relative_to(root).as_posix()
    head, absolute = str(folder), str(folder.absolute())
    return [
        Clip(
            path=f"{absolute}{os.sep}{name}",
            labels=labels,
            name=f"{below_root}/{name.replace(os.sep, '/')}",
            listing=f"{head}{os.sep}{name}",
            split=split,
        )
        for name in videos
    ]


def _files(folder: str, below: str = "", *, links: Links) -> Iterator[str]:
    """The files of a folder and its subfolders, relative to it, without hidden ones."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                if links.leads_on(entry):
                    yield from _files(entry.path, f"{below}{entry.name}{os.sep}", links=links)
            elif entry.is_file():
                yield below + entry.name
            elif entry.is_symlink():
                say(f"{entry.path}: a link to {Path(entry.path).readlink()}, which is not there")


class Links:
    """Follows links to folders, each folder once.

    Args:
        root: The folder that is walked through.
    """

    def __init__(self, root: str):
        self._seen = {os.path.realpath(root)}

    def leads_on(self, entry: os.DirEntry[str]) -> bool:
        """Whether a folder is to be walked through: no link to one that was, or that holds it."""
        if not entry.is_symlink():
            return True
        target, holder = os.path.realpath(entry.path), Path(entry.path).parent.resolve()
        if target in self._seen or Path(target) in (holder, *holder.parents):
            return False
        self._seen.add(target)
        return True


def _subfolders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _videos_in(folder: Path) -> list[Path]:
    """The videos of a folder itself."""
    found = (p for p in folder.iterdir() if p.suffix.lower() in VIDEO_SUFFIXES and p.is_file())
    return sorted(p for p in found if not p.name.startswith("."))
