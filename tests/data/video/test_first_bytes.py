"""A file that is in truth a list of others opens none of them, whoever reads it."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest

from video_files import write_video
from video_mobile_former.data.check.facts import FileTask, file_key
from video_mobile_former.data.check.inspect import inspect_file
from video_mobile_former.data.check.sniff import is_video
from video_mobile_former.data.index.clip import Clip
from video_mobile_former.data.index.index import ClipIndex
from video_mobile_former.data.prepare.transcode import PrepareSettings, transcode
from video_mobile_former.data.video.backend import Reading
from video_mobile_former.data.video.first_bytes import DEMUXERS, other_thing
from video_mobile_former.data.video.reader import VideoReader
from video_mobile_former.errors import UserError, VideoError
from video_mobile_former.inference.predictor import PredictionFailure, Predictor
from video_mobile_former.models.registry import create_model

LISTS = {
    "ffconcat": ("ffconcat version 1.0\nfile {name}\n", "ffconcat"),
    "hls": (
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:9\n#EXTINF:1,\n{name}\n#EXT-X-ENDLIST\n",
        "HLS",
    ),
    "dash": (
        (
            '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
            'profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period><AdaptationSet '
            'mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>{name}</BaseURL>'
            '<SegmentBase indexRange="0-99"/></Representation></AdaptationSet></Period></MPD>\n'
        ),
        "DASH",
    ),
    "sdp": (
        "v=0\no=- 0 0 IN IP4 {host}\ns=x\nc=IN IP4 {host}\nt=0 0\nm=video 9 RTP/AVP 96\n",
        "SDP",
    ),
    "ffmetadata": (";FFMETADATA1\ntitle={name}\n", "metadata"),
    "pls": ("[playlist]\nFile1={name}\n", "playlist"),
    "asx": ('<ASX version="3.0"><entry><ref href="{name}"/></entry></ASX>', "playlist"),
    "xspf": ('<?xml version="1.0"?><playlist version="1"><location>{name}</location>', "playlist"),
    "smil": ('<smil><body><video src="{name}"/></body></smil>', "playlist"),
}


@pytest.fixture(scope="module")
def server():
    """A port where whoever follows an address would knock."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        yield listening
        with pytest.raises(BlockingIOError):
            listening.accept()


@pytest.fixture(params=[*LISTS, "pictures", "hls of another address", "spaces before"])
def listed(
    request: pytest.FixtureRequest, tmp_path: Path, server: socket.socket
) -> tuple[Path, str]:
    """A list under the name of a video, and a key word of what it is."""
    write_video(tmp_path / "secret.mp4", 20)
    host, port = server.getsockname()
    address = f"http://{host}:{port}/a.ts"
    path = tmp_path / "clip.mp4"
    kind: str = request.param
    if kind == "pictures":  # to FFmpeg, a name with % describes many
        shutil.copy(tmp_path / "secret.mp4", tmp_path / "clip1.jpg")
        path = tmp_path / "clip%d.jpg"
        path.write_bytes(b"#EXTM3U\n" + str(tmp_path / "secret.mp4").encode())
        return path, "HLS"
    if kind == "hls of another address":
        path.write_text(LISTS["hls"][0].format(name=address))
        return path, "HLS"
    if kind == "spaces before":
        path.write_text("\n  " + LISTS["ffconcat"][0].format(name="secret.mp4"))
        return path, "ffconcat"
    text, word = LISTS[kind]
    path.write_text(text.format(name="secret.mp4", host=host))
    return path, word


@pytest.mark.parametrize("backend", ["pyav", "torchcodec"])
def test_the_reader_says_what_it_is(listed: tuple[Path, str], backend: str):
    path, word = listed
    reading = Reading(backend=backend)  # type: ignore[arg-type]
    try:
        reading.check()
    except UserError as error:
        pytest.skip(str(error))
    with pytest.raises(VideoError, match=word):
        VideoReader(path, reading=reading)
    # The same bytes inside a shard.
    content = path.read_bytes()
    shard = path.with_name("shard.tar")
    shard.write_bytes(bytes(512) + content + bytes(512))
    with pytest.raises(VideoError, match=word):
        VideoReader(shard, offset=512, size=len(content), reading=reading)


def test_a_check_and_a_search_say_so_too(listed: tuple[Path, str]):
    path, word = listed
    facts = inspect_file(FileTask(file_key(str(path))), lambda: None)
    assert facts.fault == "not a video"
    assert word in facts.reason
    with path.open("rb") as file:
        assert not is_video(file)


def test_preparing_writes_nothing(listed: tuple[Path, str], tmp_path: Path):
    target = tmp_path / "out.mp4"
    with pytest.raises(VideoError, match=listed[1]):
        transcode(lambda: VideoReader(listed[0]), target, PrepareSettings())
    assert not target.exists()


@pytest.mark.slow
def test_a_prediction_says_so(tmp_path: Path):
    write_video(tmp_path / "secret.mp4", 20)
    path = tmp_path / "clip.mp4"
    path.write_text(LISTS["ffconcat"][0].format(name="secret.mp4"))
    predictor = Predictor(create_model("vmf_500m", num_classes=3), device="cpu")
    found = list(predictor.predict_many([path, tmp_path / "secret.mp4"], num_workers=0))
    assert isinstance(found[0], PredictionFailure)
    assert "ffconcat" in found[0].reason
    assert not isinstance(found[1], PredictionFailure)


def test_no_demuxer_reads_other_files():
    """Of FFmpeg's demuxers, those whose source opens a second file or an address."""
    names = set(DEMUXERS.split(","))
    openers = {
        *("concat", "hls", "applehttp", "dash", "imf", "webm_dash_manifest", "image2", "vobsub"),
        *("sdp", "rtsp", "rtp", "sap", "lavfi", "ffmetadata", "tty", "avisynth", "vapoursynth"),
        *("svg_pipe", "mpegurl", "libopenmpt", "alsa", "x11grab", "kmsgrab", "fbdev"),
    }
    assert not names & openers
    assert {"mov", "matroska", "avi", "mpegts", "mpeg", "flv", "ogg", "asf", "gif"} <= names


@pytest.mark.parametrize(
    "begin", [b"\x00\x00\x00\x18ftypmp42", b"\x1aE\xdf\xa3", b"G@\x11\x10", b"FLV"]
)
def test_beginnings_of_videos_are_nothing_else(begin: bytes):
    assert other_thing(begin + bytes(range(256))) is None


def test_shared_playlists(shared_data: Path):
    for name in ("concat_list.mp4", "hls_playlist.mp4"):
        with pytest.raises(VideoError, match="not a video file but"):
            VideoReader(shared_data / "hostile" / "playlists" / name)


def test_a_list_in_an_index_is_a_failure_of_its_clip(tmp_path: Path):
    from video_mobile_former.clip_spec import ClipSpec
    from video_mobile_former.data.loading.dataset import ClipDataset, ClipFailure

    write_video(tmp_path / "secret.mp4", 20)
    path = tmp_path / "clip.mp4"
    path.write_text(LISTS["hls"][0].format(name="secret.mp4"))
    index = ClipIndex((Clip(str(path), (0,)),), ("a",), "clips")
    item = ClipDataset(index, ClipSpec(num_frames=4), train=True)[0]
    assert isinstance(item, ClipFailure)
    assert "HLS" in item.reason
