"""``vmf data draw`` from the command line."""

import json
from pathlib import Path

import pytest
from PIL import Image

from video_mobile_former.cli.main import main
from video_mobile_former.data.index.index import load_index


@pytest.mark.slow
def test_draws_a_data_set_and_sheets(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    words = ["data", "draw", "periodic", "--size", "32", "--num_frames", "8", "--seed", "1"]
    words += ["--out", str(tmp_path)]
    assert main([*words, "--train", "0", "--test", "0", "--sheet"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["sheet-periodic.png"]
    capsys.readouterr()
    assert main([*words, "--train", "2", "--test", "1", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    index = load_index(result["index"])
    assert sorted(result["classes"]) == sorted(index.class_names)
    assert result["clips"] == {"train": 12, "test": 6}
    assert len(index.clips) == 18


@pytest.mark.slow
def test_some_classes_of_families(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    words = ["data", "draw", "--classes", "walk", "cue_up", "jump", "--size", "32", "--sheet"]
    words += ["--train", "1", "--test", "0", "--num_frames", "8"]
    assert main([*words, "--json", "--out", str(tmp_path)]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["classes"] == ["walk", "jump", "cue_up"]
    assert result["clips"] == {"train": 3}
    assert len(load_index(result["index"]).clips) == 3
    names = [Path(sheet).name for sheet in result["sheets"]]
    assert names == ["sheet-limbs.png", "sheet-long_range.png"]
    for name, rows in zip(names, (2, 1), strict=True):
        with Image.open(tmp_path / name) as picture:
            assert picture.height == rows * (32 + 2)  # a gap below each row


def test_a_file_is_no_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "a.csv").write_text("path,label\n")
    for words in (["--train", "1"], ["--train", "0", "--test", "0", "--sheet"]):
        for out in ("a.csv", "a.csv/clips"):
            assert main(["data", "draw", "motion", *words, "--out", str(tmp_path / out)]) == 2
            assert "a.csv is a file: name a folder" in capsys.readouterr().err
    assert (tmp_path / "a.csv").read_text() == "path,label\n"


@pytest.mark.slow
def test_events_need_frames(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    words = ["--size", "32", "--train", "1", "--test", "0", "--out", str(tmp_path / "new")]
    assert main(["data", "draw", "order", "long_range", *words, "--num_frames", "4"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(": ")[0].split()[-2] for line in lines] == ["order", "long_range"]
    assert all(line.startswith("4 frames are too few") for line in lines)
    assert main(["data", "draw", "order", *words, "--num_frames", "8"]) == 0
    assert "too few" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["circus"], "family 'circus' is unknown; known: motion, camera, "),
        (["long"], "did you mean 'long_range'? Known: motion, "),
        (["--classes", "walk", "jmp"], "limbs, long_range; did you mean 'jump'?\n"),
        (
            ["limbs", "--classes", "walk", "push"],
            "no class 'push' in limbs; did you mean 'punch'? Known: walk, ",
        ),
        (["--classes", "walk"], "at least two"),
        (["--size", "33"], "size"),
        (["--train", "-1"], "must be 0 to"),
        (["--train", "0", "--test", "0"], "nothing to write"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    words: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert main(["data", "draw", *words, "--out", str(tmp_path / "new")]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert not (tmp_path / "new").exists()
