"""What a user types for a source, and what is shown of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from video_mobile_former.data.video.live.address import read_addresses, without_credentials
from video_mobile_former.errors import UserError


@pytest.mark.parametrize(
    ("text", "kind", "target"),
    [
        ("0", "camera", "/dev/video0"),
        ("/dev/video2", "camera", "/dev/video2"),
        ("camera:FaceTime HD Camera", "camera", "FaceTime HD Camera"),
        ("rtsp://cam/live", "network", "rtsp://cam/live"),
        ("https://cam/live.m3u8", "network", "https://cam/live.m3u8"),
        ("screen::7.0", "screen", ":7.0"),
        ("-", "pipe", "-"),
    ],
)
def test_kinds(text: str, kind: str, target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    (found,) = read_addresses([text])
    assert (found.kind, found.target) == (kind, target)
    assert found.is_live
    assert found.is_playlist == text.endswith("m3u8")


def test_files_and_folders_are_no_live_sources(tmp_path: Path) -> None:
    file = tmp_path / "a=b.mp4"
    file.write_bytes(b"x")
    first, second = read_addresses([str(file), str(tmp_path)])
    assert (first.kind, second.kind) == ("file", "folder")
    assert not first.is_live
    assert not second.is_live
    assert first.name == str(file)  # it exists: "a" is no name


def test_names_are_distinct() -> None:
    found = read_addresses(["door=rtsp://a/1?x=1", "rtsp://a/1", "rtsp://a/1"])
    assert [address.name for address in found] == ["door", "rtsp://a/1", "rtsp://a/1 (2)"]
    assert found[0].target == "rtsp://a/1?x=1"
    with pytest.raises(UserError, match=r"two sources.*door"):
        read_addresses(["door=0", "door=1"])
    with pytest.raises(UserError, match="stdin"):
        read_addresses(["-", "-"])


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://cam/live", "rtsp://cam/live"),
        ("rtsp://admin:geheim@cam:554/live", "rtsp://***@cam:554/live"),
        ("rtsp://admin:ge@heim@cam/live", "rtsp://***@cam/live"),
        ("rtsp://admin:ge/heim@cam/live", "rtsp://***@cam/live"),
        ("rtsp://token@cam/live", "rtsp://***@cam/live"),
        ("http://cam/v?user=me&pwd=geheim&channel=2", "http://cam/v?user=***&pwd=***&channel=2"),
        ("http://cam/v?access_token=geheim", "http://cam/v?access_token=***"),
        ("http://cam/v?mail=a@b.c", "http://cam/v?mail=a@b.c"),
        ("clip.mp4", "clip.mp4"),
    ],
)
def test_credentials_are_not_shown(url: str, shown: str) -> None:
    assert without_credentials(url) == shown


def test_no_text_of_an_address_holds_its_password() -> None:
    (found,) = read_addresses(["rtsp://admin:ge%20heim@cam/live?token=abc"])
    message = "rtsp://admin:ge%20heim@cam/live?token=abc: 'ge heim' of admin:ge%20heim refused"
    for text in (found.name, found.shown, repr(found), found.hide(message)):
        assert "heim" not in text
        assert "abc" not in text
    assert "refused" in found.hide(message)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("nothing-there.mp4", "no such file.*rtsp"),
        ("rtps://cam/live", "rtps://.*did you mean 'rtsps?'"),
        ("file:///etc/passwd", "unknown kind.*file"),
        ("rtsp://user:geheim@cam:99999/x", r"\*\*\*@cam:99999/x: .*port"),
        ("rtsp:///x", "no host"),
        ("a\x1bb", r"a\\x1bb"),
    ],
)
def test_what_is_no_source(text: str, words: str) -> None:
    with pytest.raises(UserError, match=words) as found:
        read_addresses([text])
    assert "geheim" not in str(found.value)
    assert "\n" not in str(found.value)


def test_a_screen_needs_a_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(UserError, match="DISPLAY"):
        read_addresses(["screen"])
