"""Events as files that other tools read: tables, subtitles, ELAN, ActivityNet."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from ..errors import UserError
from ..text import csv_line, encodable, list_label, list_path
from .find import FileEvents, FoundEvent

CSV_HEADER = "path,label,start_seconds,end_seconds,score"


@dataclass(frozen=True)
class EventFormat:
    """One way to write events."""

    summary: str
    suffix: str
    write: Callable[[Sequence[FileEvents]], str]
    """Text of one file; where ``each``, of one video."""
    each: bool = False
    """A file of its own for each video."""


def _csv(files: Sequence[FileEvents]) -> str:
    tracked = any(e.track is not None for file in files for e in file.events)
    lines = [CSV_HEADER + (",track" if tracked else "") + "\n"]
    for file in files:
        for e in file.events:
            times = (f"{e.start_seconds:.3f}", f"{e.end_seconds:.3f}")
            names = encodable(list_path(file.path)), encodable(list_label(e.label))
            track = ["" if e.track is None else e.track] if tracked else []
            lines.append(csv_line([*names, *times, f"{e.score:.6f}", *track]))
    return "".join(lines)


def _json_lines(files: Sequence[FileEvents]) -> str:
    lines = []
    for file in files:
        value = file.to_dict()
        for event in value.get("events", [value]):
            lines.append(json.dumps({"path": value["path"], **event}, ensure_ascii=False))
    return "".join(f"{line}\n" for line in lines)


def _cue_text(event: FoundEvent) -> str:
    """One line, as a blank line would end the cue."""
    return " ".join(encodable(event.name).split()) + f" ({100 * event.score:.0f} %)"


def _clock(seconds: float, mark: str) -> str:
    whole = round(1000 * seconds)
    hours, rest = divmod(whole, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    return f"{hours:02}:{minutes:02}:{rest // 1000:02}{mark}{rest % 1000:03}"


def _srt(files: Sequence[FileEvents]) -> str:
    cues = [
        f"{number}\n{_clock(e.start_seconds, ',')} --> {_clock(e.end_seconds, ',')}\n"
        f"{_cue_text(e).replace('-->', '->')}\n"
        for number, e in enumerate((e for file in files for e in file.events), start=1)
    ]
    return "\n".join(cues)


def _vtt(files: Sequence[FileEvents]) -> str:
    cues = ["WEBVTT\n"]
    for e in (e for file in files for e in file.events):
        text = _cue_text(e).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        times = f"{_clock(e.start_seconds, '.')} --> {_clock(e.end_seconds, '.')}"
        cues.append(f"{times}\n{text}\n")
    return "\n".join(cues)


def _elan(files: Sequence[FileEvents]) -> str:
    (file,) = files
    root = ElementTree.Element(
        "ANNOTATION_DOCUMENT",
        {
            "AUTHOR": "vmf find",
            "DATE": "1970-01-01T00:00:00+00:00",
            "FORMAT": "3.0",
            "VERSION": "3.0",
            "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
            "xsi:noNamespaceSchemaLocation": "http://www.mpi.nl/tools/elan/EAFv3.0.xsd",
        },
    )
    head = ElementTree.SubElement(root, "HEADER", {"MEDIA_FILE": "", "TIME_UNITS": "milliseconds"})
    is_local = "://" not in file.path
    url = Path(file.path).resolve().as_uri() if is_local else file.path
    ElementTree.SubElement(
        head, "MEDIA_DESCRIPTOR", {"MEDIA_URL": encodable(url), "MIME_TYPE": "video/*"}
    )
    order = ElementTree.SubElement(root, "TIME_ORDER")
    slots = 0
    numbers = 0
    for label in sorted({event.label for event in file.events}):
        tier = ElementTree.SubElement(
            root, "TIER", {"LINGUISTIC_TYPE_REF": "event", "TIER_ID": _xml_text(label)}
        )
        for event in (event for event in file.events if event.label == label):
            start = round(1000 * event.start_seconds)
            times = (start, max(start + 1, round(1000 * event.end_seconds)))
            names = []
            for time in times:
                slots += 1
                names.append(f"ts{slots}")
                ElementTree.SubElement(
                    order, "TIME_SLOT", {"TIME_SLOT_ID": names[-1], "TIME_VALUE": str(time)}
                )
            numbers += 1
            annotation = ElementTree.SubElement(
                ElementTree.SubElement(tier, "ANNOTATION"),
                "ALIGNABLE_ANNOTATION",
                {
                    "ANNOTATION_ID": f"a{numbers}",
                    "TIME_SLOT_REF1": names[0],
                    "TIME_SLOT_REF2": names[1],
                },
            )
            value = ElementTree.SubElement(annotation, "ANNOTATION_VALUE")
            value.text = f"{_xml_text(event.name)} ({100 * event.score:.0f} %)"
    ElementTree.SubElement(
        root,
        "LINGUISTIC_TYPE",
        {"GRAPHIC_REFERENCES": "false", "LINGUISTIC_TYPE_ID": "event", "TIME_ALIGNABLE": "true"},
    )
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _xml_text(text: str) -> str:
    """Without the characters that XML cannot hold."""
    kept = "".join(c if c.isprintable() else " " for c in encodable(text))
    return " ".join(kept.split()) or "(no name)"


def _activitynet(files: Sequence[FileEvents]) -> str:
    stems = Counter(Path(file.path).stem for file in files)
    results = {}
    for file in files:
        stem = Path(file.path).stem
        results[encodable(stem if stems[stem] == 1 else file.path)] = [
            {
                "label": encodable(e.label),
                "score": round(e.score, 6),
                "segment": [round(e.start_seconds, 3), round(e.end_seconds, 3)],
                **({} if e.track is None else {"track": e.track}),
            }
            for e in file.events
        ]
    value = {"version": "VERSION 1.3", "results": results, "external_data": {"used": False}}
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


EVENT_FORMATS: dict[str, EventFormat] = {
    "csv": EventFormat("one line an event, also a list for vmf train", ".csv", _csv),
    "jsonl": EventFormat("one JSON object an event", ".jsonl", _json_lines),
    "srt": EventFormat("subtitles", ".srt", _srt, each=True),
    "vtt": EventFormat("WebVTT subtitles", ".vtt", _vtt, each=True),
    "elan": EventFormat("ELAN, a tier a class", ".eaf", _elan, each=True),
    "activitynet": EventFormat("ActivityNet results", ".json", _activitynet),
}
"""Every format under the name that ``--format`` takes."""


def event_format(out: str | Path, name: str | None) -> EventFormat:
    """The format of a file by its name, or by the ending of the file.

    Raises:
        UserError: If neither tells.
    """
    if name is not None:
        return EVENT_FORMATS[name]
    suffix = Path(out).suffix.lower()
    for known in EVENT_FORMATS.values():
        if known.suffix == suffix:
            return known
    raise UserError(
        f"--out {out}: the ending names no format; give --format {', '.join(EVENT_FORMATS)}"
    )


def places_of_files(out: Path, paths: Sequence[str], suffix: str) -> list[Path]:
    """Where the file of each video goes: ``out`` itself for one, if it has the ending; else in
    that folder, in the folders that the videos have in common, by their names.

    Args:
        out: File or folder.
        paths: The videos.
        suffix: Of the files.
    """
    if len(paths) == 1 and out.suffix.lower() == suffix:
        return [out]
    absolute = [Path(path) if "://" in path else Path(path).absolute() for path in paths]
    parents = [path.parent.parts for path in absolute]
    common = 0
    while all(len(p) > common and p[common] == parents[0][common] for p in parents):
        common += 1
    inner = [out.joinpath(*path.parts[common:]) for path in absolute]
    stems = Counter(path.with_suffix("") for path in inner)
    return [
        path.with_name((path.stem if stems[path.with_suffix("")] == 1 else path.name) + suffix)
        for path in inner
    ]
