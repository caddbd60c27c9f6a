"""Finding events in files, what is kept of a long run, and the files that are written."""

import csv
import io
import json
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from mobile_models import small_model
from procedural_files import write_clips
from video_mobile_former.data.index.index import load_index
from video_mobile_former.data.index.source import DataSource
from video_mobile_former.data.video.from_begin import duration_of, frames_from_begin
from video_mobile_former.data.video.reader import VideoReader
from video_mobile_former.errors import UserError, VideoError
from video_mobile_former.inference.event_files import (
    EVENT_FORMATS,
    event_format,
    places_of_files,
)
from video_mobile_former.inference.events import EventDetector, EventSettings, whole_events
from video_mobile_former.inference.find import EventFinder, FileEvents, FoundEvent, thresholds_of
from video_mobile_former.inference.find_journal import Journal
from video_mobile_former.inference.stream import StreamPredictor

NAME = 'run & <jump>, "twice"\n--> end'
EVENTS = (FoundEvent(0.0, 1.2345, NAME, 0.5), FoundEvent(3599.9996, 7201.5, "sit", 0.25))
FILES = [FileEvents("a/one.mp4", 7300.0, EVENTS), FileEvents("b/none.mp4", 1.0)]


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    write_clips(folder, {"test": 1}, num_frames=40)
    return folder / "test" / "grow" / "0000.mp4"


@pytest.fixture(scope="module")
def predictor():
    model = small_model()
    model.class_names = ("a", "b", "c", "d")
    return StreamPredictor(model, device="cpu", window_seconds=0.5, stride_seconds=0.2)


@pytest.mark.slow
def test_frames_from_the_begin_are_those_of_the_reader(video):
    with VideoReader(video) as reader:
        times = reader.timestamps()
        expected = reader.frames(times, 37).permute(0, 2, 3, 1).numpy()
    given: Any = frames_from_begin(video)
    found = [(seconds, np.array(frame.rgb(37))) for seconds, frame in given]
    assert [seconds for seconds, _ in found] == pytest.approx(times.tolist())
    assert np.array_equal(np.stack([frame for _, frame in found]), expected)
    assert duration_of(video) == pytest.approx(times[-1] - times[0])


def test_events_of_a_file_are_those_of_its_scores(video, predictor):
    settings = EventSettings(on=0.25, smooth_seconds=0)
    found = EventFinder(predictor, settings).find(video)
    detector = EventDetector(4, settings)
    events = []
    for scores in predictor.predict(frames_from_begin(video)):
        events += detector.update(scores.start_seconds, scores.end_seconds, scores.probabilities)
    events = whole_events(events + detector.finish())
    assert events
    assert [(e.start_seconds, "abcd"[e.class_index]) for e in events] == [
        (e.start_seconds, e.label) for e in found.events
    ]


def test_what_is_no_video_is_a_result_with_an_error(tmp_path, predictor):
    (tmp_path / "x.mp4").write_text("no video")
    result = EventFinder(predictor).find(tmp_path / "x.mp4")
    assert "not a video" in (result.error or "")
    with pytest.raises(VideoError):
        list(frames_from_begin(tmp_path / "x.mp4"))


def test_thresholds_of_a_checkpoint_are_of_its_classes():
    info = {"events": {"thresholds": {"a": [0.6, 0.4]}}}
    assert thresholds_of(info, ("a", "b"), "best") == {"a": (0.6, 0.4)}
    assert thresholds_of({}, ("a", "b"), "best") == {}
    with pytest.raises(UserError, match=r"best: .*'a', which is no class"):
        thresholds_of(info, ("x", "y"), "best")
    with pytest.raises(UserError, match="pairs of numbers"):
        thresholds_of({"events": {"thresholds": {"a": 3}}}, ("a",), "best")


def test_a_journal_goes_on_and_refuses_other_options(tmp_path):
    path, video = tmp_path / "j.jsonl", tmp_path / "v.mp4"
    video.write_bytes(b"1")
    with Journal(path, {"on": 0.5}) as journal:
        journal.add(FileEvents(str(video), 2.0, EVENTS[1:]))
    with path.open("a") as file:
        file.write('{"file": [1, 2], "result": {"pa')  # cut off by a loss of power
    again = Journal(path, {"on": 0.5})
    assert again.result(str(video)) == FileEvents(
        str(video), 2.0, (FoundEvent(3600.0, 7201.5, "sit", 0.25),)
    )
    with again:
        pass
    assert Journal(path, {"on": 0.5}).done.keys() == {str(video)}
    video.write_bytes(b"12")
    assert Journal(path, {"on": 0.5}).result(str(video)) is None
    with pytest.raises(UserError, match=r"on 0\.5, not 0\.6.*--restart"):
        Journal(path, {"on": 0.6})
    assert not Journal(path, {"on": 0.6}, restart=True).done
    other = tmp_path / "other.jsonl"
    other.write_text("mine\n")
    for restart in (False, True):
        with pytest.raises(UserError, match="not written by vmf"):
            Journal(other, {}, restart=restart)
    assert other.read_text() == "mine\n"


def test_csv_and_json_lines_read_back():
    rows = list(csv.DictReader(io.StringIO(EVENT_FORMATS["csv"].write(FILES))))
    assert [row["label"] for row in rows] == [NAME, "sit"]
    assert rows[1]["end_seconds"] == "7201.500"
    lines = [json.loads(line) for line in EVENT_FORMATS["jsonl"].write(FILES).splitlines()]
    assert lines[0] == {
        "path": "a/one.mp4",
        "start_seconds": 0.0,
        "end_seconds": 1.234,
        "label": NAME,
        "score": 0.5,
    }


def test_the_csv_is_no_formula_and_a_list_that_reads_back(tmp_path):
    (tmp_path / "=a.mp4").touch()
    found = FileEvents("=a.mp4", 9.0, (FoundEvent(0.0, 1.0, "=1+1", 0.5),))
    text = EVENT_FORMATS["csv"].write([found])
    (row,) = csv.DictReader(io.StringIO(text))
    assert (row["path"], row["label"]) == ("./=a.mp4", "'=1+1")
    (tmp_path / "events.csv").write_text(text, encoding="utf-8")
    index = load_index(DataSource(str(tmp_path / "events.csv"), format="intervals"))
    assert index.class_names == ("=1+1",)
    (event,) = index.clips[0].events
    assert (event.start_seconds, event.end_seconds) == (0.0, 1.0)


def test_subtitles_are_sound():
    srt = EVENT_FORMATS["srt"].write(FILES[:1])
    assert srt.split("\n")[1] == "00:00:00,000 --> 00:00:01,234"
    assert srt.count("-->") == 2
    assert "01:00:00,000 --> 02:00:01,500" in srt
    vtt = EVENT_FORMATS["vtt"].write(FILES[:1])
    assert vtt.startswith("WEBVTT\n\n00:00:00.000 --> ")
    assert "run &amp; &lt;jump&gt;" in vtt
    assert vtt.count("-->") == 2


def test_elan_has_a_tier_for_each_class():
    root = ElementTree.fromstring(EVENT_FORMATS["elan"].write(FILES[:1]))
    times = {slot.get("TIME_SLOT_ID"): slot.get("TIME_VALUE") for slot in root.iter("TIME_SLOT")}
    (sit,) = [tier for tier in root.iter("TIER") if tier.get("TIER_ID") == "sit"]
    (annotation,) = sit.iter("ALIGNABLE_ANNOTATION")
    ends = [times[annotation.get(f"TIME_SLOT_REF{n}")] for n in (1, 2)]
    assert ends == ["3600000", "7201500"]
    types = {kind.get("LINGUISTIC_TYPE_ID") for kind in root.iter("LINGUISTIC_TYPE")}
    assert sit.get("LINGUISTIC_TYPE_REF") in types


def test_activitynet_results_have_what_its_evaluation_asks_for():
    value = json.loads(EVENT_FORMATS["activitynet"].write(FILES))
    assert {"version", "results", "external_data"} <= value.keys()
    assert value["results"]["one"][1] == {
        "label": "sit",
        "score": 0.25,
        "segment": [3600.0, 7201.5],
    }
    assert value["results"]["none"] == []


def test_files_of_videos_do_not_collide(tmp_path):
    videos = [str(tmp_path / name) for name in ("a/x.mp4", "b/x.mp4", "b/x.avi")]
    places = places_of_files(tmp_path / "o", videos, ".srt")
    found = [place.relative_to(tmp_path / "o").as_posix() for place in places]
    assert found == ["a/x.srt", "b/x.mp4.srt", "b/x.avi.srt"]
    with pytest.raises(UserError, match="--format"):
        event_format("x.doc", None)
