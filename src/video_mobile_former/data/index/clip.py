"""The one record of a clip: formats yield it, the index keeps it, samples and batches carry it.

A field is written here and nowhere else. Columns (:mod:`.columns`), shard lists and the JSON beside
a clip in a tar file are made from the fields of this class; see "Adding a field to a clip" in
CONTRIBUTING.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

SPLITS = ("train", "val", "test")

L = TypeVar("L", str, int)
"""How classes are named: by name in what a format yields, by position in an index."""


@dataclass(frozen=True, slots=True)
class Event(Generic[L]):
    """A part of a clip with a class of its own."""

    start_seconds: float
    """Start, on the clock of the file."""
    end_seconds: float
    """End, itself excluded; after ``start_seconds``."""
    label: L

    def __post_init__(self) -> None:
        if not 0 <= self.start_seconds < self.end_seconds < float("inf"):
            raise ValueError(f"an event from {self.start_seconds:g} s to {self.end_seconds:g} s")


# Not frozen: making 300,000 clips would take seconds instead of tenths.
@dataclass(slots=True, unsafe_hash=True)
class Clip(Generic[L]):
    """One labelled video, or a part of one. Read-only: ``dataclasses.replace`` changes a copy."""

    path: str
    """Absolute path of the file (or its URL)."""
    labels: tuple[L, ...] = ()
    """Its class; several or none in a multi-label set."""
    name: str = ""
    """The path as written in the data, for messages and reports."""
    listing: str = field(default="", metadata={"kept": False})
    """File in which it is written. An index does not keep it."""
    line: int = field(default=0, metadata={"kept": False})
    """Line in that file from 1; 0 where it has none. An index does not keep it."""
    split: str | None = field(default=None, metadata={"words": SPLITS})
    """``"train"``, ``"val"``, ``"test"``, or None where the data does not say."""
    group: str | None = None
    """Clips that must stay on one side of a split: same person, scene or source video."""
    start_seconds: float | None = None
    """Start of the part that carries the label; None is the start of the file."""
    end_seconds: float | None = None
    """End of that part, itself excluded; None is the end of the file."""
    offset: int | None = None
    """First byte of the video inside the file, where the file holds several (a tar shard)."""
    size: int | None = None
    """Bytes of the video inside the file; None with ``offset``."""
    events: tuple[Event[L], ...] = ()
    """What happens when, where the data says so."""

    @property
    def label(self) -> L:
        """The class of a clip that has one."""
        return self.labels[0]

    @property
    def where(self) -> str:
        """File and line for messages."""
        return f"{self.listing}:{self.line}" if self.line else self.listing

    @property
    def all_labels(self) -> tuple[L, ...]:
        """Its classes and those of its events."""
        if not self.events:
            return self.labels
        return (*self.labels, *(event.label for event in self.events))


def events_from(clip: Clip[L], seconds: float) -> tuple[Event[L], ...]:
    """The events of a clip on a clock that starts at ``seconds``, without those that are over."""
    return tuple(
        Event(max(0.0, event.start_seconds - seconds), event.end_seconds - seconds, event.label)
        for event in clip.events
        if event.end_seconds > seconds
    )


KEPT = tuple(field for field in dataclasses.fields(Clip) if field.metadata.get("kept", True))
"""The fields of a clip that an index keeps."""
_HINTS = typing.get_type_hints(Clip)


def plain_type(hint: Any) -> Any:
    """``str``, ``int``, ``float``, or ``TypeVar`` for a class; ``None`` as an alternative aside."""
    if isinstance(hint, TypeVar):
        return TypeVar
    if isinstance(hint, types.UnionType):
        return next(part for part in typing.get_args(hint) if part is not types.NoneType)
    return hint


def to_json(clip: Clip[Any], *names: str) -> dict[str, Any]:
    """Fields of a clip as JSON data, without empty optional ones.

    Args:
        clip: The clip.
        names: The fields.
    """
    out: dict[str, Any] = {}
    for name in names:
        value = getattr(clip, name)
        if value is None or (value == () and name != "labels"):
            continue
        if isinstance(value, tuple):
            plain = dataclasses.is_dataclass
            value = [dataclasses.asdict(v) if plain(v) else v for v in value]  # type: ignore[arg-type]
        out[name] = value
    return out


def from_json(value: Mapping[str, Any], labels: type[L], **others: Any) -> Clip[L]:
    """Read the fields that :func:`to_json` wrote.

    Args:
        value: The fields by name; others are ignored, and so is None.
        labels: Type of the classes: ``str`` or ``int``.
        others: Fields that are known already.

    Raises:
        ValueError: If a field is of another type or out of its range; one phrase.
    """
    read = {f.name: f for f in KEPT if value.get(f.name) is not None and f.name not in others}
    return Clip(**{name: reader(name, labels)(value[name]) for name in read}, **others)


@functools.cache
def reader(name: str, labels: type) -> Callable[[Any], Any]:
    """What makes the value of a field from JSON data, None where that is null.

    Args:
        name: Of a field of :class:`Clip`.
        labels: Type of the classes: ``str`` or ``int``.

    Returns:
        A function that raises ValueError, with one phrase, where the data is of another type.
    """
    return _reader(name, _HINTS[name], labels)


def _reader(name: str, hint: Any, labels: type) -> Callable[[Any], Any]:
    kind = typing.get_origin(hint) or hint
    if kind is tuple:
        item = _reader(f"an item of {name}", typing.get_args(hint)[0], labels)

        def read(value: Any) -> Any:
            if not isinstance(value, list | types.NoneType):
                raise ValueError(f"{name} must be a list, not {value!r}")
            return tuple(map(item, value or ()))
    elif kind is Event:
        hints = typing.get_type_hints(Event)
        inner = {key: _reader(key, hints[key], labels) for key in hints}

        def read(value: Any) -> Any:
            if not isinstance(value, dict) or any(value.get(key) is None for key in inner):
                raise ValueError(f"{name} must have {', '.join(inner)}, not {value!r}")
            return Event(**{key: one(value[key]) for key, one in inner.items()})
    else:
        plain = labels if plain_type(hint) is TypeVar else plain_type(hint)
        allowed = (int, float) if plain is float else (plain,)

        def read(value: Any) -> Any:
            if value is None:
                return None
            if type(value) not in allowed:
                raise ValueError(f"{name} must be of type {plain.__name__}, not {value!r}")
            return plain(value)

    return read


def named(clip: Clip[int], names: Sequence[str] | Mapping[int, str]) -> Clip[str]:
    """The same clip with its classes given by name.

    Args:
        clip: A clip of an index.
        names: The classes of the index, or those that the clip has, by their positions.
    """
    return dataclasses.replace(
        clip,  # type: ignore[type-var]
        labels=tuple(names[label] for label in clip.labels),
        events=tuple(dataclasses.replace(e, label=names[e.label]) for e in clip.events),
    )
