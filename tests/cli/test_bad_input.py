"""Every command with wrong input: exit status 2, one line that says what, nothing written."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from procedural_files import write_clips
from video_mobile_former.cli.main import main

LONG = "x" * 300


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV of clips, and of it the folder."""
    folder = tmp_path_factory.mktemp("bad") / "my clips"
    return write_clips(folder, {"train": 2, "val": 1, "test": 1}, size=40, num_frames=6)


def _files(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


NUMBERS = {
    "train": [
        ("--seed", "-1", "nan"),
        ("--model.num_tokens", "1000000", "-1"),
        ("--model.temporal_kernel", "2", "1001"),
        ("--train.batch_size", "100000", "1"),
        ("--train.devices", "100000", "0"),
        ("--train.epochs", "0", "1e3"),
        ("--optim.lr", "nan", "inf", "-1"),
        ("--optim.steps", "[nan]", "0.5"),
        ("--clip.crop_size", "1000000"),
        ("--clip.num_frames", "1000000"),
        ("--data.num_workers", "-1", "1000"),
        ("--data.frame_rate", "0", "nan"),
        ("--fold", "0", "101"),
        ("--decode.timeout_seconds", "nan", "0"),
    ],
    "evaluate": [
        ("--num_views", "0", "1000000", "all"),
        ("--num_crops", "0", "1000"),
        ("--batch_size", "0", "100000"),
        ("--stride", "0", "100000"),
        ("--freeze_frame", "-1"),
        ("--frame_rate", "nan", "0", "-1"),
        ("--num_workers", "-1", "1000"),
        ("--fold", "0"),
    ],
    "predict": [
        ("--top_k", "0", "-1"),
        ("--num_views", "0", "full"),
        ("--num_crops", "0"),
        ("--frame_rate", "nan"),
        ("--num_workers", "-1"),
    ],
    "data check": [
        ("--min_clips", "-1", "2.5"),
        ("--timeout_seconds", "0", "nan"),
        ("--memory_limit_mb", "-1", "inf"),
        ("--num_workers", "0"),
    ],
    "data prepare": [
        ("--short_side", "1000000000", "15", "17"),
        ("--gop", "0", "13"),
        ("--crf", "52", "nan"),
        ("--preset", "placebo"),
        ("--max_fps", "0", "nan"),
        ("--frame_rate", "nan"),
        ("--timeout_seconds", "nan"),
    ],
    "data shard": [
        ("--max_mb", "0", "nan"),
        ("--clips_per_shard", "0"),
        ("--seed", "-1"),
    ],
    "data draw": [
        ("--size", "1000000", "31", "33"),
        ("--num_frames", "0", "100000"),
        ("--fps", "0"),
        ("--seed", "-1", "99999999999"),
        ("--train", "-1"),
        ("--motion_blur", "nan", "2"),
        ("--speed", "0", "nan"),
    ],
    "export": [
        ("--size", "100000000", "0"),
        ("--num_frames", "100000", "0"),
        ("--batch", "0", "many", "1000000"),
        ("--calibrate_clips", "7", "nan"),
    ],
    "benchmark": [
        ("--seconds", "nan", "-1", "inf"),
        ("--rounds", "4"),
        ("--threads", "0"),
        ("--batch", "0"),
        ("--size", "100000000"),
        ("--num_frames", "100000"),
    ],
    "demo": [("--seed", "-1", "nan")],
}
"""Options of each command with values that they refuse."""

WORDS = {
    "train": ["train", "--data", "DATA", "--out", "new"],
    "evaluate": ["evaluate", "absent", "--data", "DATA", "--out", "new"],
    "predict": ["predict", "absent", "VIDEO"],
    "data check": ["data", "check", "DATA", "--out", "new"],
    "data prepare": ["data", "prepare", "DATA", "--out", "new"],
    "data shard": ["data", "shard", "DATA", "--out", "new"],
    "data draw": ["data", "draw", "--out", "new"],
    "export": ["export", "vmf_500m", "--to", "torch", "--out", "new.pt2"],
    "benchmark": ["benchmark", "vmf_500m"],
    "demo": ["demo", "--out", "new"],
}


def _refused(
    words: list[str],
    clips: Path,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    most_notes: int = 0,
) -> str:
    """Run a command that must refuse its words in ``folder``; give the line that it says."""
    video = next(clips.parent.rglob("*.mp4"))
    known = {"DATA": str(clips), "FOLDER": str(clips.parent), "VIDEO": str(video)}
    monkeypatch.chdir(folder)
    before, data = _files(folder), _files(clips.parent)
    capsys.readouterr()
    assert main([known.get(word, word) for word in words]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "Traceback" not in said.err
    *notes, line = said.err.strip().splitlines()
    assert len(notes) <= most_notes, said.err
    assert line.startswith("vmf: error: ")
    assert (_files(folder), _files(clips.parent)) == (before, data)
    return line


@pytest.mark.parametrize(
    ("command", "option", "value"),
    [
        (command, option, value)
        for command, options in NUMBERS.items()
        for option, *values in options
        for value in values
    ],
)
def test_numbers_out_of_range(command, option, value, clips, tmp_path, capsys, monkeypatch):
    line = _refused([*WORDS[command], option, value], clips, tmp_path, capsys, monkeypatch)
    assert option.lstrip("-").rpartition(".")[2] in line
    assert "must be" in line or "invalid choice" in line


OUTS = ("train", "evaluate", "data check", "data prepare", "data shard", "data draw", "demo")


@pytest.mark.parametrize("command", OUTS)
@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("", "empty"),
        (LONG, "too long"),
        (f"{LONG}/run", "too long"),
        ("taken", "taken is a file"),
        ("taken/run", "taken is a file"),
        ("/proc/new/run", "cannot write"),
    ],
)
def test_folders_that_cannot_be_written(
    command, out, message, clips, tmp_path, capsys, monkeypatch
):
    if out.startswith("/proc") and sys.platform != "linux":
        pytest.skip("a folder in which nobody may write")
    (tmp_path / "taken").write_text("a file")
    words = [*WORDS[command], "--out", out]
    line = _refused(words, clips, tmp_path, capsys, monkeypatch)
    assert message in line or (out == "" and "must be a folder" in line)


@pytest.mark.parametrize("out", ["", f"{LONG}.pt2", "taken/m.pt2", "/proc/new/m.pt2", "taken.pt2"])
def test_artefacts_that_cannot_be_written(out, clips, tmp_path, capsys, monkeypatch):
    (tmp_path / "taken").write_text("a file")
    (tmp_path / "taken.pt2").write_text("of somebody else")
    _refused([*WORDS["export"], "--out", out], clips, tmp_path, capsys, monkeypatch)


@pytest.mark.parametrize("csv", ["", f"{LONG}.csv", "taken/p.csv", "/proc/new/p.csv", "taken"])
def test_tables_that_cannot_be_written(csv, clips, tmp_path, capsys, monkeypatch):
    (tmp_path / "taken").write_text("a file")
    _refused([*WORDS["predict"], "--csv", csv], clips, tmp_path, capsys, monkeypatch)


@pytest.mark.parametrize("command", ["train", "evaluate", "data check", "data prepare"])
def test_outputs_inside_of_the_data(command, clips, tmp_path, capsys, monkeypatch):
    words = ["FOLDER" if word == "DATA" else word for word in WORDS[command]]
    words[words.index("new")] = str(clips.parent / "new")
    assert "lies inside of" in _refused(words, clips, tmp_path, capsys, monkeypatch)


def test_outputs_inside_of_the_clips_without_labels(clips, tmp_path, capsys, monkeypatch):
    words = list(WORDS["train"])
    words[words.index("new")] = str(clips.parent / "new")
    words += ["--unlabelled", str(clips.parent)]
    assert "lies inside of" in _refused(words, clips, tmp_path, capsys, monkeypatch)


@pytest.mark.parametrize(
    "words",
    [
        ["train", "--data", LONG, "--out", "new"],
        ["train", "--data", "DATA", "--model", f"./{LONG}", "--out", "new"],
        ["train", f"{LONG}.yaml", "--data", "DATA", "--out", "new"],
        ["evaluate", LONG, "--data", "DATA"],
        ["predict", LONG, "VIDEO"],
        ["predict", f"{LONG}.onnx", "VIDEO"],
        ["predict", "vmf_500m", LONG],
        ["data", "check", LONG],
        ["data", "prepare", LONG, "--out", "new"],
        ["data", "shard", LONG, "--out", "new"],
        ["data", "shard", "DATA", "--quarantine", LONG, "--out", "new"],
        ["export", LONG, "--to", "torch", "--out", "m.pt2"],
        ["benchmark", LONG],
        ["data", "check"],
        ["data", "check", "a", "b"],
        ["data", "prepare", "--out", "new"],
        ["train", "--out", "new"],
        ["train", "--data", "", "--out", "new"],
    ],
)
def test_names_of_nothing(words, clips, tmp_path, capsys, monkeypatch):
    _refused(words, clips, tmp_path, capsys, monkeypatch)


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["train", "--data", "DATA", "--out", "keep"], "best/model.safetensors"),
        (["train", "--data", "DATA", "--out", "keep"], "metrics.csv"),
        (["train", "--data", "DATA", "--out", "keep"], "state/state.safetensors"),
        (["evaluate", "absent", "--data", "DATA", "--out", "keep"], "report.html"),
        (["evaluate", "a", "b", "--data", "DATA", "--out", "keep"], "comparison.json"),
        (["data", "check", "DATA", "--out", "keep"], "quarantine.txt"),
        (["data", "prepare", "DATA", "--out", "keep"], "notes.txt"),
        (["data", "shard", "DATA", "--out", "keep"], "notes.txt"),
        (["data", "draw", "--out", "keep"], "notes.txt"),
        (["export", "vmf_500m", "--to", "torch", "--out", "keep/m.pt2"], "m.pt2"),
        (["export", "vmf_500m", "--to", "torch", "--out", "keep/m.pt2"], "m.pt2.json"),
        (["predict", "absent", "VIDEO", "--csv", "keep/a.mp4"], "a.mp4"),
        (["predict", "absent", "VIDEO", "--csv", "VIDEO"], "a.mp4"),
        (["demo", "--out", "keep"], "demo.json"),
        (["demo", "--out", "keep"], "run/best/model.safetensors"),
        (
            ["data", "draw", "motion", "--train", "0", "--test", "0", "--sheet", "--out", "keep"],
            "sheet-motion.png",
        ),
    ],
)
def test_files_of_somebody_else_stay(words, name, clips, tmp_path, capsys, monkeypatch):
    file = tmp_path / "keep" / name
    file.parent.mkdir(parents=True)
    file.write_text("of somebody else")
    line = _refused(words, clips, tmp_path, capsys, monkeypatch)
    assert "was not written by vmf" in line or "no run of ours" in line or "other things" in line


def test_a_clip_that_fits_in_no_memory(clips, tmp_path, capsys, monkeypatch):
    words = [*WORDS["export"], "--size", "4096", "--num_frames", "1024"]
    line = _refused(words, clips, tmp_path, capsys, monkeypatch, most_notes=2)
    assert "too large" in line


def test_more_processes_than_cores(clips, tmp_path, capsys, monkeypatch):
    words = [*WORDS["train"], "--train.device", "cpu", "--train.devices", "1000"]
    assert "cores" in _refused(words, clips, tmp_path, capsys, monkeypatch)
