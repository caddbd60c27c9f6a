"""Persons while pictures come: who is followed, what is cut out, and the events of each."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from onnx_detectors import write_detector
from video_mobile_former.clip_spec import ClipSpec
from video_mobile_former.data.video.write import write_video
from video_mobile_former.errors import UserError
from video_mobile_former.inference.event_files import EVENT_FORMATS
from video_mobile_former.inference.events import EventSettings
from video_mobile_former.inference.find import EventFinder, FileEvents
from video_mobile_former.inference.persons.boxes import UNTRACKED, Boxes
from video_mobile_former.inference.persons.detector import Detector
from video_mobile_former.inference.persons.follow import (
    MOST_PERSONS,
    DetectingLooker,
    ListedLooker,
    Look,
    PersonChooser,
)
from video_mobile_former.inference.persons.recognise import boxes_of
from video_mobile_former.inference.stream import StreamPredictor

pytest.importorskip("trackforge")
HEIGHT, WIDTH = 192, 256
CELL = (64, 64, 96, 96)
"""What one cell of the detector sees."""
SPEC = ClipSpec.from_dict({"num_frames": 4, "resize_size": 36, "crop_size": 32})


class Told:
    """Says who is where by a table of times."""

    def __init__(self, table: dict[float, dict[int, tuple[float, float, float, float]]]):
        self.table, self.restarts = table, 0

    def look(self, seconds: float, picture: Callable[[], np.ndarray]) -> Look | None:
        found = self.table.get(round(seconds, 3))
        if found is None:
            return None
        return Look(np.array(list(found)), np.array(list(found.values())).reshape(-1, 4))

    def restart(self) -> None:
        self.restarts += 1


def picture_of(level: int, box: tuple[int, int, int, int] = CELL) -> np.ndarray:
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    x1, y1, x2, y2 = box
    picture[y1:y2, x1:x2] = level
    return picture


def shares(box: tuple[int, int, int, int]) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = box
    return x1 / WIDTH, y1 / HEIGHT, x2 / WIDTH, y2 / HEIGHT


def write_scene(path: Path) -> Path:
    """Nobody for a second, somebody light for two, nobody for two; ten pictures a second."""
    levels = [0] * 10 + [250] * 20 + [0] * 20
    write_video(path, [picture_of(level) for level in levels], np.arange(len(levels)) / 10)
    return path


def test_a_square_around_each_person_is_what_the_model_sees() -> None:
    other = (128, 32, 192, 64)
    choose = PersonChooser(
        SPEC, 0.1, 2.0, Told({0.0: {7: shares(CELL), 9: shares(other)}}), margin=0.0
    )
    picture = picture_of(200)
    picture[32:64, 128:192] = 100
    found = {slot.track: slot for slot in choose(0.0, picture)}
    assert set(found) == {7, 9}
    assert found[7].frame.shape == (32, 32, 3)
    # The square is cut at its edge: with no margin the model sees the person and nothing else.
    assert found[7].frame.min() >= 195
    assert found[7].box == pytest.approx(shares(CELL))
    # Twice as wide as high: half of its square is what lies above and below.
    assert found[9].frame.mean() == pytest.approx(50, abs=3)


def test_frames_count_once_the_person_is_seen_again() -> None:
    here = {3: shares(CELL)}
    choose = PersonChooser(SPEC, 0.1, 2.0, Told({0.0: here, 0.3: here}))
    counts = [len(choose(k / 10, picture_of(200))) for k in range(5)]
    assert counts == [1, 0, 0, 3, 0]


def test_who_is_not_seen_for_a_second_is_gone_and_says_so() -> None:
    choose = PersonChooser(SPEC, 0.1, 2.0, Told({0.0: {3: shares(CELL)}}))
    found = [slot for k in range(15) for slot in choose(k / 10, picture_of(200))]
    assert [(slot.track, slot.is_last) for slot in found] == [(3, False), (3, True)]
    assert found[1].seconds == 0.0


def test_nobody_is_known_after_a_gap() -> None:
    told = Told({0.0: {3: shares(CELL)}, 9.0: {4: shares(CELL)}})
    choose = PersonChooser(SPEC, 0.1, 2.0, told)
    choose(0.0, picture_of(200))
    found = choose(9.0, picture_of(200))
    assert told.restarts == 1
    assert [(slot.track, slot.is_last, slot.restart) for slot in found] == [
        (3, True, False),
        (4, False, True),
    ]
    # A picture whose time does not rise is passed over.
    assert choose(8.5, picture_of(200)) == []


def test_a_crowd_is_bounded() -> None:
    crowd = {number: shares(CELL) for number in range(MOST_PERSONS + 5)}
    found = PersonChooser(SPEC, 0.1, 2.0, Told({0.0: crowd}))(0.0, picture_of(200))
    assert {slot.track for slot in found} == set(range(MOST_PERSONS))


def test_a_person_at_the_edge_is_padded_with_it() -> None:
    corner = (0, 0, 32, 32)
    choose = PersonChooser(SPEC, 0.1, 2.0, Told({0.0: {1: shares(corner)}}), margin=0.5)
    (slot,) = choose(0.0, picture_of(200, corner))
    assert slot.frame[:16, :16].min() >= 195


def test_a_detector_gives_new_numbers_after_a_gap(tmp_path: Path) -> None:
    looker = DetectingLooker(Detector(write_detector(tmp_path / "d.onnx", "columns")), rate=10)
    asked = []

    def picture() -> np.ndarray:
        asked.append(1)
        return picture_of(250)

    first = [looker.look(k / 20, picture) for k in range(8)]
    assert len(asked) == 4  # ten a second, of twenty
    assert [look is None for look in first] == [False, True] * 4
    assert first[-2] is not None
    assert first[-2].tracks.tolist() == [1]
    assert first[-2].corners[0] == pytest.approx(shares(CELL), abs=0.01)
    looker.restart()
    later = [looker.look(5 + k / 10, picture) for k in range(3)][-1]
    assert later is not None
    assert later.tracks.tolist() == [2]


def test_boxes_without_tracks_cannot_be_followed() -> None:
    one = np.zeros(1)
    with pytest.raises(UserError, match="without tracks"):
        ListedLooker(Boxes(one, np.zeros((1, 4)), one, np.array([UNTRACKED])), WIDTH, HEIGHT)


@pytest.fixture
def finder_parts(
    tmp_path: Path, brightness_model: Callable[..., nn.Module]
) -> tuple[Path, StreamPredictor, EventSettings]:
    model = brightness_model("dark", "grey", "light", sampling="dense", stride=3)
    predictor = StreamPredictor(model, device="cpu")
    settings = EventSettings(smoothing="none", merge_seconds=0.2)
    return write_scene(tmp_path / "scene.mp4"), predictor, settings


def check_events(found: FileEvents) -> None:
    """One person, whose square with its margin is 1 / 1.5² light and else dark: grey."""
    assert found.error is None
    (event,) = found.events
    assert (event.label, event.track) == ("grey", 1)
    assert event.start_seconds == pytest.approx(1.0, abs=0.15)
    assert event.end_seconds == pytest.approx(2.9, abs=0.15)


@pytest.mark.slow
def test_events_of_a_person_begin_and_end_with_the_person(
    finder_parts: tuple[Path, StreamPredictor, EventSettings], tmp_path: Path
) -> None:
    video, predictor, settings = finder_parts
    detector = Detector(write_detector(tmp_path / "d.onnx", "columns"))
    finder = EventFinder(
        predictor, settings, persons=lambda path: DetectingLooker(detector, rate=10)
    )
    check_events(finder.find(video))
    assert not predictor._streams  # all are removed again
    # Without persons it is the whole picture, most of which is dark.
    assert {event.label for event in EventFinder(predictor, settings).find(video).events} == {
        "dark"
    }


def test_events_of_a_list_of_boxes(
    finder_parts: tuple[Path, StreamPredictor, EventSettings], tmp_path: Path
) -> None:
    video, predictor, settings = finder_parts
    lines = ["frame,x1,y1,x2,y2,track"]
    lines += [f"{frame},{','.join(map(str, CELL))},1" for frame in range(10, 30)]
    (tmp_path / "boxes.csv").write_text("\n".join(lines))
    looker = ListedLooker(boxes_of(video, tmp_path / "boxes.csv"), WIDTH, HEIGHT)
    found = EventFinder(predictor, settings, persons=lambda path: looker).find(video)
    check_events(found)
    # Numbers are in every file that is written, and come back from the journal.
    rows = list(csv.DictReader(EVENT_FORMATS["csv"].write([found]).splitlines()))
    assert {row["track"] for row in rows} == {"1"}
    assert json.loads(EVENT_FORMATS["jsonl"].write([found]).splitlines()[0])["track"] == 1
    for name in ("srt", "vtt", "elan"):
        assert "grey #1" in EVENT_FORMATS[name].write([found])
    assert FileEvents.from_dict(found.to_dict(), found.path).events[0].track == 1
