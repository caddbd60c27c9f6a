"""Distributions, charts and the page of a check."""

from __future__ import annotations

import base64
import dataclasses
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from browser import chromium, opened
from html_page import NASTY, Page
from video_files import numbered_frame
from video_mobile_former.data.check import CheckOptions, CheckResult
from video_mobile_former.data.check import page as page_module
from video_mobile_former.data.check.charts import bar_chart
from video_mobile_former.data.check.distributions import Distribution, clip_seconds, number
from video_mobile_former.data.check.facts import FileFacts, FileKey
from video_mobile_former.data.check.page import render_page
from video_mobile_former.data.check.problems import KINDS, problem
from video_mobile_former.data.index.clip import Clip
from video_mobile_former.data.index.index import ClipIndex
from video_mobile_former.data.index.source import DataSource
from video_mobile_former.data.video.moving import preview_of
from video_mobile_former.data.video.picture import jpeg
from video_mobile_former.page import bytes_words


def result(
    names: tuple[str, ...] = ("run", "jump"), each: int = 3, picture: str = "", **changes: Any
) -> CheckResult:
    clips, facts = [], []
    for label, name in enumerate(names):
        for i in range(each):
            file = f"{name}/{i}.mp4"
            split = ("train", "val", "test")[i % 3]
            clips.append(Clip(f"/{label}/{file}", (label,), file, split=split))
            facts.append(
                FileFacts(
                    FileKey(f"/{label}/{file}", 0, 10_000 * (i + 1), 0),
                    full=True,
                    frames=60,
                    decoded=60,
                    width=320,
                    height=240,
                    duration_seconds=2.0 + i,
                    step_seconds=1 / 30,
                    thumbnail=picture,
                )
            )
    values: dict[str, Any] = {
        "source": DataSource("clips.csv"),
        "options": CheckOptions(),
        "index": ClipIndex(clips, names, "clips.csv"),
        "facts": facts,
        "usable": np.ones(len(clips), dtype=bool),
        "problems": [],
        "quarantine": {},
        "num_files": len(clips),
        "num_passed_over": 0,
        "may_lack_files": False,
        "seconds": 12.3,
    }
    return CheckResult(**{**values, **changes})


# Distributions and charts


@pytest.mark.slow
@given(
    st.lists(st.floats(0, 1e7), min_size=1, max_size=80)
    | st.lists(st.integers(1, 5).map(float), min_size=1, max_size=40)
)
@settings(max_examples=40, deadline=None)
def test_bars_hold_everything(values: list[float]):
    one = Distribution("length", "s", np.array(values), "clips")
    edges, counts = one.bars()
    assert counts.sum() == len(values)
    assert (np.diff(edges) > 0).all()
    assert len(counts) <= 60
    (axes,) = bar_chart(one).axes
    assert sum(bar.get_height() for bar in bars_of(axes)) == len(values)
    low, high = axes.get_xlim()
    for bar in bars_of(axes):
        assert low - 1e-6 * high <= bar.get_x()
        assert bar.get_x() + bar.get_width() <= high * (1 + 1e-6)


def bars_of(axes: Axes) -> list[Rectangle]:
    return [patch for patch in axes.patches if isinstance(patch, Rectangle)]


def test_nothing_to_draw():
    empty = result(names=(), each=0)
    assert empty.distributions()[0].values.size == 0
    assert "<img" not in render_page(empty)


def test_few_values_get_a_bar_each():
    one = Distribution("rate", "fps", np.array([25.0] * 3 + [29.97] + [30.0] * 2), "files")
    (axes,) = bar_chart(one).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["25", "29.97", "30"]
    assert [bar.get_height() for bar in bars_of(axes)] == [3, 1, 2]
    assert one.caption() == "6 files: 25 to 30, median 27.48 fps"


def test_far_values_stand_on_an_axis_that_grows_by_factors():
    one = Distribution("length", "s", np.array([0.5] * 40 + [1.0] * 40 + [900.0]), "clips")
    many = Distribution("length", "s", np.concatenate([np.linspace(1, 9, 50), [900.0]]), "clips")
    assert bar_chart(one).axes[0].get_xscale() == "linear"  # a bar for each of three values
    assert bar_chart(many).axes[0].get_xscale() == "log"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.0123, "0.012"), (0.5, "0.5"), (2, "2"), (29.97, "29.97"), (1234.5, "1234")],
)
def test_numbers(value: float, text: str):
    assert number(value) == text


@pytest.mark.parametrize(
    ("start", "end", "seconds"),
    [(None, None, 10.0), (2.0, 5.0, 3.0), (8.0, 99.0, 3.0), (50.0, None, 0.0), (None, 4.0, 3.0)],
)
def test_length_of_parts(start: float | None, end: float | None, seconds: float):
    facts = FileFacts(FileKey("/a", 0, 1, 1), full=True, first_seconds=1.0, duration_seconds=10.0)
    clip = Clip("/a", (0,), start_seconds=start, end_seconds=end)
    assert clip_seconds(clip, facts) == pytest.approx(seconds)


# The page


@pytest.mark.slow
def test_a_clean_page_says_so():
    page = Page(render_page(result()))
    assert "Training may start" in page.text
    assert "None were found." in page.text
    assert "320 × 240" in page.text
    assert "Frame rate" in page.text


@pytest.mark.slow
def test_every_kind_has_its_place_and_advice():
    problems = [problem(kind, f"name of {kind}", f"text of {kind}") for kind in KINDS]
    page = Page(render_page(result(problems=problems, quarantine={"a": "x"})))
    for kind in KINDS:
        assert f"name of {kind}" in page.text
        assert f"text of {kind}" in page.text
        assert KINDS[kind].advice in page.text
    errors = sum(kind.severity == "error" for kind in KINDS.values())
    assert f"Not ready for training: {errors} errors" in page.text
    assert "1 name is in quarantine.txt" in page.text


@pytest.mark.slow
def test_thousands_of_problems_do_not_make_the_page_long():
    problems = [problem("truncated", f"{i}.mp4", "cut off") for i in range(5000)]
    source = render_page(result(problems=problems))
    assert len(source) < 100_000
    assert "4957 that are only in check.json" in Page(source).text


@pytest.mark.slow
def test_the_page_is_self_contained_and_text_in_it_is_only_text():
    problems = [problem(kind, NASTY, NASTY, related=(NASTY,), where=NASTY) for kind in KINDS]
    source = render_page(
        result(
            names=(NASTY, NASTY + "2"),
            picture=jpeg(np.zeros((48, 64, 3), np.uint8)),
            problems=problems,
            source=DataSource(NASTY, format=NASTY),
        )
    )
    source.encode("utf-8")
    assert "\x1b" not in source
    assert "\u202e" not in source
    page = Page(source)
    assert "<script>alert('x')</script> & \"q\" \\x1b[31m" in page.text
    for tag, attributes in page.tags:
        assert tag not in ("script", "link", "iframe", "object", "base", "form")
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href"):
                kinds = ("data:image/jpeg;base64,", "data:image/svg+xml;base64,")
                assert (value or "").startswith(kinds)
    assert "url(" not in source
    assert "@import" not in source
    policy = next(a["content"] for t, a in page.tags if t == "meta" and "http-equiv" in a)
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("classes", "rough", "least", "most"), [(2, False, 8, 8), (400, False, 2, 7), (500, True, 0, 1)]
)
def test_pictures_of_many_classes_fit_on_a_page(classes: int, rough: bool, least: int, most: int):
    """Also where pictures are as large as they get, those of noise."""
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    picture = noise if rough else numbered_frame(77, 160, 120)
    names = tuple(f"class {i}" for i in range(classes))
    source = render_page(result(names=names, each=9, picture=jpeg(picture)))
    assert len(source) < 5_000_000
    jpegs = [a for tag, a in Page(source).tags if "jpeg" in (a.get("src") or "")]
    shown = [a["alt"] or "" for a in jpegs]
    of_class = Counter(name.split("/")[0] for name in shown)
    assert of_class["class 0"] >= 1
    assert min(of_class[name] for name in names) >= least
    assert max(of_class.values()) <= most


@pytest.mark.slow
def test_pages_of_other_forms():
    quick = result(options=CheckOptions(full=False, split="train"))
    text = Page(render_page(quick)).text
    assert "one frame of each file decoded, only the split train" in text
    assert "damage inside files was not checked" in text
    empty = result(names=(), each=0)
    assert "Lengths and sizes" not in Page(render_page(empty)).text


@pytest.mark.slow
def test_clips_that_can_be_watched_are_shown_before_stills_and_within_bounds(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(page_module, "_MOVING_BYTES", 35_000)
    still, moving = jpeg(numbered_frame(1)), "A" * 4_000
    names = ("run", "jump", "sit")
    found = result(names, each=6, picture=still)
    facts = [
        dataclasses.replace(one, moving=moving if i % 2 else "")
        for i, one in enumerate(found.facts)
    ]
    source = render_page(dataclasses.replace(found, facts=facts))
    page = Page(source)
    # Three of each class could move, nine of 4 kB in all; 35 kB hold eight.
    assert source.count(moving) == 8
    labels = [a["aria-label"] for tag, a in page.tags if tag == "input"]
    assert labels[0] == "Play run/1.mp4"
    assert sum("sit" in (label or "") for label in labels) == 2
    assert f"holds everything it shows, {bytes_words(len(source.encode()))}." in page.text
    assert "Tab key" in page.text
    assert "Tab key" not in Page(render_page(found)).text


@pytest.mark.slow
def test_every_chart_has_a_version_for_dark_screens():
    page = Page(render_page(result()))
    dark = [a["srcset"] or "" for tag, a in page.tags if tag == "source"]
    light = [a["src"] or "" for tag, a in page.tags if tag == "img"]
    assert len(dark) == len(light) > 3
    for one, other in zip(dark, light, strict=True):
        svg = base64.b64decode(one.partition(",")[2]).decode()
        assert "#08519c" not in svg
        assert "#7ab8f5" in svg
        assert "#08519c" in base64.b64decode(other.partition(",")[2]).decode()


@pytest.mark.slow
def test_the_page_in_a_browser(tmp_path):
    """At the widths of a phone and a screen, bright and dark, for everybody."""
    moving = preview_of([numbered_frame(i) for i in range(8)], 2.0)
    found = result(names=("run", "a-name-without-any-break" * 3), picture=moving.still)
    found.facts[1] = dataclasses.replace(found.facts[1], moving=moving.moving)
    path = tmp_path / "check.html"
    path.write_text(render_page(found), encoding="utf-8")
    with chromium() as browser:
        for width in (360, 1280):
            for scheme in ("light", "dark"):
                with opened(browser, path.as_uri(), width=width, scheme=scheme) as seen:
                    assert seen.sideways() == 0
                    assert seen.faults() == []
                    seen.check()
