"""The page of ``vmf serve`` in real Chromium, against the real service."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from browser import Seen, chromium, opened, tab_stops
from dark_or_bright import NAMES, save_dark_or_bright, write_camera, write_dark_then_bright
from live_parts import save_always_waving
from running_service import running_service
from video_mobile_former.inference.event_files import EVENT_FORMATS
from video_mobile_former.inference.find import FileEvents, FoundEvent

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow
pytest.importorskip("fastapi")

DARK, BRIGHT = NAMES
TOKEN = "a-token-of-tests"
PATIENCE = 60_000
"""Milliseconds for a video to be recognised on a busy machine."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a service with two models, which asks for a token."""
    folder = tmp_path_factory.mktemp("serve")
    light = save_dark_or_bright(folder / "light")
    waving = save_always_waving(folder / "waving")
    words = [f"light={light}", f"waving={waving}", "--max_mb", "4"]
    with running_service(folder / "uploads", *words, env={"VMF_SERVE_TOKEN": TOKEN}) as one:
        yield one.url


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos of 4 s, dark until 2 s and then bright."""
    folder = tmp_path_factory.mktemp("clips")
    write_dark_then_bright(folder / "clip.mp4")
    write_dark_then_bright(folder / "clip.mov")
    write_dark_then_bright(folder / "clip.webm", "libvpx")
    write_dark_then_bright(folder / "clip.avi", "mpeg4")
    return folder


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    camera = write_camera(tmp_path_factory.mktemp("camera") / "camera.y4m")
    with chromium(
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={camera}",
    ) as one:
        yield one


@pytest.fixture
def seen(browser: Browser, service: str) -> Iterator[Seen]:
    """The page, for somebody who was given the address with the token in it."""
    with opened(browser, f"{service}/#token={TOKEN}", permissions=["camera"]) as one:
        one.page.set_default_timeout(PATIENCE)
        one.page.wait_for_selector("#knows li")
        yield one


def recognised(page: Page, path: Path) -> None:
    """Give the page a video and wait for what the model says."""
    page.set_input_files("#file", str(path))
    page.wait_for_selector("#lines .row")
    assert page.inner_text("#name") == path.name


def time_of(page: Page) -> float:
    return page.evaluate("document.getElementById('video').currentTime")


def paused_at(page: Page, seconds: float) -> None:
    """Stop the video there, so that it does not run on during the test."""
    page.evaluate(
        "at => { const v = document.getElementById('video'); v.pause(); v.currentTime = at; }",
        seconds,
    )


def now_words(page: Page) -> str:
    return page.locator(".at-now").first.inner_text()


def event_buttons(page: Page) -> Any:
    return page.locator("#lines button.event")


# ---- The first visit


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 768, 1280])
def test_a_visitor_is_asked_for_the_token_and_sees_what_to_do(
    browser: Browser, service: str, width: int, scheme: Any
) -> None:
    with opened(browser, service, width=width, scheme=scheme) as seen:
        page = seen.page
        page.wait_for_selector("#ask[open]")
        page.fill("#token", "wrong-token")
        page.keyboard.press("Enter")
        page.wait_for_selector("#ask-wrong:visible")
        page.fill("#token", TOKEN)
        page.click("#ask >> text=Continue")
        page.wait_for_selector("#knows li")
        assert page.locator("#knows li").all_inner_texts() == [DARK, BRIGHT]
        assert "200" not in page.inner_text("#limits")
        assert "4 MB" in page.inner_text("#limits")
        assert page.locator("#refused").is_hidden()
        assert seen.sideways() <= 0
        assert seen.faults() == []
        assert {"home", "model", "theme", "choose", "use-camera"} <= set(tab_stops(page))
        seen.check("401")


def test_without_the_token_the_page_says_so(browser: Browser, service: str) -> None:
    with opened(browser, service) as seen:
        seen.page.wait_for_selector("#ask[open]")
        seen.page.keyboard.press("Escape")
        seen.page.wait_for_selector("#refused:visible")
        assert "token" in seen.page.inner_text("#refused").lower()
        assert seen.page.locator("#refused >> text=Try again").is_visible()


def test_the_token_leaves_the_address(seen: Seen) -> None:
    assert "token" not in seen.page.url
    assert all("token" not in url.lower() for url in seen.requests)
    seen.page.reload()
    seen.page.wait_for_selector("#knows li")
    seen.check()


def test_colours_are_those_of_the_system_until_chosen(seen: Seen) -> None:
    page = seen.page
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    light = page.evaluate(ground)
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(ground)
    assert light != dark
    page.click("#theme")
    assert page.evaluate(ground) == light
    page.reload()
    page.wait_for_selector("#knows li")
    assert page.evaluate(ground) == light
    assert page.get_attribute("#theme", "aria-label") == "Use dark colours"


# ---- A video


def test_videos_play_and_the_timeline_jumps(seen: Seen, clips: Path) -> None:
    page = seen.page
    for suffix in ("mp4", "mov", "webm"):
        recognised(page, clips / f"clip.{suffix}")
        page.locator("#video").evaluate(
            "v => v.videoWidth || new Promise(done => v.onloadeddata = done)"
        )
        assert page.evaluate("document.getElementById('video').videoWidth") == 160, suffix
        assert page.locator("#unplayable").is_hidden()
        assert event_buttons(page).count() == 2, suffix
    assert page.locator("#videos button").count() == 3

    # A click on a track goes to that place, whatever class it is of.
    paused_at(page, 0)
    track = page.locator("#lines .track").first
    width = track.evaluate("e => e.clientWidth")
    for share, label in ((0.25, DARK), (0.8, BRIGHT)):
        track.click(position={"x": share * width, "y": 4})
        assert time_of(page) == pytest.approx(share * 4, abs=0.05)
        assert label in now_words(page)

    # An event goes to its begin, by click and by keyboard.
    bright = page.get_by_role("button", name=re.compile(r"^=bright\(\), "))
    paused_at(page, 0)
    width, height = bright.evaluate("e => [e.clientWidth, e.clientHeight]")
    bright.click(position={"x": 0.7 * width, "y": height - 3})
    assert time_of(page) == pytest.approx(2, abs=0.5)
    paused_at(page, 0)
    bright.focus()
    page.keyboard.press("Enter")
    assert time_of(page) == pytest.approx(2, abs=0.5)

    # So does the slider, and the table of events.
    page.focus("#lines .position")
    page.keyboard.press("Home")
    assert time_of(page) == pytest.approx(0, abs=0.01)
    page.locator("#tables button").last.click()
    assert time_of(page) == pytest.approx(2, abs=0.5)
    seen.check()


def test_a_result_is_for_everybody(seen: Seen, clips: Path) -> None:
    page = seen.page
    recognised(page, clips / "clip.mp4")
    page.check("#look")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for width in (360, 768, 1280):
            page.set_viewport_size({"width": width, "height": 800})
            assert seen.sideways() <= 0, (width, scheme)
        assert seen.faults() == [], scheme
    stops = tab_stops(page)
    assert {"video", "another", "other", "look"} <= set(stops)
    wanted = [
        "Position in the video",
        "Download: Events as CSV",
        "dark <b>, 0:00.0",
        "=bright(), 0:0",
    ]
    for words in wanted:
        assert any(words in stop for stop in stops), (words, stops)
    seen.check()


def test_where_the_model_looks_is_laid_over_the_video(seen: Seen, clips: Path) -> None:
    page = seen.page
    recognised(page, clips / "clip.mp4")
    paused_at(page, 1)
    assert page.locator("#overlay").is_hidden()
    page.check("#look")
    drawn = (
        "() => { const c = document.getElementById('overlay');"
        " const { data } = c.getContext('2d').getImageData(0, 0, c.width, c.height);"
        " let sum = 0; for (let i = 0; i < data.length; i += 1) sum += data[i] * (i % 97);"
        " return sum }"
    )
    pictures = {page.evaluate(drawn)}
    assert 0 not in pictures
    tokens = page.locator("#token-choice .chip")
    assert tokens.count() == 4  # all together, and each of three
    tokens.nth(1).click()
    pictures.add(page.evaluate(drawn))
    page.keyboard.press("ArrowRight")
    pictures.add(page.evaluate(drawn))
    assert len(pictures) == 3
    seen.check("readback")  # the test itself reads the pixels


def test_a_file_that_only_the_model_can_read(seen: Seen, clips: Path) -> None:
    page = seen.page
    recognised(page, clips / "clip.avi")
    page.wait_for_selector("#unplayable:visible")
    assert "cannot play" in page.inner_text("#unplayable")
    event_buttons(page).last.focus()
    page.keyboard.press("Enter")
    assert BRIGHT in now_words(page)
    assert page.locator("#lines .position").evaluate("e => Number(e.value)") == pytest.approx(
        2, abs=0.5
    )
    seen.check("media", "DEMUXER")


def test_two_models_stand_side_by_side(seen: Seen, clips: Path) -> None:
    page = seen.page
    recognised(page, clips / "clip.mp4")
    page.select_option("#other", "waving")
    page.wait_for_selector("#lines section:nth-child(2)")
    assert page.locator("#answers h2").all_inner_texts() == ["light", "waving"]
    assert "waving" in page.inner_text("#comparison")
    assert page.locator("#tables table").count() == 2
    paused_at(page, 3)
    assert [BRIGHT in page.locator(".at-now").nth(0).inner_text()] == [True]
    assert "waving" in page.locator(".at-now").nth(1).inner_text()
    assert seen.sideways() <= 0
    assert seen.faults() == []
    page.select_option("#other", "")
    assert page.locator("#lines section").count() == 1
    seen.check()


def test_downloads_are_what_vmf_find_writes(seen: Seen, clips: Path, tmp_path: Path) -> None:
    page = seen.page
    odd = tmp_path / "=1+1.mp4"
    shutil.copy(clips / "clip.mp4", odd)
    recognised(page, odd)
    texts = {}
    for words in ("All scores and events as JSON", "Events as CSV", "Events as WebVTT"):
        with page.expect_download() as download:
            page.click(f"[aria-label^='Download: {words}']")
        name = download.value.suggested_filename
        download.value.save_as(tmp_path / name)
        texts[name.rpartition(".")[2]] = (tmp_path / name).read_text(encoding="utf-8")
    result = json.loads(texts["json"])
    assert result["file"] == odd.name
    assert len(result["windows"]) > 10
    fields = ("start_seconds", "end_seconds", "label", "score")
    events = tuple(FoundEvent(*(event[name] for name in fields)) for event in result["events"])
    assert [event.label for event in events] == [DARK, BRIGHT]
    found = [FileEvents(odd.name, result["duration_seconds"], events)]
    assert texts["csv"] == EVENT_FORMATS["csv"].write(found)
    assert texts["vtt"] == EVENT_FORMATS["vtt"].write(found)
    rows = list(csv.DictReader(io.StringIO(texts["csv"])))
    assert rows[1]["label"] == f"'{BRIGHT}"
    seen.check()


def test_events_are_found_again_with_other_settings(seen: Seen, clips: Path) -> None:
    page = seen.page
    recognised(page, clips / "clip.mp4")
    assert event_buttons(page).count() == 2
    page.click("#settings summary")
    page.fill("[name=min_seconds]", "3")
    page.click("text=Find again")
    page.wait_for_selector("#tables .none")
    assert event_buttons(page).count() == 0
    seen.check()


def test_a_job_can_be_cancelled(seen: Seen, clips: Path, tmp_path: Path) -> None:
    page = seen.page
    long = write_dark_then_bright(tmp_path / "long.mp4", seconds=120)
    deleted: list[str] = []
    page.on("request", lambda r: deleted.append(r.url) if r.method == "DELETE" else None)
    page.set_input_files("#file", str(long))
    page.wait_for_selector("progress")
    assert page.get_attribute("progress", "aria-label")
    with page.expect_response(lambda r: "/v1/jobs/" in r.url and r.request.method == "GET") as job:
        pass
    assert job.value.json()["state"] in ("waiting", "running")
    page.click("text=Cancel")
    page.wait_for_selector("#start:visible")
    assert page.locator("#refused").is_hidden()
    assert page.locator("#said").inner_text() == "Cancelled"
    page.wait_for_timeout(200)
    assert deleted == [job.value.url]
    # The service is free for the next one.
    recognised(page, clips / "clip.mp4")
    seen.check()


# ---- What cannot be read


def test_a_broken_file_says_why_where_it_was_dropped(
    seen: Seen, clips: Path, tmp_path: Path
) -> None:
    page = seen.page
    name = "cut <i>off.mp4"
    (tmp_path / name).write_bytes((clips / "clip.mp4").read_bytes()[:2000])
    page.set_input_files("#file", str(tmp_path / name))
    why = page.wait_for_selector("#drop #refused:visible")
    assert why is not None
    assert name in why.inner_text()
    assert "not a video file" in why.inner_text()
    assert "traceback" not in why.inner_text().lower()
    assert page.locator("#refused i").count() == 0
    assert seen.faults() == []
    assert seen.sideways() <= 0

    (tmp_path / "large.mp4").write_bytes(bytes(5_000_000))
    page.set_input_files("#file", str(tmp_path / "large.mp4"))
    page.wait_for_selector("#refused >> text=4 MB at most")
    (tmp_path / "notes.mp4").write_text("no video")
    page.set_input_files("#file", str(tmp_path / "notes.mp4"))
    page.wait_for_selector("#refused >> text=notes.mp4")
    # What is right goes on as ever.
    recognised(page, clips / "clip.mp4")
    assert page.locator("#videos .failed").count() == 3
    seen.check("422", "415", "400")


@pytest.mark.parametrize("name", ["playlists/concat_list.mp4", "headers/y4m_100000.y4m"])
def test_hostile_files_are_refused(seen: Seen, shared_data: Path, name: str) -> None:
    page = seen.page
    path = shared_data / "hostile" / name
    page.set_input_files("#file", str(path))
    page.wait_for_selector("#drop #refused:visible")
    assert path.name in page.inner_text("#refused")
    assert page.locator("#seen").is_hidden()
    seen.check("422", "415", "400")


def test_a_dropped_file_is_taken(seen: Seen, clips: Path) -> None:
    page = seen.page
    dropped = page.evaluate_handle(
        "bytes => { const held = new DataTransfer();"
        " held.items.add(new File([Uint8Array.from(bytes)], 'dropped.webm', {type: 'video/webm'}));"
        " return held }",
        list((clips / "clip.webm").read_bytes()),
    )
    page.dispatch_event("#drop", "dragenter", {"dataTransfer": dropped})
    assert "over" in (page.get_attribute("#drop", "class") or "").split()
    page.dispatch_event("#drop", "drop", {"dataTransfer": dropped})
    page.wait_for_selector("#lines .row")
    assert page.inner_text("#name") == "dropped.webm"
    seen.check()


# ---- The camera


def test_the_camera_is_recognised_live(seen: Seen) -> None:
    page = seen.page
    page.click("#use-camera")
    page.wait_for_selector("#live-bars li")
    page.wait_for_selector("#live-headline >> text=bright")
    page.wait_for_selector("#live-headline >> text=dark")
    page.wait_for_selector("#live-events tr >> text=bright")
    assert "behind the camera" in page.inner_text("#lag")
    assert sorted(page.locator("#live-line .name").all_inner_texts()) == sorted(NAMES)
    assert seen.faults() == []
    for width in (360, 768, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        assert seen.sideways() <= 0
    page.focus("#stop")
    page.keyboard.press("Enter")
    page.wait_for_selector("#again:visible")
    assert page.evaluate("document.getElementById('live-video').srcObject") is None
    with page.expect_download() as download:
        page.click("#live-downloads >> text=CSV")
    text = Path(download.value.path()).read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert {row["label"] for row in rows} == {DARK, f"'{BRIGHT}"}
    assert all(float(row["end_seconds"]) >= float(row["start_seconds"]) for row in rows)
    seen.check()


def test_a_camera_that_may_not_be_used_says_how(browser: Browser, service: str) -> None:
    with opened(browser, f"{service}/#token={TOKEN}") as seen:
        page = seen.page
        page.wait_for_selector("#knows li")
        page.evaluate(
            "() => { navigator.mediaDevices.getUserMedia ="
            " () => Promise.reject(new DOMException('no', 'NotAllowedError')) }"
        )
        page.click("#use-camera")
        page.wait_for_selector("#live-problem:visible")
        assert "not allowed" in page.inner_text("#live-problem")
        assert page.locator("#again").is_visible()
        seen.check()
