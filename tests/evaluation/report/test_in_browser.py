"""Pages of evaluations in real Chromium: clips that play, widths, dark screens, axe-core."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest

from browser import Seen, chromium, opened, tab_stops
from video_mobile_former.evaluation import Evaluation, write_report
from video_mobile_former.evaluation.compare import compare
from video_mobile_former.evaluation.predictions import run_of
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
