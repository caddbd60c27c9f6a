"""Facts about one video file, stored between runs of a check."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ...errors import UserError
from ...files import atomic_path
from ..byte_ranges import is_url

FACTS_FORMAT = 3
"""Raised whenever the same file would give other facts; files are then read again."""


class FileKey(NamedTuple):
    """Identity of the bytes; other bytes under the same name give another key."""

    path: str
    """Absolute path or URL."""
    offset: int
    """First byte of the video inside the file."""
    size: int
    """Bytes of the video; -1 where unknown (a URL, a missing file)."""
    modified: int
    """Nanoseconds; for a folder of pictures that of the newest; -1 where unknown."""


@dataclass(frozen=True)
class FileTask:
    """A file to read, and how thoroughly."""

    key: FileKey
    in_archive: bool = False
    """The video is a range of bytes in the file."""
    full: bool = True
    """Decode every frame; otherwise headers, packets and one frame."""
    thumbnail: bool = False
    """Keep a thumbnail of its middle frame."""
    moving: bool = False
    """Keep a small clip of it too, if every frame is decoded."""
    memory_limit_mb: float = 2048.0
    """Most memory that reading it may take, in MiB."""
    sniff: bool = False
    """Only test whether it is a video; if not, the fault is ``"not a video"``."""


@dataclass(frozen=True)
class FileFacts:
    """The facts of one file. If it could not be read, ``fault`` gives the reason and the rest is
    what was found before."""

    key: FileKey
    full: bool
    """Every frame was decoded."""
    sniffed: bool = False
    """Only tested whether it is a video; ``fault`` is the only fact."""
    fault: str = ""
    """A kind from ``problems.KINDS`` that makes the file unusable; empty if it can be read."""
    reason: str = ""
    """One phrase about the fault."""
    container: str = ""
    """FFmpeg's names for the file format."""
    codec: str = ""
    pixel_format: str = ""
    bits: int = 0
    """Bits per colour component."""
    transfer: str = ""
    """``"PQ"`` or ``"HLG"`` for high dynamic range, else empty."""
    wide_gamut: bool = False
    """BT.2020 colours."""
    width: int = 0
    """Pixels, as shown."""
    height: int = 0
    """Pixels, as shown."""
    rotation: int = 0
    """Degrees anticlockwise by which a player turns the pictures."""
    pixel_shape: float = 1.0
    """Width of a pixel, as it is stored, over its height."""
    picture_sizes: int = 0
    """Number of distinct frame sizes in the stream."""
    header_frames: int = 0
    """Frames according to the header; 0 where it does not say."""
    frames: int = 0
    """Frames according to the packets."""
    decoded: int = 0
    """Decoded frames."""
    corrupt: int = 0
    """Decoded frames in which the decoder concealed errors."""
    unreadable: int = 0
    """Packets that the decoder refused."""
    clock: str = ""
    """What is wrong with its time stamps and was repaired; empty where nothing is."""
    header_seconds: float = 0.0
    """Length of the video stream according to the header; 0 where it does not say."""
    first_seconds: float = 0.0
    """Time of the first frame."""
    duration_seconds: float = 0.0
    """From the first frame to the end of the last."""
    step_seconds: float = 0.0
    """The usual time from frame to frame (median)."""
    longest_step_seconds: float = 0.0
    irregular_steps: int = 0
    """Steps that differ from the usual one by more than a fifth."""
    sha256: str = ""
    """Of the bytes."""
    signature: str = ""
    """Base64 of ``content.signature``; empty where not all frames were decoded."""
    thumbnail: str = ""
    """Base64 of a JPEG file."""
    moving: str = ""
    """Base64 of an animated WebP file."""

    @property
    def frame_rate(self) -> float:
        """Frames per second on average; 0 for a single picture."""
        return self.frames / self.duration_seconds if self.duration_seconds > 0 else 0.0

    @property
    def short_side(self) -> int:
        """Pixels of the short side."""
        return min(self.width, self.height)

    def answers(self, task: FileTask) -> bool:
        """Whether these facts make reading the file again unnecessary.

        A failure that may be temporary (no permission, a timeout, a crash) never does.
        """
        same = self.key == task.key and self.sniffed == task.sniff
        return same and (self.full or not task.full) and self.fault not in PASSING_FAULTS

    def to_json(self) -> dict[str, Any]:
        """Plain values, without those at their default."""
        values = dataclasses.asdict(self)
        default = {field.name: field.default for field in dataclasses.fields(self)}
        short = {name: value for name, value in values.items() if value != default[name]}
        return {"format": FACTS_FORMAT, **short, "key": list(self.key)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> FileFacts | None:
        """Rebuild from :meth:`to_json`; None where another version wrote it."""
        if value.get("format") != FACTS_FORMAT:
            return None
        fields = {name: item for name, item in value.items() if name != "format"}
        try:
            return cls(**{**fields, "key": FileKey(*fields["key"])})
        except (TypeError, KeyError):
            return None


PASSING_FAULTS = frozenset({"no permission", "too slow", "too large", "crash", "cannot be read"})
"""Faults that may disappear although the file is the same."""


def file_key(path: str, offset: int | None = None, size: int | None = None) -> FileKey:
    """The identity of the bytes of a video now.

    Args:
        path: A file, a folder of pictures, or a URL.
        offset: First byte of the video inside the file, where the file has several.
        size: Bytes of the video inside the file.
    """
    length, modified = (-1, -1) if is_url(path) else _stat(path)
    return FileKey(path, offset or 0, length if size is None else size, modified)


def _stat(path: str) -> tuple[int, int]:
    try:
        status = Path(path).stat()
        if not Path(path).is_dir():
            return status.st_size, status.st_mtime_ns
        with os.scandir(path) as entries:
            pictures = [entry.stat() for entry in entries if entry.is_file()]
    except (OSError, ValueError):  # missing, not permitted, or a null character in the name
        return -1, -1
    newest = max([status.st_mtime_ns, *(picture.st_mtime_ns for picture in pictures)])
    return sum(picture.st_size for picture in pictures), newest


FACTS_NAME = "facts.jsonl"

_Place = tuple[str, int]  # path and offset


class FactsStore:
    """Keeps the facts of a check in a folder; a context manager.

    Args:
        folder: Created where it is missing.

    Raises:
        UserError: If the folder cannot be written.
    """

    def __init__(self, folder: Path):
        self.path = folder / FACTS_NAME
        self._known: dict[_Place, FileFacts] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._read()
            self._file = self.path.open("a", encoding="ascii")
        except OSError as error:
            raise UserError(f"cannot write {self.path}: {error.strerror or error}") from error

    def __enter__(self) -> FactsStore:
        return self

    def __exit__(self, *raised: object) -> None:
        self._file.close()

    def find(self, task: FileTask) -> FileFacts | None:
        """Facts of an earlier run that make this task unnecessary."""
        facts = self._known.get((task.key.path, task.key.offset))
        return facts if facts is not None and facts.answers(task) else None

    def add(self, facts: FileFacts) -> None:
        """Store facts; they are flushed to the system when this returns.

        Raises:
            UserError: If the disk is full.
        """
        self._known[facts.key.path, facts.key.offset] = facts
        try:
            self._file.write(_line(facts))
            self._file.flush()
        except OSError as error:
            raise UserError(f"cannot write {self.path}: {error.strerror or error}") from error

    def keep_only(self, wanted: list[FileFacts]) -> None:
        """Rewrite the file with only these facts, all or nothing, and close it."""
        self._file.close()
        with (
            atomic_path(self.path) as temporary,
            temporary.open("w", encoding="ascii") as file,
        ):
            file.writelines(map(_line, wanted))

    def _read(self) -> None:
        if not self.path.exists():
            return
        data = self.path.read_bytes()
        whole = data.rfind(b"\n") + 1
        for line in data[:whole].splitlines():
            try:
                value = json.loads(line)
            except ValueError:
                continue  # a line may be damaged after a power cut
            facts = FileFacts.from_json(value) if isinstance(value, dict) else None
            if facts is not None:
                self._known[facts.key.path, facts.key.offset] = facts
        if whole < len(data):
            with self.path.open("r+b") as file:
                file.truncate(whole)


def _line(facts: FileFacts) -> str:
    # ASCII: names that are not UTF-8 contain characters that need escapes.
    return json.dumps(facts.to_json(), separators=(",", ":"), allow_nan=False) + "\n"
