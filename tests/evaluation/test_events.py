"""From files with events to metrics, thresholds in the checkpoint, and events found with them."""

import csv
import json
import shutil

import pytest

from mobile_models import small_model
from procedural_files import write_clips
from video_mobile_former.cli.main import main


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Eight videos in two splits, with events, and a checkpoint of their classes."""
    folder = tmp_path_factory.mktemp("events")
    write_clips(folder, {"test": 1}, num_frames=40)
    lines = ["path,label,start_seconds,end_seconds,split"]
    for number, path in enumerate(sorted((folder / "test").rglob("*.mp4"))):
        split = ("train", "train", "val", "test")[number % 4]
        name = path.relative_to(folder)
        lines += [f"{name},one,0.5,1.5,{split}", f"{name},two,2.5,3.5,{split}"]
    (folder / "events.csv").write_text("\n".join(lines))
    model = small_model()
    model.reset_classifier(3)
    model.class_names = ("one", "two", "background")
    model.save_pretrained(folder / "model")
    return folder


def evaluate(data, model, *more):
    words = ["evaluate", str(model), "--data", str(data / "events.csv"), "--format", "intervals"]
    return main([*words, "--device", "cpu", *more])


@pytest.mark.slow
def test_a_report_of_events(data, tmp_path, capsys):
    assert evaluate(data, data / "model", "--out", str(tmp_path / "r"), "--on", "0.2") == 0
    said = capsys.readouterr().out
    assert all(word in said for word in ("mAP", "F1 at 0.5", "delay"))
    report = json.loads((tmp_path / "r" / "report.json").read_text())
    assert report["task"] == "events"
    assert report["method"]["num_clips"] == 2
    assert report["metrics"]["num_events"] == 4
    assert report["settings"]["on"] == 0.2
    assert sum(len(clip["found"]) for clip in report["clips"]) == report["metrics"]["num_found"]
    page = (tmp_path / "r" / "report.html").read_text()
    assert "Mean average precision of events" in page
    faults = sum(min(6, clip["missed"] + clip["wrong"]) for clip in report["clips"])
    assert faults > 0
    assert page.count("<figcaption>") == faults
    assert page.count('class="moving"') == faults

    assert evaluate(data, data / "model", "--out", str(tmp_path / "n"), "--no_pictures") == 0
    assert "<figcaption>" not in (tmp_path / "n" / "report.html").read_text()


@pytest.mark.slow
def test_thresholds_are_fitted_on_validation_and_used(data, tmp_path, capsys):
    model = tmp_path / "model"
    shutil.copytree(data / "model", model)
    assert evaluate(data, model, "--fit_thresholds", "--out", str(tmp_path / "r")) == 0
    config = json.loads((model / "config.json").read_text())
    assert config["events"]["thresholds"].keys() == {"one", "two"}
    assert config["events"]["fitted_on"].startswith("val of")
    capsys.readouterr()
    clip = next((data / "test").rglob("*.mp4"))
    out = tmp_path / "found.csv"
    assert main(["find", str(model), str(clip), "--out", str(out), "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["options"]["thresholds"] == config["events"]["thresholds"]
    assert len(list(csv.DictReader(out.read_text().splitlines()))) == len(
        value["results"][0]["events"]
    )


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--fit_thresholds", "--split", "test"], "--split val"),
        (["--fit_thresholds", "--split", "all"], "--split val"),
    ],
)
def test_thresholds_are_not_fitted_on_other_files(data, tmp_path, capsys, more, words):
    assert evaluate(data, data / "model", "--out", str(tmp_path / "r"), *more) == 2
    assert words in capsys.readouterr().err


def test_clips_without_times_have_no_thresholds(data, tmp_path, capsys):
    model = small_model()
    model.reset_classifier(8)
    model.class_names = tuple(sorted(path.name for path in (data / "test").iterdir()))
    model.save_pretrained(tmp_path / "model")
    words = ["evaluate", str(tmp_path / "model"), "--data", str(data / "test")]
    assert main([*words, "--fit_thresholds", "--split", "all"]) == 2
    assert "times of events" in capsys.readouterr().err
