"""Videos that we draw: what they hold, and whose files are replaced."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from video_files import write_video as write_other
from video_mobile_former.data.video.reader import VideoReader
from video_mobile_former.data.video.write import check_video_file, write_video
from video_mobile_former.errors import UserError

TIMES = (2.0, 2.1, 2.5, 2.55)


def pictures() -> list[np.ndarray]:
    return [np.full((48, 64, 3), (60 * i, 200 - 60 * i, 40), np.uint8) for i in range(4)]


def test_every_player_can_play_it(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_video(path, pictures(), TIMES, seconds_of_last=0.5)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert float((stream.duration or 0) * stream.time_base) == pytest.approx(1.05, abs=0.06)
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")  # the index in front
    with VideoReader(path) as reader:
        times = reader.timestamps()
        assert times == pytest.approx([0.0, 0.1, 0.5, 0.55, 1.05], abs=1e-4)
        found = reader.frames(times).permute(0, 2, 3, 1).numpy()
    for shown, wanted in zip(found[:4], pictures(), strict=True):
        assert np.abs(shown.astype(int) - wanted).mean() < 4


def test_all_or_nothing(tmp_path: Path) -> None:
    def breaks() -> Iterator[np.ndarray]:
        yield pictures()[0]
        raise RuntimeError("in between")

    with pytest.raises(RuntimeError):
        write_video(tmp_path / "a.mp4", breaks(), TIMES)
    assert not list(tmp_path.iterdir())


def test_only_our_own_files_are_replaced(tmp_path: Path) -> None:
    ours, other, text = tmp_path / "ours.mp4", tmp_path / "other.mp4", tmp_path / "text.mp4"
    write_video(ours, pictures(), TIMES)
    write_other(other, 4)
    text.write_text("hello")
    check_video_file(ours)
    check_video_file(tmp_path / "new.mp4")
    for path in (other, text):
        with pytest.raises(UserError, match=r"not written by vmf.*overwrite"):
            check_video_file(path)
        check_video_file(path, overwrite=True)
    with pytest.raises(UserError, match=r"\.mp4"):
        check_video_file(tmp_path / "a.avi")
    (tmp_path / "b.mp4").mkdir()
    with pytest.raises(UserError, match="folder"):
        check_video_file(tmp_path / "b.mp4")
