"""Pages of evaluations in real Chromium: clips that play, widths, dark screens, axe-core."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest

from browser import Seen, chromium, opened, tab_stops
from procedural_files import write_clips
from video_mobile_former.evaluation import Evaluation, write_report
from video_mobile_former.evaluation.clip_results import EventFile, EventSpan
from video_mobile_former.evaluation.compare import compare
from video_mobile_former.evaluation.metrics.events import Span, compute_event_metrics
from video_mobile_former.evaluation.predictions import run_of
from video_mobile_former.evaluation.previews import event_previews
from video_mobile_former.evaluation.report.comparison import write_comparison

SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


def plays(seen: Seen) -> bool:
    return seen.page.locator(".clip .moving").is_visible()


@pytest.mark.slow
def test_clips_play_for_pointer_and_keyboard_and_pages_fit(
    evaluation: Evaluation, tmp_path: Path
) -> None:
    page = write_report(evaluation, tmp_path / "report")
    runs = [run_of(evaluation, name) for name in ("first", "a/longer-name-of-the-second")]
    both = write_comparison(compare(runs), tmp_path / "comparison")
    with chromium() as browser:
        for path in (page, both):
            for scheme in SCHEMES:
                for width in (360, 1280):
                    with opened(browser, path.as_uri(), width=width, scheme=scheme) as seen:
                        assert seen.sideways() == 0
                        assert seen.faults() == []
                        seen.check()
        with opened(browser, page.as_uri()) as seen:
            assert not plays(seen)
            seen.page.hover(".clip")
            assert plays(seen)
            assert seen.page.locator(".clip .moving").evaluate("one => one.naturalWidth") == 64
            seen.page.hover("h1")
            assert not plays(seen)
            assert tab_stops(seen.page)[0] == "input Play 5.mp4"
            seen.page.keyboard.press("Tab")
            assert plays(seen)
            seen.page.keyboard.press("Space")
            seen.page.keyboard.press("Tab")
            assert plays(seen)  # it goes on although the keyboard has gone on
        calm: dict[str, Any] = {"reduced_motion": "reduce"}
        with opened(browser, page.as_uri(), **calm) as seen:
            seen.page.hover(".clip")
            seen.page.keyboard.press("Tab")
            assert not plays(seen)  # nothing moves by itself
            seen.page.keyboard.press("Space")
            assert plays(seen)
        with opened(browser, page.as_uri(), scheme="dark") as seen:
            ground = "getComputedStyle(document.documentElement).backgroundColor"
            assert seen.page.evaluate(ground) == "rgb(14, 20, 26)"
            seen.page.emulate_media(media="print")
            assert seen.page.evaluate("getComputedStyle(document.body).color") == "rgb(22, 32, 43)"


@pytest.mark.slow
def test_events_missed_and_wrong_can_be_watched(evaluation: Evaluation, tmp_path: Path) -> None:
    write_clips(tmp_path, {"test": 1}, num_frames=40)
    path = str(next(tmp_path.rglob("*.mp4")))
    missed, wrong = [Span(path, "wave", 0.5, 1.5)], [Span(path, "<b>jump</b>", 2.0, 3.0, 0.75)]
    true, found = [EventSpan("wave", 0.5, 1.5)], [EventSpan("<b>jump</b>", 2.0, 3.0, 0.75)]
    page_of_events = Evaluation(
        metrics=compute_event_metrics(missed, wrong, ("wave", "<b>jump</b>"), 1),
        cost=evaluation.cost,
        method=evaluation.method,
        clips=(EventFile("a.mp4", tuple(true), tuple(found), 1, 1),),
        notes=(),
        settings={},
        event_previews=event_previews([(missed, wrong)], None),
    )
    page = write_report(page_of_events, tmp_path / "report")
    with chromium() as browser:
        for scheme in SCHEMES:
            for width in (360, 1280):
                with opened(browser, page.as_uri(), width=width, scheme=scheme) as seen:
                    assert seen.sideways() == 0
                    assert seen.faults() == []
                    seen.check()
                    words = seen.page.locator("figcaption").all_inner_texts()
                    assert words == [
                        "missed wave, 0.5 to 1.5 s",
                        "wrong <b>jump</b>, 2.0 to 3.0 s, 0.75",
                    ]
                    seen.page.locator(".clip").first.hover()
                    assert seen.page.locator(".moving").first.is_visible()
