"""Files appear whole or not at all; errors that users meet are one line."""

from __future__ import annotations

import errno
import pickle
from pathlib import Path

import pytest

from video_mobile_former.clip_spec import ClipSpec
from video_mobile_former.errors import UserError, VideoError
from video_mobile_former.files import (
    atomic_files,
    atomic_folder,
    atomic_path,
    check_file,
    check_folder,
    check_replaceable,
    write_json,
)
from video_mobile_former.optional import require


def test_others_may_read_what_a_library_wrote_for_its_owner_alone(tmp_path: Path) -> None:
    usual = tmp_path / "usual"
    usual.touch()

    def write(path: Path) -> None:
        path.write_bytes(b"weights")
        path.chmod(0o600)

    with atomic_path(tmp_path / "one") as path:
        write(path)
    with atomic_folder(tmp_path / "folder") as folder:
        write(folder / "two")
    with atomic_files([tmp_path / "three"]) as folder:
        write(folder / "three")
    for file in (tmp_path / "one", tmp_path / "folder" / "two", tmp_path / "three"):
        assert file.stat().st_mode == usual.stat().st_mode


def test_a_file_takes_its_place_only_when_done(tmp_path: Path) -> None:
    target = tmp_path / "new" / "report.json"
    with atomic_path(target) as path:
        path.write_text("one")
        assert not target.exists()
        assert path.suffix == ".json"
    assert target.read_text() == "one"
    with pytest.raises(RuntimeError), atomic_path(target) as path:  # noqa: PT012 - the block fails
        path.write_text("two")
        raise RuntimeError
    assert target.read_text() == "one"
    assert [p.name for p in target.parent.iterdir()] == ["report.json"]


def test_a_folder_takes_its_place_only_when_done(tmp_path: Path) -> None:
    target = tmp_path / "checkpoint"
    for text in ("one", "two"):
        with atomic_folder(target) as folder:
            (folder / "file").write_text(text)
        assert (target / "file").read_text() == text
    with pytest.raises(RuntimeError), atomic_folder(target) as folder:  # noqa: PT012 - it fails
        (folder / "file").write_text("three")
        raise RuntimeError
    assert (target / "file").read_text() == "two"
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint"]


def test_a_full_disk_is_a_user_error(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    refused = r"cannot write .*a\.json: No space left"
    with pytest.raises(UserError, match=refused), atomic_path(tmp_path / "a.json"):
        raise full
    with pytest.raises(UserError, match="unchanged"), atomic_folder(tmp_path / "b"):
        raise full
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "taken").write_text("a file where a folder should be")
    with pytest.raises(UserError, match="cannot write"):
        write_json(tmp_path / "taken" / "x.json", {})


def test_a_file_that_cannot_be_written_is_told_beforehand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_file(tmp_path / "new" / "a.csv")
    (tmp_path / "taken").write_text("a file where a folder should be")
    check_file(tmp_path / "taken")
    for path, refused in (
        (tmp_path, "is a folder: name a file"),
        ("", "is a folder: name a file"),
        ("/dev/null", "/dev/null is not a regular file"),
        (tmp_path / "taken" / "a.csv", "taken is a file: name a folder"),
        (tmp_path / ("a" * 250), "cannot write .*too long"),
        (tmp_path / "new" / ("a" * 300), "cannot write .*too long"),
    ):
        with pytest.raises(UserError, match=refused):
            check_file(path)

    def no_permission(*args: object, **kwargs: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("tempfile.NamedTemporaryFile", no_permission)
    with pytest.raises(UserError, match=r"cannot write .*a\.csv: Permission denied"):
        check_file(tmp_path / "new" / "a.csv")
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]


@pytest.mark.parametrize("name", ["", "x" * 300, f"{'x' * 300}/run", "taken", "taken/run"])
def test_a_folder_that_cannot_be_made_is_told_beforehand(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("taken").touch()
    with pytest.raises(UserError, match=r"empty|too long|taken is a file"):
        check_folder(name)
    check_folder("a/b")
    check_folder(".")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_only_what_this_program_wrote_is_replaced(tmp_path: Path) -> None:
    note, page = tmp_path / "report.json", tmp_path / "report.html"
    check_replaceable([page, note], note)
    page.write_text("of somebody else")
    with pytest.raises(UserError, match=r"report\.html is there and was not written by vmf"):
        check_replaceable([page, note], note)
    check_replaceable([page, note], note, overwrite=True)
    note.write_text('{"format": "of somebody else"}')
    with pytest.raises(UserError, match="--overwrite"):
        check_replaceable([page, note], note)
    write_json(note, {"format": 3})
    check_replaceable([page, note], note)
    note.unlink()
    note.symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match="--overwrite"):
        check_replaceable([note], note)


def test_nan_is_no_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"x": float("nan")})


def test_video_errors_cross_processes() -> None:
    error = pickle.loads(pickle.dumps(VideoError("a.mp4", "no video stream")))  # noqa: S301 - ours
    assert (str(error), error.path, error.reason) == (
        "a.mp4: no video stream",
        "a.mp4",
        "no video stream",
    )


def test_missing_extras_say_what_to_install() -> None:
    with pytest.raises(
        UserError, match=r"reports needs nowhere_to_be_found: pip install '.*\[x\]'"
    ):
        require("nowhere_to_be_found.part", extra="x", purpose="reports")
    assert require("json", extra="x", purpose="tests").loads("1") == 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_frames": 0}, "clip.num_frames must be a whole number"),
        ({"num_frames": True}, "clip.num_frames must be a whole number"),
        ({"sampling": "random"}, "clip.sampling must be"),
        ({"stride_fps": 0}, "clip.stride_fps must be above 0"),
        ({"resize_size": 100}, "must not be below"),
        ({"std": (1, 1, 0)}, "clip.std must be three numbers"),
        ({"frames": 8}, "unknown keys"),
    ],
)
def test_clip_spec_names_what_is_wrong(values: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ClipSpec.from_dict(values)


def test_clip_spec_round_trip() -> None:
    spec = ClipSpec(num_frames=8, sampling="dense", stride=2, crop_size=112, resize_size=128)
    assert ClipSpec.from_dict(spec.to_dict()) == spec
    assert spec.stride_seconds == pytest.approx(2 / 30)
