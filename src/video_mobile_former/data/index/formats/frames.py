"""Videos given as folders of pictures: ``root/<class>/<clip>/img_00001.jpg``."""

from __future__ import annotations

from collections.abc import Iterator

from ....errors import DataError
from ..clip import Clip
from ..listing import SPLIT_NAMES
from ..source import DataSource, Faults
from .videos import Videos


def frames_rows(source: DataSource, faults: Faults) -> Iterator[Clip[str]]:
    """Yield the frame folders of a folder of class folders, or of train, val and test folders.

    Frame folders may lie deeper inside a class folder. The names of the pictures do not matter.

    Raises:
        DataError: If there is no frame folder, or pictures lie in a class folder itself.
    """
    root = source.folder
    videos = Videos(root)
    found = videos.frame_folders()
    if not found:
        raise DataError(
            f"{root}: no folders of pictures in it; expected {root.name}/<class>/<clip>/00001.jpg"
        )
    tops = {path.partition("/")[0] for path in found}
    splits = {top: SPLIT_NAMES[top.lower()] for top in tops if top.lower() in SPLIT_NAMES}
    if splits and len(splits) < len(tops):
        other = min(tops - set(splits))
        raise DataError(
            f"{root}: {min(splits)!r} is the name of a split but {other!r} is not; "
            "use either only split folders or only class folders"
        )
    for path in found:
        top, _, rest = path.partition("/")
        label = rest.partition("/")[0] if splits else top
        inner = rest.partition("/")[2] if splits else rest
        if not label or not inner:
            faults.add(
                "malformed",
                f"{root}/{path}",
                "pictures lie in a class folder itself; give each clip a folder of its own",
                path,
            )
            continue
        full = videos.absolute(path)
        yield Clip(full, (label,), path, full, split=splits.get(top))
