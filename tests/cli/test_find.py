"""The command ``vmf find``."""

import csv
import json

import pytest

from mobile_models import small_model
from procedural_files import write_clips
from video_mobile_former.cli.main import main


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """A checkpoint and a folder of eight videos."""
    folder = tmp_path_factory.mktemp("find")
    write_clips(folder / "clips", {"test": 1}, num_frames=30)
    model = small_model()
    model.class_names = ("a", "b", "c", "background")
    model.save_pretrained(folder / "model")
    return folder


def find(parts, *more):
    return main(["find", str(parts / "model"), str(parts / "clips"), *more, "--device", "cpu"])


@pytest.mark.slow
def test_a_list_is_written_and_an_interrupted_run_goes_on(parts, tmp_path, capsys):
    out = tmp_path / "events.csv"
    assert find(parts, "--out", str(out), "--on", "0.01") == 0
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert {row["label"] for row in rows} == {"a", "b", "c"}
    journal = tmp_path / "events.csv.progress.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[:4]))
    first, said = out.read_bytes(), capsys.readouterr()
    assert "8 of" not in said.err
    assert find(parts, "--out", str(out), "--on", "0.01") == 0
    assert "3 of 8 files were done before" in capsys.readouterr().err
    assert out.read_bytes() == first
    assert find(parts, "--out", str(out), "--on", "0.02") == 2
    assert "begun with on 0.01, not 0.02" in capsys.readouterr().err


@pytest.mark.slow
def test_json_on_stdout_and_failed_files_as_status(parts, tmp_path, capsys):
    (tmp_path / "bad.mp4").write_text("no video")
    assert find(parts, str(tmp_path / "bad.mp4"), "--on", "0.01", "--json") == 1
    said = capsys.readouterr()
    value = json.loads(said.out)
    assert (value["num_files"], value["num_failed"]) == (9, 1)
    assert "bad.mp4: not a video" in said.err


def test_what_others_wrote_is_not_replaced(parts, tmp_path, capsys):
    out = tmp_path / "notes.csv"
    out.write_text("mine")
    assert find(parts, "--out", str(out)) == 2
    assert "not written by vmf" in capsys.readouterr().err
    assert out.read_text() == "mine"
    assert find(parts, "--out", str(tmp_path / "x.srt")) == 2
    assert "name a folder" in capsys.readouterr().err


@pytest.mark.slow
def test_subtitles_of_a_folder(parts, tmp_path, capsys):
    assert find(parts, "--out", str(tmp_path / "s"), "--format", "srt", "--on", "0.01") == 0
    assert (tmp_path / "s" / "grow" / "0000.srt").is_file()


def test_thresholds_of_other_classes_are_refused(parts, tmp_path, capsys):
    model = small_model()
    model.class_names = ("a", "b", "c", "d")
    model.info = {"events": {"thresholds": {"e": [0.5, 0.4]}}}
    model.save_pretrained(tmp_path / "model")
    assert main(["find", str(tmp_path / "model"), str(parts / "clips")]) == 2
    assert "'e', which is no class" in capsys.readouterr().err


@pytest.mark.slow
def test_events_of_each_person_have_its_number(parts, tmp_path, capsys):
    boxes = tmp_path / "boxes.csv"
    lines = [f"{k},{x},0,{x + 20},20,{who}" for k in range(30) for who, x in ((1, 0), (2, 9))]
    boxes.write_text("\n".join(["frame,x1,y1,x2,y2,track", *lines]))
    out = tmp_path / "events.csv"
    words = ("--on", "0.01", "--boxes", str(boxes))
    assert find(parts, "--out", str(out), *words) == 0
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert {row["track"] for row in rows} == {"1", "2"}
    assert " #2" in capsys.readouterr().out
    boxes.write_text(boxes.read_text() + "\n")
    assert find(parts, "--out", str(out), *words) == 2
    assert "begun with boxes" in capsys.readouterr().err
    assert find(parts, "--boxes", str(tmp_path / "none.csv")) == 2
    assert "no such file" in capsys.readouterr().err
