"""Formats that say what happens when: small files as each tool writes them."""

import json

import pytest

from format_files import touch, write, write_video
from video_mobile_former.data.index.index import load_index
from video_mobile_former.data.index.source import DataSource, Faults
from video_mobile_former.data.video.reader import VideoReader
from video_mobile_former.errors import DataError


def events_of(root, form, annotations=None, faults=None):
    """Name, split and events (label, start, end) of each file."""
    at = None if annotations is None else str(annotations)
    source = DataSource(path=str(root), format=form, annotations=at)
    index = load_index(source, faults=faults)
    assert index.intervals
    return {
        clip.name: (
            clip.split,
            [
                (index.class_names[e.label], round(e.start_seconds, 3), round(e.end_seconds, 3))
                for e in clip.events
            ],
        )
        for clip in index.clips
    }


def test_csv_with_several_rows_a_file(tmp_path):
    touch(tmp_path, "a.mp4", "b.mp4")
    rows = ("a.mp4,2,3.5,sit,train", "b.mp4,0,1,run,val", "a.mp4,0,1,run,train")
    text = "\n".join(("path,start,end,label,split", *rows))
    listing = write(tmp_path / "events.csv", text)
    assert events_of(listing, "intervals") == {
        "a.mp4": ("train", [("run", 0, 1), ("sit", 2, 3.5)]),
        "b.mp4": ("val", [("run", 0, 1)]),
    }


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("a.mp4,2,,sit,train", "csv:2.*no end_seconds"),
        ("a.mp4,2,1,sit,train", "csv:2.*not after"),
        ("a.mp4,2,3,sit,train\na.mp4,4,5,sit,val", "csv:3.*another split"),
    ],
)
def test_wrong_rows_are_named(tmp_path, rows, words):
    touch(tmp_path, "a.mp4")
    listing = write(tmp_path / "events.csv", f"path,start,end,label,split\n{rows}\n")
    with pytest.raises(DataError, match=words):
        events_of(listing, "intervals")


def test_activitynet(tmp_path):
    touch(tmp_path, "videos/v_one.mp4", "videos/two.mkv")
    part = {"segment": [1.5, 4], "label": "Long jump"}
    database = {
        "one": {"subset": "training", "duration": 9.0, "annotations": [part]},
        "two": {"subset": "validation", "annotations": []},
        "three": {"subset": "testing", "annotations": []},
    }
    value = {"version": "VERSION 1.3", "taxonomy": [], "database": database}
    listing = write(tmp_path / "activity_net.v1-3.min.json", json.dumps(value))
    assert events_of(tmp_path / "videos", "activitynet", listing) == {
        "v_one.mp4": ("train", [("Long jump", 1.5, 4)]),
        "two.mkv": ("val", []),
    }
    database["one"]["annotations"] = [{"label": "x"}]
    write(listing, json.dumps(value))
    faults = Faults(collect=True)
    found = events_of(tmp_path / "videos", "activitynet", listing, faults)
    assert found == {"two.mkv": ("val", [])}
    assert "segment" in faults.found[0].text


def test_charades_with_times(tmp_path):
    touch(tmp_path, "46GP8.mp4")
    listing = write(
        tmp_path / "Charades_v1_train.csv",
        "id,subject,actions,length\n46GP8,HR43,c000 11.90 21.20;c001 0.00 12.60,24.83\n",
    )
    found = events_of(tmp_path, "charades_events", listing)
    (split, events) = found["46GP8.mp4"]
    assert split == "train"
    assert [event[1:] for event in events] == [(0, 12.6), (11.9, 21.2)]


def test_ava_seconds_become_events(tmp_path):
    touch(tmp_path, "-5KQ66BBWC4.mkv")
    box = "0.077,0.151,0.283,0.811"
    rows = [f"-5KQ66BBWC4,{t},{box},{a},1" for t, a in ((902, 80), (903, 80), (906, 80), (902, 9))]
    listing = write(tmp_path / "ava_train_v2.2.csv", "\n".join(rows) + "\n")
    write(
        tmp_path / "ava_action_list_v2.2.pbtxt",
        'label {\n  name: "watch (a person)"\n  label_id: 80\n  label_type: PERSON_INTERACTION\n}\n'
        'label {\n  name: "lie/sleep"\n  label_id: 9\n}\n',
    )
    assert events_of(tmp_path, "ava", listing) == {
        "-5KQ66BBWC4.mkv": (
            "train",
            [
                ("lie/sleep", 901.5, 902.5),
                ("watch (a person)", 901.5, 903.5),
                ("watch (a person)", 905.5, 906.5),
            ],
        )
    }


CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><task><id>7</id><name>t</name><size>20</size><mode>interpolation</mode>
    <start_frame>0</start_frame><stop_frame>19</stop_frame><frame_filter>{filter}</frame_filter>
    <original_size><width>64</width><height>48</height></original_size>
    <source>clip.mp4</source></task></meta>
  <track id="0" label="walk" source="manual">
    <box frame="2" keyframe="1" outside="0" occluded="0" xtl="1" ytl="1" xbr="2" ybr="2"/>
    <box frame="3" keyframe="0" outside="0" occluded="0" xtl="1" ytl="1" xbr="2" ybr="2"/>
    <box frame="4" keyframe="1" outside="1" occluded="0" xtl="1" ytl="1" xbr="2" ybr="2"/>
  </track>
</annotations>
"""


@pytest.fixture
def clip(tmp_path):
    """Three seconds of video: the times of its frames."""
    path = write_video(tmp_path / "clip.mp4", 3.0)
    with VideoReader(path) as reader:
        return [round(float(t), 3) for t in reader.timestamps()]


def test_cvat_tracks(tmp_path, clip):
    listing = write(tmp_path / "annotations.xml", CVAT.format(filter=""))
    times = (clip[2], clip[4])
    assert events_of(tmp_path, "cvat", listing) == {"clip.mp4": (None, [("walk", *times)])}
    write(listing, CVAT.format(filter="step=2"))
    times = (clip[4], clip[7])
    assert events_of(tmp_path, "cvat", listing) == {"clip.mp4": (None, [("walk", *times)])}


def test_cvat_entities_are_refused(tmp_path, clip):
    text = CVAT.format(filter="").replace(
        "<annotations>", '<!DOCTYPE a [<!ENTITY b "c">]><annotations>'
    )
    with pytest.raises(DataError, match="entities"):
        events_of(tmp_path, "cvat", write(tmp_path / "annotations.xml", text))


def test_cvat_datumaro(tmp_path, clip):
    items = [
        {
            "id": f"frame_{n:06d}",
            "annotations": [{"type": "label", "label_id": 1}],
            "attr": {"frame": n},
        }
        for n in (1, 2, 5)
    ]
    labels = [{"name": "no"}, {"name": "walk"}]
    value = {"info": {}, "categories": {"label": {"labels": labels}}, "items": items}
    listing = write(tmp_path / "default.json", json.dumps(value))
    expected = [("walk", clip[1], clip[3]), ("walk", clip[5], clip[6])]
    assert events_of(tmp_path, "cvat", listing) == {"clip.mp4": (None, expected)}


def test_label_studio_timelines(tmp_path, clip):
    result = {
        "id": "x1",
        "type": "timelinelabels",
        "from_name": "timeline",
        "to_name": "video",
        "value": {"ranges": [{"start": 2, "end": 4}], "timelinelabels": ["walk"]},
    }
    seconds = {"type": "labels", "value": {"start": 0.1, "end": 0.5, "labels": ["talk"]}}
    task = {
        "id": 1,
        "data": {"video": "/data/upload/1/ab12cd34-clip.mp4"},
        "annotations": [
            {"id": 1, "was_cancelled": False, "result": [result, seconds]},
            {"id": 2, "was_cancelled": True, "result": [seconds]},
        ],
    }
    listing = write(tmp_path / "export.json", json.dumps([task]))
    expected = [("walk", clip[1], clip[4]), ("talk", 0.1, 0.5)]
    assert events_of(tmp_path, "label_studio", listing) == {
        "clip.mp4": (None, sorted(expected, key=lambda e: e[1]))
    }
    small = {"video": "/data/upload/1/clip.mp4", "id": 1, "timeline": [result["value"]]}
    write(listing, json.dumps([small]))
    assert events_of(tmp_path, "label_studio", listing) == {"clip.mp4": (None, expected[:1])}
    result["value"]["ranges"][0]["start"] = 400
    write(listing, json.dumps([task]))
    with pytest.raises(DataError, match="frames 399"):
        events_of(tmp_path, "label_studio", listing)


def test_via_project_and_csv(tmp_path):
    touch(tmp_path, "clip.mp4")
    value = {
        "project": {"pname": "p", "data_format_version": "3.1.1"},
        "attribute": {
            "1": {"aname": "a", "type": 4, "options": {"0": "walk", "1": "sit"}},
            "2": {"aname": "b", "type": 1, "options": {}},
        },
        "file": {"1": {"fid": "1", "fname": "clip.mp4", "type": 4, "loc": 1, "src": ""}},
        "metadata": {
            "1_a": {"vid": "1", "flg": 0, "z": [1.5, 2.5], "xy": [], "av": {"1": "1"}},
            "1_b": {"vid": "1", "flg": 0, "z": [3], "xy": [2, 1, 1, 5, 5], "av": {}},
            "1_c": {"vid": "1", "flg": 0, "z": [4, 5], "xy": [], "av": {"2": "free text"}},
        },
        "view": {"1": {"fid_list": ["1"]}},
    }
    listing = write(tmp_path / "p.json", json.dumps(value))
    expected = {"clip.mp4": (None, [("sit", 1.5, 2.5), ("free text", 4, 5)])}
    assert events_of(tmp_path, "via", listing) == expected
    table = write(
        tmp_path / "p.csv",
        "# Exported using VGG Image Annotator (http://www.robots.ox.ac.uk/~vgg/software/via)\n"
        "# CSV_HEADER = metadata_id,file_list,flags,temporal_coordinates,spatial_coordinates,"
        "metadata\n"
        '"1_a","[""clip.mp4""]","0","[1.5,2.5]","[]","{""1"":""sit""}"\n'
        '"1_c","[""clip.mp4""]","0","[4,5]","[]","{""2"":""free text""}"\n',
    )
    assert events_of(tmp_path, "via", table) == expected


@pytest.mark.parametrize(
    ("form", "name", "text"),
    [
        ("activitynet", "a.json", "[]"),
        ("cvat", "a.xml", "<x/>"),
        ("cvat", "a.xml", "<x"),
        ("cvat", "a.json", "[]"),
        ("label_studio", "a.json", "[1]"),
        ("via", "a.json", "{}"),
        ("via", "a.csv", "path,label\n"),
    ],
)
def test_another_form_is_refused_by_name(tmp_path, form, name, text):
    touch(tmp_path, "clip.mp4")
    with pytest.raises(DataError, match=name):
        events_of(tmp_path, form, write(tmp_path / name, text))
