from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from video_files import numbered_frame, read_number, write_video
from video_mobile_former.cli.main import main
from video_mobile_former.data.index.index import ClipIndex, load_index
from video_mobile_former.data.index.quarantine import read_quarantine
from video_mobile_former.data.index.source import DataSource, Faults
from video_mobile_former.data.prepare.prepare import prepare
from video_mobile_former.data.prepare.settings import PrepareSettings
from video_mobile_former.data.video.reader import VideoReader
from video_mobile_former.data.work_folder import locked
from video_mobile_former.errors import DataError, UserError


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five clips of one file and two others, and classes in an order of their own."""
    folder = tmp_path_factory.mktemp("data")
    write_video(folder / "long.mp4", 60, gop=60)
    write_video(folder / "sub" / "one.avi", 12)
    write_video(folder / "sub" / "two.mkv", 12)
    lines = [
        "path,label,split,group,start_seconds,end_seconds",
        "long.mp4,run,train,scene1,0,0.5",
        "long.mp4,walk,train,scene1,0.5,1",
        "long.mp4,run,val,scene1,1,",
        "sub/one.avi,walk,test,scene 2,,",
        f"{folder / 'sub' / 'two.mkv'},run,train,,,",
    ]
    (folder / "clips.csv").write_text("\n".join(lines) + "\n")
    (folder / "names.txt").write_text("walk\nrun\nnever\n")
    return folder


def read(folder: Path, **kwargs) -> ClipIndex:
    return load_index(DataSource(str(folder / "clips.csv"), **kwargs))


def rows(index: ClipIndex) -> list[tuple]:
    return [
        (index.class_names[clip.label], clip.split, clip.group, clip.start_seconds)
        for clip in index.clips
    ]


def stamps(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.rglob("*.mp4")}


def test_labels_splits_groups_and_the_order_of_classes_stay(data: Path, tmp_path: Path):
    index = read(data, label_file=str(data / "names.txt"))
    result = prepare(index, tmp_path / "out", num_workers=2)
    assert (result.clips, result.reused, result.failures) == (5, 0, ())
    assert result.frames == 60 + 12 + 12
    sources = [data / "long.mp4", data / "sub/one.avi", data / "sub/two.mkv"]
    assert result.bytes_before == sum(path.stat().st_size for path in sources)
    assert result.bytes_after == sum(p.stat().st_size for p in tmp_path.rglob("*.mp4"))
    for named in (tmp_path / "out", tmp_path / "out" / "clips.csv"):
        again = load_index(str(named))
        assert again.class_names == ("walk", "run", "never")
        assert [row[:3] for row in rows(again)] == [row[:3] for row in rows(index)]
        assert all(clip.start_seconds is None for clip in again.clips)
    names = [clip.name for clip in load_index(str(tmp_path / "out")).clips]
    assert names[:4] == [
        "clips/long_0.000-0.500.mp4",
        "clips/long_0.500-1.000.mp4",
        "clips/long_1.000-end.mp4",
        "clips/sub/one.mp4",
    ]
    assert not [path for path in (tmp_path / "out").iterdir() if path.name == ".partial"]


def test_several_classes_of_a_clip_stay(data: Path, tmp_path: Path):
    table = data / "several.csv"
    table.write_text("path,label\nsub/one.avi,walk|run\nsub/two.mkv,\n")
    index = load_index(DataSource(str(table), multi_label=True))
    prepare(index, tmp_path / "out", num_workers=1)
    again = load_index(str(tmp_path / "out"))
    assert again.multi_label
    assert again.class_names == ("run", "walk")
    assert [clip.labels for clip in again.clips] == [(1, 0), ()]


def test_events_come_along_on_the_clock_of_the_part(data: Path, tmp_path: Path):
    """long.mp4 is cut in two; an event across the cut is in both, an earlier one in the first."""
    table = data / "events.csv"
    events = [
        {"start_seconds": 0.1, "end_seconds": 0.3, "label": "step"},
        {"start_seconds": 0.4, "end_seconds": 0.9, "label": "turn"},
    ]
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label", "start_seconds", "end_seconds", "events"))
        writer.writerow(("long.mp4", "walk", "", "0.5", json.dumps(events)))
        writer.writerow(("long.mp4", "walk", "0.5", "1.0", json.dumps(events)))
        writer.writerow(("sub/one.avi", "run", "", "", ""))
    index = load_index(str(table))
    prepare(index, tmp_path / "out", num_workers=1)
    again = load_index(str(tmp_path / "out"))
    names = again.class_names
    found = [
        [(event.start_seconds, event.end_seconds, names[event.label]) for event in clip.events]
        for clip in again.clips
    ]
    assert found[0] == [(0.1, 0.3, "step"), (0.4, 0.9, "turn")]
    assert found[1] == [(0.0, pytest.approx(0.4), "turn")]
    assert found[2] == []


def test_only_what_is_missing_or_changed_is_made_again(data: Path, tmp_path: Path):
    index, out = read(data), tmp_path / "out"
    prepare(index, out)
    before = stamps(out)
    assert prepare(index, out).reused == 5
    assert stamps(out) == before
    (out / "clips/sub/one.mp4").unlink()
    (out / "clips/long_1.000-end.mp4").write_bytes(b"cut")
    with (out / "prepare.jsonl").open("a") as file:
        file.write('{"output": "clips/sub/t')  # what a kill may leave
    two = data / "sub/two.mkv"
    os.utime(two, ns=(0, two.stat().st_mtime_ns + 1))
    result = prepare(index, out)
    assert (result.clips, result.reused) == (5, 2)
    changed = {name for name, stamp in stamps(out).items() if stamp != before[name]}
    assert changed >= {"one.mp4", "long_1.000-end.mp4"}
    assert len(changed) == 3
    assert prepare(index, out).reused == 5


def test_clips_of_other_settings_are_not_mixed(data: Path, tmp_path: Path):
    index, out = read(data), tmp_path / "out"
    prepare(index, out, PrepareSettings(short_side=32))
    with pytest.raises(UserError, match=r"made with short_side 32, not 48; .*overwrite"):
        prepare(index, out, PrepareSettings(short_side=48))
    result = prepare(index, out, PrepareSettings(short_side=48), overwrite=True)
    assert result.reused == 0
    summary = json.loads((out / "prepare.json").read_text())
    assert (summary["state"], summary["settings"]["short_side"]) == ("complete", 48)


def test_a_folder_of_other_things_is_left_alone(data: Path, tmp_path: Path):
    (tmp_path / "thesis.txt").write_text("x")
    with pytest.raises(UserError, match="holds other things"):
        prepare(read(data), tmp_path, overwrite=True)
    with pytest.raises(UserError, match="is a file; name a folder"):
        prepare(read(data), tmp_path / "thesis.txt")


def test_one_writer_at_a_time(data: Path, tmp_path: Path):
    with locked(tmp_path), pytest.raises(UserError, match="another process is writing"):
        prepare(read(data), tmp_path)


def test_an_unfinished_folder_is_no_data(data: Path, tmp_path: Path):
    prepare(read(data), tmp_path / "out")
    (tmp_path / "out" / "clips.csv").unlink()
    with pytest.raises(DataError, match="not finished"):
        load_index(str(tmp_path / "out"))
    (tmp_path / "out" / "prepare.json").write_text("{")
    with pytest.raises(DataError, match="damaged"):
        load_index(str(tmp_path / "out"))


def test_what_fails_is_named_and_nothing_else_is_lost(tmp_path: Path):
    folder = tmp_path / "data"
    write_video(folder / "a" / "good.mp4", 10)
    write_video(folder / "b" / "good.mp4", 10)
    whole = (folder / "a" / "good.mp4").read_bytes()
    (folder / "a" / "cut.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    (folder / "a" / "empty.mp4").touch()
    (folder / "a" / "text.mp4").write_text("not a video")
    strange = os.fsencode(folder / "b") + b"/\xff\xfe.mp4"
    Path(os.fsdecode(strange)).write_bytes(whole)
    bad = os.fsencode(folder / "b") + b"/\xfd.mp4"
    Path(os.fsdecode(bad)).write_bytes(whole[:100])
    result = prepare(load_index(str(folder)), tmp_path / "out", timeout_seconds=60)
    assert result.clips == 3
    failed = dict(result.failures)
    names = {"a/cut.mp4", "a/empty.mp4", "a/text.mp4", "b/\udcfd.mp4"}
    assert set(failed) == names
    assert failed["a/empty.mp4"] == "the file is empty"
    assert set(read_quarantine(tmp_path / "out" / "failed.txt")) == names
    assert len(json.loads((tmp_path / "out" / "prepare.json").read_text())["failures"]) == 4
    index = load_index(str(tmp_path / "out"))
    assert [index.class_names[clip.label] for clip in index.clips] == ["a", "b", "b"]
    # Mended, the failed ones are tried again, and the list of failures goes.
    for name in names:
        (folder / name).unlink()
    assert prepare(load_index(str(folder)), tmp_path / "out").reused == 3
    assert not (tmp_path / "out" / "failed.txt").exists()


def test_folders_of_pictures_become_videos(tmp_path: Path):
    for clip in ("a/one", "b/two"):
        for i in range(6):
            write_video(
                tmp_path / "data" / clip / f"img_{i + 1:05d}.png",
                [numbered_frame(i)],
                codec="png",
                pix_fmt="rgb24",
                container_options={"update": "1"},
            )
    index = load_index(DataSource(str(tmp_path / "data"), format="frames"))
    result = prepare(index, tmp_path / "out", PrepareSettings(frame_rate=10.0))
    assert (result.clips, result.frames, result.failures) == (2, 12, ())
    again = load_index(str(tmp_path / "out"))
    assert [again.class_names[clip.label] for clip in again.clips] == ["a", "b"]
    for clip in again.clips:
        with VideoReader(clip.path) as reader:
            assert reader.timestamps() == pytest.approx([i / 10 for i in range(6)])
            pictures = reader.frames(range(6)).permute(0, 2, 3, 1).numpy()
        assert [read_number(picture) for picture in pictures] == list(range(6))
    assert prepare(index, tmp_path / "out", PrepareSettings(frame_rate=10.0)).reused == 2


def test_rows_that_name_nothing_are_failures_too(data: Path, tmp_path: Path):
    lines = (data / "clips.csv").read_text().splitlines()
    text = [*lines, "gone.mp4,run,train,,,", "long.mp4,run,,,3,2"]
    (data / "faulty.csv").write_text("\n".join(text) + "\n")
    faults = Faults(collect=True)
    index = load_index(str(data / "faulty.csv"), faults=faults)
    result = prepare(index, tmp_path / "out", faults=faults.found)
    assert result.clips == 5
    assert dict(result.failures)["gone.mp4"] == "no such file"
    assert len(result.failures) == 2


def test_somebody_has_to_do_it(data: Path, tmp_path: Path):
    with pytest.raises(UserError, match="num_workers must be at least 1, not 0"):
        prepare(read(data), tmp_path / "out", num_workers=0)
    assert not (tmp_path / "out").exists()


def test_a_class_name_that_cannot_be_written_is_refused(data: Path, tmp_path: Path):
    index = read(data)
    index = ClipIndex(index.clips, ("a\udcff", "b"), "x")
    with pytest.raises(DataError, match="is not UTF-8"):
        prepare(index, tmp_path / "out")


def test_command(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = str(tmp_path / "out")
    words = ["data", "prepare", str(data / "clips.csv"), "--out", out, "--short_side", "32"]
    assert main([*words, "--num_workers", "1"]) == 0
    shown = capsys.readouterr().out
    assert "clips   5 (84 frames, 0.0 minutes)" in shown
    assert "MB before" in shown
    assert f"next    vmf train --data {out}" in shown
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["clips"], found["reused"], found["failures"]) == (5, 5, [])
    assert main([*words, "--crf", "99"]) == 2
    assert "--crf: must be 0 to 51" in capsys.readouterr().err
    inside = ["data", "prepare", str(data), "--out", str(data / "sub" / "out")]
    assert main(inside) == 2
    assert "lies inside of" in capsys.readouterr().err
    (data / "faulty.csv").write_text("path,label\nlong.mp4,a\ngone.mp4,a\n")
    words[2], words[4] = str(data / "faulty.csv"), str(tmp_path / "other")
    assert main(words) == 1
    errors = capsys.readouterr().err
    assert "failed: gone.mp4: no such file" in errors
    assert "1 clip failed, see" in errors


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(tmp_path: Path):
    source = write_video(tmp_path / "long.mp4", 600, gop=50)
    lines = [f"long.mp4,c{i % 3},{i / 2},{i / 2 + 0.5}" for i in range(40)]
    (tmp_path / "clips.csv").write_text("path,label,start_seconds,end_seconds\n" + "\n".join(lines))
    out = tmp_path / "out"
    command = [sys.executable, "-m", "video_mobile_former", "data", "prepare"]
    command += [str(tmp_path / "clips.csv"), "--out", str(out), "--num_workers", "2", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    journal = out / "prepare.jsonl"
    while not (journal.exists() and journal.read_bytes().count(b"\n") >= 5):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (out / "clips.csv").exists()
    before = stamps(out / "clips")
    assert 5 <= len(before) < 40
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    found = json.loads(done.stdout)
    assert found["clips"] == 40
    assert found["reused"] >= 5
    assert found["frames"] == 600
    after = stamps(out / "clips")
    assert sum(after[name] == stamp for name, stamp in before.items()) >= found["reused"]
    assert not (out / ".partial").exists()
    assert source.exists()
