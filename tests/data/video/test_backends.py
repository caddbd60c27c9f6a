"""Both decode backends give the same frames; torchcodec is optional, and needs FFmpeg."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from video_files import CAN_WRITE_ROTATION, numbered_frame, read_number, write_video
from video_mobile_former.clip_spec import ClipSpec
from video_mobile_former.data.index.clip import Clip
from video_mobile_former.data.index.index import ClipIndex
from video_mobile_former.data.loading.dataset import ClipDataset
from video_mobile_former.data.loading.loader import make_loader
from video_mobile_former.data.video import torchcodec_backend
from video_mobile_former.data.video.backend import Reading
from video_mobile_former.data.video.pyav_backend import FrameExtractor
from video_mobile_former.data.video.reader import VideoReader
from video_mobile_former.errors import UserError, VideoError

TORCHCODEC = Reading(backend="torchcodec")


@pytest.fixture
def torchcodec() -> None:
    try:
        TORCHCODEC.check()
    except UserError as error:
        pytest.skip(str(error))


@pytest.fixture
def never_pyav(torchcodec: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where torchcodec leaves the decoding to PyAV."""
    plain = FrameExtractor.pictures

    def only_plain(self: FrameExtractor, *arguments: Any) -> np.ndarray:
        assert type(self) is FrameExtractor, "torchcodec left it to PyAV"
        return plain(self, *arguments)

    monkeypatch.setattr(FrameExtractor, "pictures", only_plain)


def compare(path: Path, *, limit: int = 400, **how: Any) -> np.ndarray:
    """Differences of all frames of a file, at their own size."""
    with VideoReader(path, **how) as plain, VideoReader(path, **how, reading=TORCHCODEC) as other:
        stamps = plain.timestamps()[:limit]
        assert np.array_equal(other.timestamps()[:limit], stamps)
        found = other.frames(stamps)
        expected = plain.frames(stamps)
        assert found.shape == expected.shape
        assert found.is_contiguous(memory_format=torch.channels_last)
        which = np.random.default_rng(0).integers(0, len(stamps), 9)
        assert torch.equal(other.frames(stamps[which]), found[torch.from_numpy(which)])
        return (found.int() - expected.int()).abs().numpy()


KINDS: list[tuple[str, dict[str, Any]]] = [
    ("b_frames.mp4", {"options": {"x264-params": "bframes=4:b-pyramid=strict"}}),
    ("one_gop.mkv", {"gop": 250}),
    ("fragments.mp4", {"container_options": {"movflags": "frag_keyframe+empty_moov"}}),
    ("vp9.webm", {"codec": "libvpx-vp9", "gop": 60}),
    ("full_range.mp4", {"pix_fmt": "yuvj420p"}),
    ("bt709.mp4", {"color": {"colorspace": 1}}),
]


@pytest.mark.parametrize(("name", "kind"), KINDS, ids=[name for name, _ in KINDS])
@pytest.mark.usefixtures("never_pyav")
def test_generated_files(tmp_path: Path, name: str, kind: dict[str, Any]):
    assert compare(write_video(tmp_path / name, 60, **kind)).max() == 0


@pytest.mark.usefixtures("never_pyav")
def test_odd_size(tmp_path: Path):
    frames = [numbered_frame(i, 97, 65) for i in range(20)]
    assert compare(write_video(tmp_path / "a.mp4", frames, pix_fmt="yuv444p")).max() == 0


@pytest.mark.usefixtures("never_pyav")
def test_open_gop(tmp_path: Path):
    options = {"x264-params": "open-gop=1:keyint=12:min-keyint=12:bframes=3"}
    assert compare(write_video(tmp_path / "a.mp4", 60, options=options)).max() == 0


@pytest.mark.usefixtures("never_pyav")
def test_variable_frame_rate(tmp_path: Path):
    pts = np.cumsum(np.random.default_rng(1).integers(1, 200, 50)).tolist()
    path = write_video(tmp_path / "a.mkv", 50, pts=pts, time_base=Fraction(1, 1000))
    assert compare(path).max() == 0


@pytest.mark.skipif(not CAN_WRITE_ROTATION, reason="this PyAV cannot write how a picture is turned")
@pytest.mark.parametrize("rotation", [90, 180, -90])
@pytest.mark.usefixtures("never_pyav")
def test_rotation(tmp_path: Path, rotation: int):
    path = write_video(tmp_path / "a.mp4", 20, rotation=rotation)
    assert compare(path).max() == 0


@pytest.mark.slow
@pytest.mark.usefixtures("never_pyav")
def test_parts_and_ranges_of_files(tmp_path: Path):
    path = write_video(tmp_path / "long.mp4", 600, fps=20, gop=50)
    with VideoReader(path) as plain, VideoReader(path, reading=TORCHCODEC) as other:
        stamps = other.timestamps(14.0, 16.0)
        assert np.array_equal(stamps, plain.timestamps(14.0, 16.0))
        assert torch.equal(other.frames(stamps), plain.frames(stamps))
    shard = tmp_path / "shard.tar"
    content = path.read_bytes()
    shard.write_bytes(b"\0" * 512 + content + b"\0" * 512)
    assert compare(shard, limit=60, offset=512, size=len(content)).max() == 0


# 10 bits: the two bring their own FFmpeg, and the versions of its scaler differ in how they place
# the colours of neighbouring pixels when there is no exact path from this format to RGB.
DIFFER = {"h264_10bits.mp4"}


@pytest.mark.slow
@pytest.mark.usefixtures("torchcodec")
def test_samples(shared_data: Path):
    compared = set()
    for path in sorted((shared_data / "samples").iterdir()):
        if path.name in ("corrupted.mp4", "sine_mono_s16.wav"):
            continue
        difference = compare(path, limit=48)
        compared.add(path.name)
        if path.name in DIFFER:
            assert difference.mean() < 4
        else:
            assert difference.max() == 0, path.name
    assert len(compared) == 14


@pytest.mark.slow
@pytest.mark.usefixtures("torchcodec")
def test_damage_is_told_as_by_pyav(shared_data: Path, tmp_path: Path):
    path = shared_data / "samples" / "corrupted.mp4"
    strict = Reading(backend="torchcodec", damaged_share=0.0)
    with VideoReader(path, reading=strict) as reader:
        stamps = reader.timestamps()
        assert reader.frames(stamps[[0, 9, 27]]).shape[0] == 3
        with pytest.raises(VideoError, match="damaged: of 50 frames more than 0%"):
            reader.frames(stamps[::3])
    with VideoReader(path) as plain, VideoReader(path, reading=TORCHCODEC) as other:
        assert torch.equal(plain.frames(stamps), other.frames(stamps))
    for content, reason in ((b"", "the file is empty"), (b"no video" * 99, "not a video file")):
        (tmp_path / "a.mp4").write_bytes(content)
        with pytest.raises(VideoError, match=reason):
            VideoReader(tmp_path / "a.mp4", reading=TORCHCODEC)


@pytest.mark.usefixtures("torchcodec")
def test_what_torchcodec_cannot_count_is_left_to_pyav(tmp_path: Path):
    path = write_video(tmp_path / "a.avi", 40, codec="mpeg4", options={"bf": "2"})
    assert compare(path).max() == 0
    assert compare(write_video(tmp_path / "a.ts", 60)).max() == 0


@pytest.mark.usefixtures("never_pyav")
def test_sizes(tmp_path: Path):
    path = write_video(tmp_path / "a.mp4", 20)
    with VideoReader(path) as plain, VideoReader(path, reading=TORCHCODEC) as other:
        for size, enlarge in ((32, True), (128, True), (128, False)):
            expected = plain.frames([3, 11, 3], size, enlarge=enlarge)
            found = other.frames([3, 11, 3], size, enlarge=enlarge)
            assert found.shape == expected.shape
            assert found.is_contiguous(memory_format=torch.channels_last)
            assert [read_number(p.permute(1, 2, 0).numpy()) for p in found] == [3, 11, 3]
            # Scaled after the conversion to RGB instead of with it.
            assert (found.int() - expected.int()).abs().float().mean() < 4


@pytest.mark.slow
@pytest.mark.usefixtures("never_pyav")
def test_clips_from_worker_processes(tmp_path: Path):
    clips = tuple(
        Clip(str(write_video(tmp_path / f"{i}.mp4", 30)), labels=(0,), name=f"{i}.mp4")
        for i in range(4)
    )
    index = ClipIndex(clips, ("a",), "clips")
    spec = ClipSpec(num_frames=4, crop_size=64, resize_size=64)
    datasets = [ClipDataset(index, spec, train=False, reading=r) for r in (None, TORCHCODEC)]
    here = make_loader(datasets[0], batch_size=2, num_workers=0)
    there = make_loader(datasets[1], batch_size=2, num_workers=1)
    for plain, other in zip(here, there, strict=True):
        assert not plain["failures"] + other["failures"]
        assert torch.equal(plain["clips"], other["clips"])


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    torchcodec_backend._decoders.cache_clear()
    monkeypatch.setitem(sys.modules, "torchcodec", None)
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", None)
    line = r"backend torchcodec needs torchcodec: pip install 'video-mobile-former\[torchcodec\]'"
    with pytest.raises(UserError, match=line):
        VideoReader(write_video(tmp_path / "a.mp4", 3), reading=TORCHCODEC)
    with pytest.raises(UserError, match=line):
        ClipDataset(ClipIndex((), ("a",), "none"), ClipSpec(), train=False, reading=TORCHCODEC)


def test_a_missing_ffmpeg_is_named(monkeypatch: pytest.MonkeyPatch):
    def missing(*_: object, **__: object) -> None:
        raise RuntimeError("Could not load libtorchcodec.\n\nLikely causes: …\n")

    torchcodec_backend._decoders.cache_clear()
    monkeypatch.setattr(torchcodec_backend, "require", missing)
    with pytest.raises(UserError, match=r"cannot be loaded: it needs FFmpeg 4 to 8") as caught:
        TORCHCODEC.check()
    assert "\n" not in str(caught.value)


def test_wrong_choices(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(UserError, match="backend must be pyav or torchcodec"):
        Reading(backend="decord")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="must be cpu or cuda"):
        Reading(backend="torchcodec", device="tpu")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="decoding on cuda needs the backend torchcodec"):
        Reading(device="cuda")
    monkeypatch.setattr(torchcodec_backend, "_decoders", lambda: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="torch sees no CUDA device"):
        Reading(backend="torchcodec", device="cuda").check()


@pytest.mark.gpu
@pytest.mark.usefixtures("torchcodec")
def test_decoding_on_cuda(tmp_path: Path):
    path = write_video(tmp_path / "a.mp4", 40, options={"x264-params": "bframes=3"})
    cuda = Reading(backend="torchcodec", device="cuda")
    with VideoReader(path) as plain, VideoReader(path, reading=cuda) as other:
        stamps = plain.timestamps()
        for size in (None, 48):
            expected, found = plain.frames(stamps, size), other.frames(stamps, size)
            assert found.device.type == "cpu"
            assert found.shape == expected.shape
            numbers = [read_number(p.permute(1, 2, 0).numpy()) for p in found]
            assert numbers == list(range(40))
            # Another conversion to RGB than FFmpeg's.
            assert (found.int() - expected.int()).abs().float().mean() < 4
