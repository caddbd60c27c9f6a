"""What annotation tools export of labelled stretches of video: CVAT, Label Studio, VIA 3.

CVAT ("CVAT for video 1.1", XML; "Datumaro", JSON) and the timelines of Label Studio count frames:
their times are those of the frames in the file. Sources: https://docs.cvat.ai/docs/manual/advanced/
xml_format, https://labelstud.io/tags/timelinelabels, https://www.robots.ox.ac.uk/~vgg/software/via.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from ....errors import DataError, VideoError
from ...video.reader import VideoReader
from ..clip import Clip
from ..listing import read_text
from ..source import DataSource, Faults
from .intervals import Interval, clips_of
from .tables import find_lists, read_json, split_of
from .videos import Videos, without_ending

_UPLOAD = re.compile(r"[0-9a-f]{8}-(.+)")
"""What Label Studio puts before the name of an uploaded file."""
_ENTITY = re.compile(r"<!(?:DOCTYPE|ENTITY)", re.IGNORECASE)


class _Files:
    """Videos by the names that tools write, and the times of their frames."""

    def __init__(self, source: DataSource):
        self.videos = Videos(source.folder)
        self._times: dict[str, Any] = {}

    def place(self, name: str) -> str:
        stem = without_ending(name.partition("?")[0])
        upload = _UPLOAD.fullmatch(stem)
        found = self.videos.find(stem, *([upload[1]] if upload else []))
        return found or name

    def only(self, listing: Path) -> str:
        """The one video, where an export does not name it."""
        paths = self.videos.paths()
        named = self.videos.find(listing.stem)
        if named is None and len(paths) != 1:
            raise DataError(
                f"{listing}: names no video; name the file as the video, or keep both in a folder "
                "of their own"
            )
        return named or paths[0]

    def interval(
        self, place: str, label: str, first: int, last: int, listing: Path, line: int = 0
    ) -> Interval:
        """An event from the begin of frame ``first`` to the end of frame ``last``, from 0.

        Raises:
            ValueError: If the video has no such frames or cannot be read.
        """
        path = self.videos.absolute(place)
        times = self._times.get(path)
        if times is None:
            try:
                with VideoReader(path) as reader:
                    times = self._times[path] = reader.timestamps()
            except VideoError as error:
                raise ValueError(f"times of its frames: {error.reason}") from error
        if not 0 <= first <= last or first >= len(times):
            raise ValueError(f"frames {first} to {last} of {len(times)}")
        step = (times[-1] - times[0]) / max(1, len(times) - 1)
        after = times[last + 1] if last + 1 < len(times) else times[-1] + step
        start, end = float(times[first]), float(after)
        split = split_of(listing.name)
        return Interval(path, place, label, start, end, str(listing), line, split)


# CVAT


def cvat_rows(source: DataSource, faults: Faults) -> Iterator[Clip[str]]:
    """Yield the videos of CVAT's exports; an event is a track while it is not outside.

    Raises:
        DataError: If there is no export, or it is of another form.
    """
    expected = "export of CVAT (CVAT for video 1.1, XML, or Datumaro, JSON)"
    files = _Files(source)
    for path in find_lists(source, r".*\.(xml|json)", expected).values():
        read = _datumaro if path.suffix.lower() == ".json" else _cvat_xml
        yield from clips_of(read(path, files, faults), faults)


def _cvat_xml(path: Path, files: _Files, faults: Faults) -> Iterator[Interval]:
    text = read_text(path, "CVAT's XML")
    if _ENTITY.search(text[:4096]):
        raise DataError(f"{path}: declares entities, which CVAT's exports do not")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise DataError(f"{path}:{error.position[0]}: not XML: {error}") from error
    if root.tag != "annotations":
        raise DataError(f"{path}: <{root.tag}> where CVAT's export has <annotations>")
    tasks = [task for tag in ("task", "job") for task in root.iter(tag)]
    sources = {t.findtext("id", ""): t.findtext("source", "") for t in tasks}
    steps = {t.findtext("id", ""): _step(t) for t in tasks}
    whole = next((name for name in sources.values() if name), root.findtext(".//source") or "")
    first_id = next(iter(sources), "")
    for track in root.iter("track"):
        task = track.get("task_id", first_id)
        name = sources.get(task) or whole
        place = files.place(name) if name else files.only(path)
        label = (track.get("label") or "").strip()
        start, step = steps.get(task, (0, 1))
        for first, last in _shown(track):
            try:
                if not label:
                    raise ValueError("a track without a label")
                yield files.interval(place, label, start + first * step, start + last * step, path)
            except ValueError as error:
                faults.add("malformed", str(path), f"track {track.get('id')}: {error}", place)


def _step(task: ElementTree.Element) -> tuple[int, int]:
    """First frame of a task, and frames of the file for each of its own."""
    match = re.search(r"step\s*=\s*(\d+)", task.findtext("frame_filter", ""))
    start = task.findtext("start_frame", "0").strip()
    if match is None:  # without steps, frames of a task count from the begin of the file
        return 0, 1
    return int(start) if start.isdecimal() else 0, int(match[1])


def _shown(track: ElementTree.Element) -> Iterator[tuple[int, int]]:
    """First and last frame of each stretch in which a track is to be seen."""
    shapes = sorted(
        (int(s.get("frame", "-1")), s.get("outside") == "1") for s in track if s.get("frame")
    )
    begin: int | None = None
    last = -1
    for frame, outside in shapes:
        if outside and begin is not None:
            yield begin, max(begin, frame - 1)
            begin = None
        elif not outside and begin is None:
            begin = frame
        last = frame
    if begin is not None:
        yield begin, last


def _datumaro(path: Path, files: _Files, faults: Faults) -> Iterator[Interval]:
    value = read_json(path, "Datumaro's JSON")
    try:
        names = [one["name"] for one in value["categories"]["label"]["labels"]]
        items = value["items"]
        frames: dict[str, set[int]] = {}
        for item in items:
            number = item.get("attr", {}).get("frame")
            if number is None:
                number = re.findall(r"\d+", item["id"])[-1]
            for annotation in item.get("annotations", []):
                frames.setdefault(names[annotation["label_id"]], set()).add(int(number))
    except (KeyError, TypeError, IndexError, ValueError, AttributeError) as error:
        raise DataError(f"{path}: not Datumaro's JSON of a video: {error!r:.80}") from error
    place = files.only(path)
    for label, numbers in frames.items():
        for first, last in _stretches(sorted(numbers)):
            try:
                yield files.interval(place, label, first, last, path)
            except ValueError as error:
                faults.add("malformed", str(path), f"{label}: {error}", place)


def _stretches(numbers: list[int]) -> Iterator[tuple[int, int]]:
    first = last = numbers[0]
    for number in numbers[1:]:
        if number > last + 1:
            yield first, last
            first = number
        last = number
    yield first, last


# Label Studio


def label_studio_rows(source: DataSource, faults: Faults) -> Iterator[Clip[str]]:
    """Yield the videos of Label Studio's JSON or JSON-MIN: timeline labels, which count frames
    from 1, and labels of audio beside a video, which are in seconds.

    Raises:
        DataError: If there is no export, or it is of another form.
    """
    files = _Files(source)
    for path in find_lists(source, r".*\.json", "Label Studio's JSON").values():
        value = read_json(path, "Label Studio's JSON")
        tasks = value if isinstance(value, list) else [value]
        if not all(isinstance(task, dict) for task in tasks):
            raise DataError(f"{path}: not Label Studio's JSON, a list of tasks")
        yield from clips_of(_tasks(tasks, path, files, faults), faults)


def _tasks(
    tasks: Iterable[dict[str, Any]], path: Path, files: _Files, faults: Faults
) -> Iterator[Interval]:
    for number, task in enumerate(tasks, start=1):
        data = task.get("data", task)
        name = next(
            (data[key] for key in ("video", "video_url", "url") if isinstance(data.get(key), str)),
            next((v for v in data.values() if isinstance(v, str) and _is_file(v)), ""),
        )
        if not name:
            faults.add("malformed", str(path), f"task {number} names no video in its data")
            continue
        place = files.place(name)
        yield Interval(
            files.videos.absolute(place), place, "", 0.0, 0.0, str(path), 0, split_of(path.name)
        )
        for value in _values(task):
            try:
                yield from _of_value(value, place, path, files)
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                faults.add("malformed", str(path), f"task {number}: {error}", place)


def _is_file(text: str) -> bool:
    return without_ending(text.partition("?")[0]) != text.partition("?")[0].rpartition("/")[2]


def _values(task: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What was labelled: of all annotations that were not cancelled, or of JSON-MIN."""
    if "annotations" in task or "completions" in task:
        for annotation in task.get("annotations") or task.get("completions") or []:
            if isinstance(annotation, dict) and not annotation.get("was_cancelled"):
                for result in annotation.get("result") or []:
                    if isinstance(result.get("value"), dict):
                        yield result["value"]
        return
    for entries in task.values():
        if isinstance(entries, list):
            yield from (entry for entry in entries if isinstance(entry, dict))


def _of_value(value: dict[str, Any], place: str, path: Path, files: _Files) -> Iterator[Interval]:
    labels = value.get("timelinelabels") or value.get("labels") or []
    for label in map(str, labels):
        for part in value.get("ranges") or []:
            yield files.interval(place, label, int(part["start"]) - 1, int(part["end"]) - 1, path)
        if "start" in value and "end" in value:
            times = float(value["start"]), float(value["end"])
            full, split = files.videos.absolute(place), split_of(path.name)
            yield Interval(full, place, label, *times, str(path), 0, split)


# VIA


def via_rows(source: DataSource, faults: Faults) -> Iterator[Clip[str]]:
    """Yield the videos of projects (JSON) or CSV exports of VIA 3; a label is what stands in the
    attribute of a temporal segment, for choices the words of the choice.

    Raises:
        DataError: If there is none, or it is of another form.
    """
    files = _Files(source)
    for path in find_lists(source, r".*\.(json|csv)", "project or CSV of VIA 3").values():
        read = _via_csv if path.suffix.lower() == ".csv" else _via_project
        yield from clips_of(read(path, files, faults), faults)


def _via_project(path: Path, files: _Files, faults: Faults) -> Iterator[Interval]:
    value = read_json(path, "a project of VIA 3")
    try:
        names = {str(one["fid"]): str(one["fname"]) for one in value["file"].values()}
        views = {key: [str(f) for f in view["fid_list"]] for key, view in value["view"].items()}
        options = {key: one.get("options") or {} for key, one in value["attribute"].items()}
        for key, entry in value["metadata"].items():
            for fid in views[str(entry["vid"])]:
                yield from _segments(
                    entry["z"], entry["av"], options, names[fid], files, path, key, faults
                )
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: not a project of VIA 3: {error!r:.80}") from error


def _via_csv(path: Path, files: _Files, faults: Faults) -> Iterator[Interval]:
    lines = read_text(path, "VIA's CSV").splitlines()
    said = [line for line in lines if line.startswith("#")]
    header = next((line.partition("=")[2] for line in said if "CSV_HEADER" in line), "")
    columns = [name.strip() for name in header.split(",")]
    needed = ("file_list", "temporal_coordinates", "metadata")
    if any(name not in columns for name in needed):
        raise DataError(f"{path}: not a CSV of VIA 3: no CSV_HEADER with {', '.join(needed)}")
    options: dict[str, dict[str, str]] = {}
    attributes = next((text for text in said if "ATTRIBUTE" in text), "")
    if "=" in attributes:
        try:
            told = json.loads(attributes.partition("=")[2])
            options = {key: one.get("options") or {} for key, one in told.items()}
        except (ValueError, AttributeError):
            options = {}
    body = io.StringIO("\n".join(line for line in lines if not line.startswith("#")))
    for row in csv.reader(body):
        if not row:
            continue
        try:
            values = dict(zip(columns, row, strict=True))
            times, told = json.loads(values["temporal_coordinates"]), json.loads(values["metadata"])
            names = json.loads(values["file_list"])
        except ValueError:
            faults.add("malformed", str(path), f"a line that is none of VIA's: {row[0]!r:.60}")
            continue
        for name in names:
            yield from _segments(times, told, options, str(name), files, path, row[0], faults)


def _segments(
    times: Any,
    told: dict[str, Any],
    options: dict[str, dict[str, str]],
    name: str,
    files: _Files,
    path: Path,
    key: str,
    faults: Faults,
) -> Iterator[Interval]:
    """The events of one entry of metadata; none where it is no stretch of time."""
    if not isinstance(times, list) or len(times) != 2:
        return
    place = files.place(name)
    for attribute, value in told.items():
        for choice in str(value).split(",") if options.get(attribute) else [str(value)]:
            label = str(options.get(attribute, {}).get(choice, choice)).strip()
            if not label:
                faults.add("malformed", str(path), f"{key}: a segment without a label", place)
                continue
            start, end = float(times[0]), float(times[1])
            full, split = files.videos.absolute(place), split_of(path.name)
            yield Interval(full, place, label, start, end, str(path), 0, split)
