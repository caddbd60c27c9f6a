"""The folder of uploads: private, and emptied whatever happened before."""

import os
import stat
import subprocess
import sys

import pytest

from video_mobile_former.errors import UserError
from video_mobile_former.web.folder import UploadFolder

_KILLED = """
import os, sys
from video_mobile_former.web.folder import Upload, UploadFolder
folder = UploadFolder(sys.argv[1], 1e6)
Upload(folder, folder.path / "left").write(b"secret")
os._exit(9)
"""


def test_only_its_owner_may_look_into_it(tmp_path):
    with UploadFolder(tmp_path / "new", 1e6) as folder, folder.upload() as upload:
        upload.write(b"x")
        assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
        assert stat.S_IMODE(upload.path.stat().st_mode) == 0o600
    assert not folder.path.exists()


def test_what_a_killed_service_left_is_deleted_and_nothing_else(tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years")
    looks_alike = tmp_path / "vmf-uploads-holiday"
    looks_alike.mkdir()
    (looks_alike / "film.mp4").write_text("sun")
    assert subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path)]).returncode == 9
    (left,) = tmp_path.rglob("left")
    with UploadFolder(tmp_path, 1e6) as running, running.upload() as upload:
        assert not left.exists()
        assert not left.parent.exists()
        with UploadFolder(tmp_path, 1e6):  # a second one beside it
            assert upload.path.exists()
    assert (mine / "thesis.txt").exists()
    assert (looks_alike / "film.mp4").exists()


def test_bytes_are_counted_together_and_given_back(tmp_path):
    with UploadFolder(tmp_path, 10) as folder:
        with folder.upload() as one, folder.upload() as other:
            assert one.write(b"123456")
            assert not other.write(b"12345")
            assert other.write(b"1234")
            assert folder.taken == 10
            assert one.path.read_bytes() == b"123456"
        assert folder.taken == 0
        assert [path.name for path in folder.path.iterdir()] == [".lock"]


def test_places_that_cannot_be_used(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(UserError, match="folder"):
        UploadFolder(file, 1)
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    with pytest.raises(UserError, match="link"):
        UploadFolder(link, 1)
    if os.getuid() == 0:
        foreign = tmp_path / "foreign"
        foreign.mkdir()
        os.chown(foreign, 12345, 12345)
        with pytest.raises(UserError, match="another user"):
            UploadFolder(foreign, 1)
