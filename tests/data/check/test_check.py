"""Checks of whole sets: ten kinds of damage, verdicts, going on where one stopped."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from damage import NOT_UTF8, Damaged, damaged_copy
from video_files import numbered_frame, write_video
from video_mobile_former.cli.main import main
from video_mobile_former.data.check import CheckOptions, CheckResult, check_data, write_check
from video_mobile_former.data.check import read_files as reading_module
from video_mobile_former.data.check.facts import FileFacts, FileTask
from video_mobile_former.data.check.inspect import inspect_file
from video_mobile_former.data.check.problems import KINDS
from video_mobile_former.data.index.quarantine import read_quarantine
from video_mobile_former.data.index.source import DataSource
from video_mobile_former.data.work_folder import locked
from video_mobile_former.errors import DataError, UserError
from video_mobile_former.training.build import build_indexes
from video_mobile_former.training.recipe.fields import DataRecipe, Recipe

ROOT = os.geteuid() == 0
"""Whom no permission stops."""


def inline(function: Callable[..., Any], tasks: Any, **_: Any) -> Any:
    """In place of ``run_tasks``: this process reads, which saves seconds of starting others."""
    return ((task, function(task, lambda: None)) for task in tasks)


def write_set(folder: Path, each: int = 8, **kwargs: Any) -> Path:
    """Clips of two classes in three splits, no two alike."""
    lines = ["path,label,split,group"]
    for i, label in enumerate(("wave", "jump")):
        for k in range(each):
            name = f"{label}/{label}{k}.mp4"
            start = 40 * (each * i + k) + 1
            frames = [numbered_frame(start + t) for t in range(10)]
            write_video(folder / name, frames, container_options={"movflags": "faststart"})
            split = ("train", "train", "val", "test")[k % 4]
            lines.append(f"{name},{label},{split},g{i}-{k}")
    (folder / "clips.csv").write_text("\n".join(lines) + "\n")
    return folder / "clips.csv"


def check(path: Path, out: Path, **kwargs: Any) -> CheckResult:
    options = {name: kwargs.pop(name) for name in list(kwargs) if name in vars(CheckOptions())}
    return check_data(DataSource(str(path), **kwargs), out, CheckOptions(**options))


def by_kind(result: CheckResult) -> dict[str, list[str]]:
    return {kind: [one.name for one in found] for kind, found in result.kinds().items()}


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("good"), each=20)


@pytest.fixture(scope="module")
def damaged(good: Path, tmp_path_factory: pytest.TempPathFactory) -> Damaged:
    return damaged_copy(good, tmp_path_factory.mktemp("damaged"))


@pytest.fixture(scope="module")
def of_damaged(damaged: Damaged, tmp_path_factory: pytest.TempPathFactory) -> CheckResult:
    """By worker processes, as people run it."""
    return check(damaged.listing, tmp_path_factory.mktemp("out") / "new", num_workers=2)


@pytest.mark.slow
def test_a_good_set_may_be_trained_on(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reading_module, "run_tasks", inline)
    result = check(good, tmp_path)
    assert result.problems == []
    assert result.may_start
    assert result.verdict() == "training may start"
    assert result.num_files == len(result.index) == 40


# Ten kinds of damage


@pytest.mark.parametrize(
    "kind",
    [
        "truncated",
        "empty file",
        "not a video",
        "no video stream",
        "missing",
        "leak",
        "likely label typo",
        pytest.param(
            "no permission",
            marks=pytest.mark.skipif(ROOT, reason="no permission stops the superuser"),
        ),
        "zero duration",
        "name",
    ],
)
def test_each_damage_is_found_and_named(kind: str, damaged: Damaged, of_damaged: CheckResult):
    assert by_kind(of_damaged)[kind] == [damaged.expected[kind]]


def test_no_other_clip_is_blamed_and_none_is_lost(damaged: Damaged, of_damaged: CheckResult):
    named = {one.name for one in of_damaged.problems}
    assert not named & damaged.untouched
    listed = {clip.name for clip in of_damaged.index.clips}
    assert damaged.untouched < listed
    rows = damaged.listing.read_bytes().decode("utf-8", "surrogateescape").splitlines()[1:]
    assert len(listed) + of_damaged.missing == len(rows)
    assert not of_damaged.may_start


def test_what_goes_into_quarantine(damaged: Damaged, of_damaged: CheckResult):
    unusable = {
        damaged.expected[kind]
        for kind, found in by_kind(of_damaged).items()
        if KINDS[kind].severity == "unusable" and found
    }
    assert set(of_damaged.quarantine) == unusable | {damaged.expected["leak"]}
    usable = {
        clip.name
        for clip, good in zip(of_damaged.index.clips, of_damaged.usable, strict=True)
        if good
    }
    assert usable == {clip.name for clip in of_damaged.index.clips} - set(of_damaged.quarantine)
    for one in of_damaged.problems:
        assert one.quarantined == (one.name in of_damaged.quarantine and one.kind != "name")


@pytest.mark.slow
def test_the_three_files_agree(damaged: Damaged, of_damaged: CheckResult, tmp_path: Path):
    page = write_check(of_damaged, tmp_path)
    text = page.read_text(encoding="utf-8")
    value = json.loads((tmp_path / "check.json").read_text(encoding="ascii"))
    assert value["may_start"] is False
    assert value["format"] == 1
    assert value["clips"] == len(of_damaged.index)
    named = {(one["kind"], one["name"]) for one in value["problems"]}
    for kind, name in damaged.expected.items():
        if kind != "no permission" or not ROOT:
            assert (kind, name) in named
            assert name.encode("utf-8", "backslashreplace").decode() in text
    assert read_quarantine(tmp_path / "quarantine.txt") == of_damaged.quarantine
    first = (tmp_path / "quarantine.txt").read_text().splitlines()[0]
    assert first == f"# vmf data check {damaged.listing}"
    assert value["distributions"]["frames"]["percentiles"]["50"] == 10
    typo = damaged.expected["likely label typo"]
    assert {row["name"] for row in value["class_counts"]} == {"wave", "jump", typo}


def test_the_terminal_is_not_too_narrow(of_damaged: CheckResult):
    report = of_damaged.report()
    assert all(len(line) <= 80 for line in report.splitlines())
    for kind in of_damaged.kinds():
        assert kind in report
    assert "not ready for training" in report
    report.encode("utf-8")


@pytest.mark.slow
def test_folders_of_classes(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reading_module, "run_tasks", inline)
    data = tmp_path / "data"
    for split in ("train", "val"):
        for label in ("wave", "jump"):
            (data / split / label).mkdir(parents=True)
    for path in sorted(good.parent.glob("*/*.mp4")):
        number = int(path.stem[4:])
        split = "val" if number % 4 == 3 else "train"
        shutil.copyfile(path, data / split / path.parent.name / path.name)
    wave = data / "train" / "wave"
    (wave / "wave0.mp4").rename(wave / "wave0.txt")
    (wave / "notes.txt").write_text("not a video, and not called one\n")
    (wave / "wave1.mp4").rename(wave / NOT_UTF8)
    (data / "train" / "swim").mkdir()
    shutil.copyfile(data / "val" / "wave" / "wave3.mp4", wave / "again.mp4")
    result = check(data, tmp_path / "out")
    assert by_kind(result) == {
        "leak": ["train/wave/again.mp4"],
        "empty class": [str(data / "train" / "swim")],
        "wrong extension": ["train/wave/wave0.txt"],
        "name": [f"train/wave/{NOT_UTF8}"],
    }
    assert result.num_passed_over == 2
    assert result.quarantine.keys() == {"train/wave/again.mp4"}


# Verdicts


def changed(good: Path, folder: Path, change: Callable[[dict[str, str]], None]) -> Path:
    """The same clips under a list of its own."""
    with good.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["path"] = str(good.parent / row["path"])
        change(row)
    folder.mkdir(exist_ok=True)
    with (folder / "clips.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return folder / "clips.csv"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Options that read little, in this process."""
    monkeypatch.setattr(reading_module, "run_tasks", inline)
    return {"full": False}


@pytest.mark.slow
def test_unusable_files_do_not_keep_training_from_starting(
    good: Path, tmp_path: Path, quick: dict[str, Any]
):
    (tmp_path / "bad.mp4").touch()

    def spoil(row: dict[str, str]) -> None:
        if row["path"].endswith("wave0.mp4"):
            row["path"] = str(tmp_path / "bad.mp4")

    result = check(changed(good, tmp_path, spoil), tmp_path / "out", **quick)
    assert by_kind(result) == {"empty file": [str(tmp_path / "bad.mp4")]}
    assert result.may_start
    assert result.verdict() == "training may start without 1 clip"


@pytest.mark.slow
def test_an_error_can_be_allowed(good: Path, tmp_path: Path, quick: dict[str, Any]):
    listing = changed(good, tmp_path, lambda row: row.update(group=row["label"]))
    result = check(listing, tmp_path / "out", **quick)
    assert by_kind(result) == {"group across splits": ["wave", "jump"]}
    assert not result.may_start
    allowed = check(listing, tmp_path / "out", allow=frozenset(["group across splits"]), **quick)
    assert allowed.may_start
    assert [one.severity for one in allowed.problems] == ["warning", "warning"]


@pytest.mark.parametrize("kind", ["lek", "truncated"])
def test_only_errors_can_be_allowed(kind: str):
    with pytest.raises(
        UserError, match=f"--allow {kind}: no such kind of error; there are: .*'leak', "
    ) as caught:
        CheckOptions(allow=frozenset([kind]))
    assert ", 'same content, two labels', " in str(caught.value)


@pytest.mark.slow
def test_labels_that_are_not_in_the_list(good: Path, tmp_path: Path, quick: dict[str, Any]):
    def spoil(row: dict[str, str]) -> None:
        if row["path"].endswith("wave0.mp4"):
            row["label"] = "wafe"

    (tmp_path / "labels.txt").write_text("wave\njump\n")
    listing = changed(good, tmp_path, spoil)
    result = check(listing, tmp_path / "out", label_file=str(tmp_path / "labels.txt"), **quick)
    (problem,) = result.problems
    assert (problem.kind, problem.where) == ("unknown label", f"{listing}:2")
    assert "did you mean 'wave'?" in problem.text
    assert not result.may_start


def test_one_split_alone(good: Path, tmp_path: Path, quick: dict[str, Any]):
    result = check(good, tmp_path / "out", split="val", **quick)
    assert len(result.index) == 10
    assert result.problems == []
    with pytest.raises(DataError, match="no split 'x'"):
        check(good, tmp_path / "out", split="x", **quick)


def test_a_part_at_fault_does_not_condemn_the_file(
    good: Path, tmp_path: Path, quick: dict[str, Any]
):
    video = good.parent / "wave" / "wave0.mp4"
    lines = [
        "path,label,split,start_seconds,end_seconds",
        *(f"{good.parent}/jump/jump{i}.mp4,jump,train,," for i in range(6)),
        f"{video},wave,train,0,0.1",
        f"{video},wave,train,0.1,0.2",
        f"{video},wave,train,7,8",
        f"{good.parent}/wave/wave1.mp4,wave,train,7,8",
    ]
    (tmp_path / "clips.csv").write_text("\n".join(lines) + "\n")
    result = check(tmp_path / "clips.csv", tmp_path / "out", **quick)
    other = f"{good.parent}/wave/wave1.mp4"
    assert by_kind(result)["empty part"] == [str(video), other]
    assert result.quarantine.keys() == {other}


@pytest.mark.slow
def test_files_with_another_ending_are_hinted_at(good: Path, tmp_path: Path, quick: dict[str, Any]):
    data = tmp_path / "data"
    shutil.copytree(good.parent, data)
    (data / "wave" / "wave0.mp4").rename(data / "wave" / "wave0.webm.part")
    (data / "wave" / "wave1.mp4").rename(data / "wave" / "wave1.avi")
    result = check(data / "clips.csv", tmp_path / "out", **quick)
    assert [one.text for one in result.problems if one.kind == "missing"] == [
        "no such file",
        "no such file; wave1.avi is there",
    ]


@pytest.mark.slow
def test_files_that_are_commonly_gone(good: Path, tmp_path: Path, quick: dict[str, Any]):
    videos = tmp_path / "videos"
    videos.mkdir()
    lines = ["label,youtube_id,time_start,time_end,split"]
    for i in range(40):
        label, split = ("abseiling", "zumba")[i % 2], ("train", "val")[i // 2 % 2]
        lines.append(f"{label},{i:011d},0,10,{split}")
        if i >= 12:
            name = f"{('wave', 'jump')[i % 2]}{i // 2}.mp4"
            source = good.parent / name[:4] / name
            shutil.copyfile(source, videos / f"{i:011d}_000000_000010.mp4")
    (tmp_path / "list.csv").write_text("\n".join(lines) + "\n")
    kwargs = {"format": "kinetics400", "annotations": str(tmp_path / "list.csv")}
    result = check(videos, tmp_path / "out", **kwargs, **quick)
    found = by_kind(result)
    assert len(found.pop("missing from the official list")) == 12
    assert found.pop("much is missing") == [str(tmp_path / "list.csv")]
    assert len(found.pop("class without clips")) == 398
    assert found == {}
    assert result.may_start
    summary = result.summary()
    assert (summary["missing_files"], summary["missing_share"]) == (12, 0.3)
    assert write_check(result, tmp_path / "out").exists()


@pytest.mark.slow
def test_videos_in_shards(good: Path, tmp_path: Path, quick: dict[str, Any]):
    assert main(["data", "shard", str(good), "--out", str(tmp_path / "shards"), "--json"]) == 0
    result = check(tmp_path / "shards", tmp_path / "out", full=True)
    assert result.problems == []
    assert result.num_files == 40
    assert {facts.decoded for facts in result.facts} == {10}


def test_nothing_usable_is_a_report_not_a_crash(tmp_path: Path, quick: dict[str, Any]):
    (tmp_path / "clips.csv").write_text("path,label\na.mp4,x\nb.mp4,y\n")
    result = check(tmp_path / "clips.csv", tmp_path / "out", **quick)
    assert by_kind(result) == {"missing": ["a.mp4", "b.mp4"]}
    assert not result.may_start
    assert write_check(result, tmp_path / "out").exists()


@pytest.mark.slow
def test_training_leaves_out_what_is_unusable(good: Path, tmp_path: Path, quick: dict[str, Any]):
    (tmp_path / "bad.mp4").touch()

    def spoil(row: dict[str, str]) -> None:
        if row["path"].endswith("wave0.mp4"):
            row["path"] = str(tmp_path / "bad.mp4")

    listing = changed(good, tmp_path, spoil)
    result = check(listing, tmp_path / "out", **quick)
    write_check(result, tmp_path / "out")
    data = DataRecipe(path=str(listing), quarantine=str(tmp_path / "out" / "quarantine.txt"))
    train, val = build_indexes(Recipe(data=data))
    assert val is not None
    names = {clip.name for clip in [*train.clips, *val.clips]}
    assert len(names) == 29
    assert str(tmp_path / "bad.mp4") not in names


@pytest.mark.slow
@pytest.mark.skipif(not ROOT or shutil.which("setpriv") is None, reason="needs root and setpriv")
def test_no_permission_for_a_superuser_without_privileges(good: Path, tmp_path: Path):
    damaged = damaged_copy(good, tmp_path / "data")
    gone = "-dac_override,-dac_read_search"
    command = ["setpriv", f"--bounding-set={gone}", f"--inh-caps={gone}", sys.executable, "-m"]
    command += ["video_mobile_former", "data", "check", str(damaged.listing), "--json"]
    command += ["--out", str(tmp_path / "out"), "--num_workers", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1, done.stderr
    problems = json.loads((tmp_path / "out" / "check.json").read_text())["problems"]
    found = [one["name"] for one in problems if one["kind"] == "no permission"]
    assert found == [damaged.expected["no permission"]]


# Going on


@pytest.mark.slow
def test_a_second_check_reads_what_changed(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    data = tmp_path / "data"
    shutil.copytree(good.parent, data)
    read: list[str] = []

    def spying(function: Callable[..., Any], tasks: Any, **_: Any) -> Any:
        for task in tasks:
            read.append(Path(task.key.path).name)
            yield task, function(task, lambda: None)

    monkeypatch.setattr(reading_module, "run_tasks", spying)
    first = check(data / "clips.csv", tmp_path / "out", full=False)
    assert len(read) == 40
    read.clear()
    os.utime(data / "wave" / "wave3.mp4")
    (data / "jump" / "jump2.mp4").write_bytes(b"")
    second = check(data / "clips.csv", tmp_path / "out", full=False)
    assert sorted(read) == ["jump2.mp4", "wave3.mp4"]
    assert by_kind(second) == {"empty file": ["jump/jump2.mp4"]}
    assert [a.sha256 for a in first.facts][:20] == [b.sha256 for b in second.facts][:20]
    read.clear()
    check(data / "clips.csv", tmp_path / "out", full=True)
    assert len(read) == 40  # one frame of each is not every frame


@pytest.mark.slow
def test_an_interrupted_check_goes_on(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    read: list[str] = []

    def interrupted(function: Callable[..., Any], tasks: Any, **_: Any) -> Any:
        for i, task in enumerate(tasks):
            if i == 7:
                raise KeyboardInterrupt
            read.append(task.key.path)
            yield task, function(task, lambda: None)

    monkeypatch.setattr(reading_module, "run_tasks", interrupted)
    with pytest.raises(KeyboardInterrupt):
        check(good, tmp_path / "out", full=False)
    said = capsys.readouterr().err
    assert "stopped after 7 of 40 files" in said
    assert "same command continues" in said
    monkeypatch.setattr(reading_module, "run_tasks", inline)
    again: list[str] = []

    def counted(task: FileTask, alive: Callable[[], None]) -> FileFacts:
        again.append(task.key.path)
        return inspect_file(task, alive)

    monkeypatch.setattr(reading_module, "inspect_file", counted)
    assert check(good, tmp_path / "out", full=False).may_start
    assert len(again) == 33
    assert not set(again) & set(read)
    assert "7 of 40 files" in capsys.readouterr().err


def treacherous(task: FileTask, alive: Callable[[], None]) -> FileFacts:
    """In place of ``inspect_file``, in a worker process: some files kill or hang their reader."""
    name = Path(task.key.path).name
    if name == "wave0.mp4":
        os.kill(os.getpid(), signal.SIGSEGV)
    if name == "wave1.mp4":
        time.sleep(60)
    return inspect_file(task, alive)


def test_what_kills_or_hangs_a_process_is_blamed_and_the_others_are_read(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(reading_module, "inspect_file", treacherous)
    result = check(good, tmp_path, full=False, num_workers=2, timeout_seconds=3)
    assert by_kind(result) == {"too slow": ["wave/wave1.mp4"], "crash": ["wave/wave0.mp4"]}
    texts = {one.kind: one.text for one in result.problems}
    assert "signal 11" in texts["crash"]
    assert "did not get on for 3 seconds" in texts["too slow"]
    # Neither is held against the file for ever.
    monkeypatch.undo()
    monkeypatch.setattr(reading_module, "run_tasks", inline)
    assert check(good, tmp_path, full=False).problems == []


def test_two_checks_do_not_write_into_one_folder(good: Path, tmp_path: Path, quick: dict[str, Any]):
    pytest.importorskip("fcntl")
    with locked(tmp_path), pytest.raises(UserError, match="another process is writing here"):
        check(good, tmp_path, **quick)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        check(good, tmp_path / "file", **quick)


# The command


@pytest.mark.slow
def test_the_command(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(reading_module, "run_tasks", inline)
    monkeypatch.chdir(tmp_path)
    assert main(["data", "check", str(good), "--quick"]) == 0
    out, err = capsys.readouterr()
    assert "40 clips, 40 files, 2 classes, read in" in out
    assert f"vmf train --data {good} --out runs/mine" in out  # a command that works as it stands
    assert "report: clips-check/check.html" in err
    assert {path.name for path in Path("clips-check").iterdir()} == {
        ".lock",
        "check.html",
        "check.json",
        "facts.jsonl",
        "quarantine.txt",
    }


@pytest.mark.slow
def test_the_command_says_no_by_its_status(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(reading_module, "run_tasks", inline)
    listing = changed(good, tmp_path, lambda row: row.update(group="g"))
    words = ["data", "check", str(listing), "--quick", "--json", "--out", str(tmp_path / "out")]
    assert main(words) == 1
    value = json.loads(capsys.readouterr().out)
    assert (value["may_start"], value["kinds"]) == (False, {"group across splits": 1})
    assert main([*words, "--allow", "group across splits"]) == 0
    assert main(["data", "check", str(tmp_path / "none.csv")]) == 2
    assert main([*words, "--num_workers", "0"]) == 2
    assert main([*words, "--allow", "x"]) == 2


@pytest.mark.slow
@pytest.mark.parametrize("name", ["surv_fight2", "tennis_strokes7"])
def test_ten_damages_to_real_clips(name: str, shared_data: Path, tmp_path: Path):
    damaged = damaged_copy(shared_data / name / "clips.csv", tmp_path / "data")
    result = check(damaged.listing, tmp_path / "out", num_workers=2)
    found = by_kind(result)
    for kind, expected in damaged.expected.items():
        if kind != "no permission" or not ROOT:
            assert found[kind] == [expected]
    bad = {one.name for one in result.problems if one.severity in ("error", "unusable")}
    assert not bad & damaged.untouched


@pytest.mark.slow
def test_ctrl_c_in_a_terminal(good: Path, tmp_path: Path):
    command = [sys.executable, "-m", "video_mobile_former", "data", "check", str(good)]
    command += ["--out", str(tmp_path / "out"), "--num_workers", "1"]
    slow = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=slow,
        start_new_session=True,
    )  # fmt: skip
    facts = tmp_path / "out" / "facts.jsonl"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (facts.exists() and facts.stat().st_size):
        time.sleep(0.005)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to all of them
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    if process.returncode == 130:
        assert "same command continues" in err
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, out + done.stderr
