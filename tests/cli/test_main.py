"""The main road through the command line, and every error a user will make on it."""

from __future__ import annotations

import csv
import errno
import json
import shutil
import signal
import subprocess
import sys
import time
import wave
from pathlib import Path
from typing import Any

import pytest

from procedural_files import write_clips
from video_mobile_former.cli.main import main
from video_mobile_former.models import checkpoint, create_model

TRAIN = [
    "--clip.num_frames=4",
    "--clip.crop_size=32",
    "--train.epochs=1",
    "--train.batch_size=8",
    "--train.device=cpu",
    "--data.num_workers=0",
    "--model=vmf_500m",
]


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV of 16 training, 8 validation and 8 test clips."""
    folder = tmp_path_factory.mktemp("cli") / "clips"
    return write_clips(folder, {"train": 2, "val": 1, "test": 1})


@pytest.fixture(scope="session")
def trained(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run made by `vmf train`."""
    out = tmp_path_factory.mktemp("cli-run") / "run"
    assert main(["train", "--data", str(clips), "--out", str(out), *TRAIN]) == 0
    return out


def one_error(capsys: pytest.CaptureFixture[str], argv: list[str]) -> str:
    """Run a command that must fail as users should see it: one line, status 2."""
    capsys.readouterr()
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    last = captured.err.strip().splitlines()[-1]
    assert last.startswith("vmf: error: ")
    assert "Traceback" not in captured.err
    return last


@pytest.mark.slow
def test_evaluate_then_predict(
    trained: Path, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    best = str(trained / "best")
    report = tmp_path / "report"
    argv = ["evaluate", best, "--data", str(clips), "--num_workers", "0", "--out", str(report)]
    assert main([*argv, "--json"]) == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert result["method"]["split"] == "test"
    assert result["metrics"]["num_clips"] == 8
    cost = result["cost"]
    assert cost["total_macs"] == cost["macs_per_view"] * cost["num_views"] * cost["num_crops"]
    assert {p.name for p in report.iterdir()} == {
        "report.json",
        "report.html",
        "confusion.png",
        "predictions.safetensors",
    }
    assert main([*argv, "--split", "val", "--freeze_frame", "0"]) == 0
    assert "MACs per video" in capsys.readouterr().out

    good, bad = clips.parent / "test" / "grow" / "0000.mp4", tmp_path / "bad.mp4"
    bad.write_text("no video")
    table = tmp_path / "out.csv"
    argv = ["predict", "--top_k", "3", "--num_workers", "0", best]
    assert main([*argv, str(good), str(bad), "--json", "--csv", str(table)]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["num_files"], found["num_failed"]) == (2, 1)
    assert len(found["results"][0]["predictions"]) == 3
    assert "not a video" in found["results"][1]["error"]
    rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    assert [row["rank"] for row in rows] == ["1", "2", "3", ""]
    assert main([*argv, str(clips.parent / "test" / "shrink")]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.slow
def test_compare_models_and_reports(
    trained: Path, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    best, last, out = str(trained / "best"), str(trained / "last"), tmp_path / "out"
    argv = ["--data", str(clips), "--num_workers", "0", "--out", str(out)]
    assert main(["evaluate", best, last, *argv, "--num_views", "1", "2", "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert [model["name"] for model in value["models"]] == ["best", "last"]
    assert [model["cost"]["num_views"] for model in value["models"]] == [1, 2]
    assert {p.name for p in out.iterdir()} == {"comparison.json", "comparison.html", "models"}
    earlier = str(out / "models" / "best")
    # Without data: both were measured before.
    assert main(["evaluate", earlier, earlier, "--out", str(tmp_path / "same")]) == 0
    captured = capsys.readouterr()
    assert max(map(len, captured.out.splitlines())) <= 80
    assert "1.000" in captured.out
    assert "no data is named" in one_error(capsys, ["evaluate", earlier, last])
    assert "2 given" in one_error(capsys, ["evaluate", best, "--num_views", "1", "2", *argv])
    assert "is a report" in one_error(capsys, ["evaluate", earlier, *argv])
    assert "not '0'" in one_error(capsys, ["evaluate", best, last, *argv, "--num_views", "0"])
    assert main(["evaluate", earlier, last, *argv, "--stride", "2"]) == 2
    captured = capsys.readouterr()
    assert f"{last}: stride 2 has no meaning" in captured.err
    assert "of 2)" not in captured.err  # before anything is scored
    for models in ([best], [best, last]):
        line = one_error(capsys, ["evaluate", *models, *argv[:-1], str(clips)])
        assert "clips.csv is a file: name a folder" in line


@pytest.mark.slow
def test_train_tells_json_what_it_left(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    argv = ["train", "--data", str(clips), "--out", str(out), *TRAIN, "--json"]
    assert main(argv) == 0
    result = json.loads(capsys.readouterr().out)
    assert Path(result["last"], "model.safetensors").is_file()
    assert result["epochs"] == 1
    assert main(argv) == 0  # finished: says so and tells the same
    captured = capsys.readouterr()
    assert "finished" in captured.err
    assert json.loads(captured.out) == result


@pytest.mark.slow
def test_fine_tuning_replaces_the_head_and_says_so(
    trained: Path, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = list(csv.DictReader(clips.read_text(encoding="utf-8").splitlines()))
    two = clips.parent / "two.csv"
    with two.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(row for row in rows if row["label"] in ("grow", "shrink"))
    argv = ["train", "--data", str(two), "--out", str(tmp_path / "run"), *TRAIN]
    argv[-1] = f"--model={trained / 'best'}"
    assert main([*argv, "--train.batch_size=4"]) == 0
    assert "head" in capsys.readouterr().err
    config = json.loads((tmp_path / "run" / "best" / "config.json").read_text())
    assert config["class_names"] == ["grow", "shrink"]


@pytest.fixture(scope="session")
def plain_lists(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same clips as lists without a header, their labels numbers; no list of test clips."""
    folder = tmp_path_factory.mktemp("cli-lists")
    rows = list(csv.DictReader(clips.read_text(encoding="utf-8").splitlines()))
    names = sorted({row["label"] for row in rows})
    (folder / "names.txt").write_text("\n".join(names))
    for split in ("train", "val"):
        lines = [f"{r['path']} {names.index(r['label'])}\n" for r in rows if r["split"] == split]
        (folder / f"{split}.csv").write_text("".join(lines))
    return folder


@pytest.mark.slow
def test_a_format_of_its_own_in_a_recipe(
    clips: Path, plain_lists: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "recipe.yaml"
    names = plain_lists / "names.txt"
    recipe.write_text(
        f"data:\n  format: slowfast\n  root: {clips.parent}\n  annotations: {plain_lists}\n"
        f"  label_file: {names}\n"
    )
    out = tmp_path / "run"
    assert main(["train", str(recipe), "--out", str(out), *TRAIN]) == 0
    captured = capsys.readouterr()
    assert "on 16 clips of 8 classes (8 for validation)" in captured.err
    options = f"--format slowfast --annotations {plain_lists} --root {clips.parent} "
    assert f"vmf evaluate {out / 'best'} {options}--label_file {names}" in captured.out
    config = json.loads((out / "best" / "config.json").read_text())
    assert config["class_names"] == names.read_text().split()


@pytest.mark.slow
def test_evaluate_a_format_of_its_own(
    trained: Path, clips: Path, plain_lists: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    best, names = str(trained / "best"), plain_lists / "names.txt"
    argv = ["evaluate", best, "--format", "slowfast", "--num_workers", "0"]
    argv += ["--annotations", str(plain_lists), "--root", str(clips.parent)]
    assert "numbers stand for classes in lists of --format slowfast with a" in one_error(
        capsys, argv
    )
    assert main([*argv, "--label_file", str(names), "--json"]) == 0
    captured = capsys.readouterr()
    # Lists without test clips: the validation clips are measured.
    assert json.loads(captured.out)["method"]["split"] == "val"
    assert "measuring the val split" in captured.err
    swapped = plain_lists / "swapped.txt"
    first, second, *rest = names.read_text().split()
    swapped.write_text("\n".join([second, first, *rest]))
    message = one_error(capsys, [*argv, "--label_file", str(swapped)])
    assert f"position 0 (from 0): {second!r} in the data, {first!r} in the model" in message
    other = plain_lists / "other-fold"
    shutil.copytree(best, other)
    config = json.loads((other / "config.json").read_text())
    config["training"]["recipe"]["data"] |= {"format": "slowfast", "fold": 2}
    (other / "config.json").write_text(json.dumps(config))
    argv[1] = str(other)
    assert main([*argv, "--label_file", str(names)]) == 0
    assert "was trained on fold 2 of slowfast and is measured on fold 1" in capsys.readouterr().err
    assert "did you mean 'slowfast'" in one_error(capsys, [*argv, "--format", "slowfst"])
    assert "no data is named" in one_error(capsys, ["evaluate", best])
    argv = ["evaluate", best, "--data", str(plain_lists / "val.csv")]
    assert "--format slowfast" in one_error(capsys, argv)


def test_fine_tuning_in_another_order_is_refused(
    trained: Path,
    clips: Path,
    plain_lists: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = (plain_lists / "names.txt").read_text().split()
    other = tmp_path / "other.txt"
    other.write_text("\n".join(names[::-1]))
    argv = ["train", "--data", str(clips), "--data.label_file", str(other), *TRAIN]
    argv += ["--out", str(tmp_path / "run"), "--model", str(trained / "best")]
    assert "first difference at position 0" in one_error(capsys, argv)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_data_that_is_wrong(
    trained: Path, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    best, out = str(trained / "best"), str(tmp_path / "run")

    def train(data: Path, *more: str) -> str:
        return one_error(capsys, ["train", "--data", str(data), "--out", out, *TRAIN, *more])

    assert "no such" in train(tmp_path / "absent")
    source = clips.parent / "train" / "grow" / "0000.mp4"
    folder = tmp_path / "folder"
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
    shutil.copy(source, folder / "a")
    assert "b" in train(folder)
    table = tmp_path / "clips.csv"
    table.write_text("file,class\nx.mp4,a\n")
    assert "path" in train(table)
    table.write_text(f"path,label\n{source},jmp\n")
    labels = tmp_path / "labels.txt"
    labels.write_text("jump\nrun\n")
    assert "'jump'" in train(table, "--data.label_file", str(labels))
    assert not Path(out).exists()

    table.write_text(f"path,label\n{source},jmp\n")
    assert "jmp" in one_error(capsys, ["evaluate", best, "--data", str(table)])
    order = tmp_path / "order.txt"
    names = json.loads((trained / "best" / "config.json").read_text())["class_names"]
    order.write_text("\n".join(names[::-1]))
    argv = ["evaluate", best, "--data", str(clips), "--label_file", str(order)]
    assert "first difference at position 0" in one_error(capsys, argv)
    assert "test" in one_error(capsys, ["evaluate", best, "--data", str(clips), "--split", "tset"])


@pytest.mark.slow
def test_files_that_are_no_video(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    best = str(trained / "best")
    text = tmp_path / "text.mp4"
    text.write_text("hello\n" * 100)
    sound = tmp_path / "sound.wav"
    with wave.open(str(sound), "wb") as file:
        file.setparams((1, 2, 8000, 8000, "NONE", ""))
        file.writeframes(b"\0\0" * 8000)
    assert main(["predict", best, str(text), str(sound), "--num_workers", "0"]) == 1
    captured = capsys.readouterr()
    assert "2 of 2 files could not be read" in captured.err
    assert "no video stream" in captured.err
    table = tmp_path / "clips.csv"
    table.write_text("path,label\ntext.mp4,grow\n")
    argv = ["evaluate", best, "--data", str(table), "--num_workers", "0"]
    assert "text.mp4: not a video" in one_error(capsys, argv)
    assert "absent.mp4" in one_error(capsys, ["predict", best, str(tmp_path / "absent.mp4")])


def test_checkpoints_that_are_wrong(
    trained: Path, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = str(clips.parent / "test" / "grow" / "0000.mp4")
    assert "no config.json" in one_error(capsys, ["predict", str(tmp_path), clip])
    broken = tmp_path / "broken"
    shutil.copytree(trained / "best", broken)
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    assert "truncated" in one_error(capsys, ["predict", str(broken), clip])
    assert "untrained" in one_error(capsys, ["predict", "vmf_500m", clip])


def test_recipes_that_are_wrong(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = ["train", "--data", str(clips), "--out", str(tmp_path / "run")]
    assert "did you mean --optim.lr" in one_error(capsys, [*base, "--optim.lrr", "1"])
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("optim:\n  learning_rte: 1\n")
    assert "recipe.yaml" in one_error(capsys, [*base, str(recipe)])
    assert "optim.lr" in one_error(capsys, [*base, "--optim.lr", "fast"])
    assert "did you mean 'vmf_500m'" in one_error(capsys, [*base, "--model", "vmf_500"])


@pytest.mark.slow
def test_a_full_disk_loses_nothing(
    trained: Path,
    clips: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(state: Any, path: Path, **kwargs: Any) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    out = tmp_path / "run"
    line = one_error(capsys, ["train", "--data", str(clips), "--out", str(out), *TRAIN])
    assert "No space left on device" in line
    assert not list(out.rglob("model.safetensors"))
    monkeypatch.undo()
    assert main(["train", "--data", str(clips), "--out", str(out), *TRAIN]) == 0


@pytest.mark.slow
def test_ctrl_c_leaves_a_state_that_resumes(clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    argv = [sys.executable, "-m", "video_mobile_former", "train", "--data", str(clips)]
    argv += ["--out", str(out), *TRAIN, "--train.epochs=500"]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 120
        while not (out / "last").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "the same command continues" in err.strip().splitlines()[-1]
    assert list((out / "state").iterdir())


def test_wrong_words_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert "invalid choice: 'trian'" in one_error(capsys, ["trian"])
    assert "--num_view" in one_error(capsys, ["predict", "x", "y", "--num_view", "2"])
    for argv in (["--help"], ["predict", "--help"], ["train", "--help"], ["--version"]):
        with pytest.raises(SystemExit) as ended:
            main(argv)
        assert ended.value.code == 0
        assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


@pytest.mark.parametrize(
    ("words", "least"),
    [
        (["predict", "model", "a.mp4"], 0),
        (["evaluate", "model", "--data", "clips"], 0),
        (["data", "check", "clips"], 1),
        (["data", "prepare", "clips", "--out", "new"], 1),
        (["data", "shard", "clips", "--out", "new"], 1),
    ],
)
def test_too_few_workers(words: list[str], least: int, capsys: pytest.CaptureFixture[str]) -> None:
    for value in (least - 1, "few"):
        line = one_error(capsys, [*words, "--num_workers", str(value)])
        must = f"{least} to 256" if isinstance(value, int) else "a whole number"
        must = f"must be {must}, not '{value}'"
        assert line.startswith(f"vmf: error: argument --num_workers: {must} (see vmf {words[0]}")


def test_a_csv_that_cannot_be_written_is_told_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["predict", "absent", str(tmp_path / "absent.mp4"), "--csv"]
    assert "is a folder: name a file" in one_error(capsys, [*words, str(tmp_path)])
    assert "is a folder: name a file" in one_error(capsys, [*words, ""])


@pytest.mark.slow
def test_tables_and_help_are_as_wide_as_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80
    for command in ("evaluate", "predict", "benchmark", "export", "demo"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        assert max(map(len, capsys.readouterr().out.splitlines())) <= 80, command


def test_help_says_what_crops_are(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("evaluate", "predict"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        text = " ".join(capsys.readouterr().out.split())
        assert "1 is the centre (default), more are spread evenly over the long side" in text


def test_a_misspelt_model_is_guessed_everywhere(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (
        ["predict", "vmf_500", __file__],
        ["benchmark", "vmf_500"],
        ["models", "vmf_50x"],
    ):
        assert one_error(capsys, words).endswith("; did you mean 'vmf_500m'?")


@pytest.mark.slow
def test_a_reader_that_stops_reading_is_no_error() -> None:
    command = f"{sys.executable} -m video_mobile_former models 500m | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


def test_import_is_light() -> None:
    # What takes its time or may be absent is imported only where it is used.
    code = (
        "import sys, video_mobile_former; "
        "print([m for m in ('av', 'lightning', 'matplotlib', 'jinja2', 'torchmetrics', 'yaml', "
        "'onnx') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = json.loads(done.stdout.replace("'", '"'))
    assert [name for name in heavy if name != "yaml"] == []  # huggingface_hub brings yaml


def test_help_is_light() -> None:
    code = (
        "import contextlib, sys; from video_mobile_former.cli.main import main\n"
        "with contextlib.suppress(SystemExit): main(['--help'])\n"
        "print([m for m in ('torch', 'av', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "find" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_model_of_the_registry_is_not_a_checkpoint_by_accident(tmp_path: Path) -> None:
    folder = tmp_path / "vmf_500m"
    create_model("vmf_500m", 2).save_pretrained(folder)
    assert main(["predict", str(folder), str(folder)]) == 2  # a folder without videos
