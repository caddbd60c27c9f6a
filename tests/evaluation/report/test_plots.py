from __future__ import annotations

import base64
import dataclasses
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from matplotlib.text import Annotation

from html_page import NASTY
from video_mobile_former.evaluation import Evaluation
from video_mobile_former.evaluation.compare import compare
from video_mobile_former.evaluation.metrics.calibration import calibration
from video_mobile_former.evaluation.metrics.curves import Curve
from video_mobile_former.evaluation.predictions import Run, run_of
from video_mobile_former.evaluation.report.plots import (
    cost_plot,
    curve_plot,
    drawable,
    reliability_plot,
)
from video_mobile_former.page import chart_of


@pytest.fixture
def run(evaluation: Evaluation) -> Run:
    return run_of(evaluation, "first")


def with_cost(run: Run, name: str, macs: int) -> Run:
    return dataclasses.replace(
        run, name=name, cost=dataclasses.replace(run.cost, macs_per_view=macs)
    )


def test_every_bin_is_a_point_at_its_score_and_share() -> None:
    found = calibration(np.linspace(0.05, 0.95, 40), np.arange(40) % 3 > 0)
    (axes,) = reliability_plot(found).axes
    points = axes.containers[0][0].get_xydata()
    assert points == pytest.approx(np.array([[b.confidence, b.accuracy] for b in found.bins]))
    whiskers = axes.containers[0][2][0].get_segments()
    assert [line[:, 1].tolist() for line in whiskers] == [
        pytest.approx(one.interval) for one in found.bins
    ]


def test_a_curve_is_steps_to_the_right_and_long_ones_are_thinned() -> None:
    count = 1500
    recall = np.arange(1, count + 1) / count
    curve = Curve(0, count, 0.7, 0.5, recall, np.linspace(1, 0.5, count))
    (axes,) = curve_plot(curve).axes
    chance, steps = axes.lines
    assert chance.get_ydata() == pytest.approx([0.5, 0.5])
    x, y = np.asarray(steps.get_xdata()), np.asarray(steps.get_ydata())
    assert steps.get_drawstyle() == "steps-pre"  # the precision of a step holds up to its recall
    assert (len(x), x[0], x[-1], y[0], y[-1]) == (101, 0, 1, 1, 0.5)


@pytest.mark.slow
def test_models_stand_by_their_cost_and_names_do_not_lie_on_each_other(run: Run) -> None:
    costs = (1, 10**6, 10**9, 10**9)
    runs = [with_cost(run, f"m{i}", cost) for i, cost in enumerate(costs)]
    (axes,) = cost_plot(compare(runs).models).axes
    assert axes.containers[0][0].get_xdata().tolist() == list(costs)
    low, high = axes.get_xlim()
    assert low < 1 < 10**9 < high
    names = [one for one in axes.texts if isinstance(one, Annotation)]
    assert [one.get_text() for one in names] == ["m0", "m1", "m2", "m3"]
    heights = [one.get_position()[1] for one in names]
    assert heights[:3] == [0, 0, 0]
    assert heights[3] == -12
    assert 1 <= len(axes.get_xticks()) <= 6


@pytest.mark.slow
def test_models_of_one_cost_have_an_axis_with_round_numbers(run: Run) -> None:
    models = compare([with_cost(run, name, 424_582_144) for name in "ab"]).models
    (axes,) = cost_plot(models).axes
    labels = [one.get_text() for one in axes.get_xticklabels()]
    assert "500 M" in labels


@pytest.mark.slow
def test_any_name_can_be_drawn(run: Run) -> None:
    names = (NASTY, "动作", "$x_1$", "")
    runs = [with_cost(run, name, 10**i) for i, name in enumerate(names)]
    source = chart_of(cost_plot(compare(runs).models)).light
    kind, _, data = source.partition(",")
    assert kind == "data:image/svg+xml;base64"
    svg = ET.fromstring(base64.b64decode(data))
    texts = [one.text for one in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert {"model 2", "$x_1$", "model 4"} <= set(texts)
    assert not list(svg.iter("{http://www.w3.org/2000/svg}script"))
    assert source == chart_of(cost_plot(compare(runs).models)).light


def test_long_names_keep_both_ends() -> None:
    assert drawable("runs/" + "x" * 60 + "/best", "model 1", 20).startswith("runs/")
    assert len(drawable("y" * 60, "model 1", 20)) <= 20
