"""What pages share: charts for two kinds of screen, and the size that a page states."""

from __future__ import annotations

import base64

import pytest

from video_mobile_former.page import ACCENT, INK, bytes_words, chart_of, new_figure


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "1 kB"),
        (17_400, "17 kB"),
        (949_000, "949 kB"),
        (960_000, "1.0 MB"),
        (2_140_000, "2.1 MB"),
    ],
)
def test_bytes_in_words(count: int, words: str) -> None:
    assert bytes_words(count) == words


def test_a_chart_is_drawn_once_and_coloured_twice() -> None:
    figure = new_figure(2, 1)
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color=ACCENT)
    axes.plot([0, 1], [1, 0], color="#123456")  # no colour of pages: stays
    axes.text(0.5, 0.5, ACCENT, color=INK)  # the same letters in a text stay, too
    chart = chart_of(figure)
    light, dark = (
        base64.b64decode(url.removeprefix("data:image/svg+xml;base64,")).decode()
        for url in (chart.light, chart.dark)
    )
    assert len(light) == len(dark)
    assert f"stroke: {ACCENT}" in light
    assert f"stroke: {ACCENT}" not in dark
    assert "stroke: #7ab8f5" in dark
    assert f">{ACCENT}</text>" in dark
    assert "stroke: #123456" in dark
