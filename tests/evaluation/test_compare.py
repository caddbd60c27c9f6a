from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from html_page import NASTY, Page
from video_mobile_former.cli.compare import _folder_names, short_names
from video_mobile_former.cli.measuring import measured_speeds, per_model
from video_mobile_former.cli.options import views_number
from video_mobile_former.errors import DataError
from video_mobile_former.evaluation import Evaluation, write_report
from video_mobile_former.evaluation.compare import Speed, compare
from video_mobile_former.evaluation.predictions import Run, is_report, load_run, run_of
from video_mobile_former.evaluation.report.comparison import (
    comparison_summary,
    render_comparison,
    write_comparison,
)
from video_mobile_former.evaluation.result import TRAINED_ON
from video_mobile_former.export.loading import model_bytes
from video_mobile_former.models import create_model


def variant(run: Run, name: str, right: list[bool], **changes: object) -> Run:
    """The same clips with other outcomes."""
    place = [run.class_names.index(names[0]) for names in run.true]
    scores = torch.full((len(right), 2), 0.2)
    for row, label, correct in zip(scores, place, right, strict=True):
        row[label if correct else 1 - label] = 0.8
    return dataclasses.replace(run, name=name, scores=scores, **changes)


@pytest.fixture
def run(evaluation: Evaluation) -> Run:
    return run_of(evaluation, "first")


def test_a_model_and_itself(run: Run) -> None:
    found = compare([run, dataclasses.replace(run, name="again")])
    (pair,) = found.pairs
    assert (pair.difference, pair.interval, pair.p, pair.p_holm) == (0, (0, 0), 1, 1)
    assert (pair.only_first, pair.only_second) == (0, 0)


def test_by_hand(run: Run) -> None:
    a = variant(run, "a", [True] * 6)
    b = variant(run, "b", [False] * 5 + [True])
    c = variant(run, "c", [True, False, True, False, True, False])
    found = compare([a, b, c])
    first, second, third = found.pairs
    assert (first.only_first, first.only_second) == (5, 0)
    assert first.p == 2 / 32
    assert first.p_holm == 3 * 2 / 32
    assert first.difference == pytest.approx(5 / 6)
    assert (second.only_first, second.only_second, second.p) == (3, 0, 0.25)
    assert (third.only_first, third.only_second) == (1, 3)
    assert third.difference == pytest.approx(-2 / 6)
    assert third.interval is not None
    assert third.interval[0] < -2 / 6 < third.interval[1]
    assert [one.metrics.score for one in found.models] == pytest.approx([1, 1 / 6, 1 / 2])
    lines = comparison_summary(found).splitlines()
    assert max(map(len, lines)) <= 80
    assert any("0.188" in line for line in lines)


def test_clips_in_another_order_are_the_same_clips(run: Run) -> None:
    order = [3, 1, 5, 0, 2, 4]
    mixed = dataclasses.replace(
        run,
        name="mixed",
        keys=tuple(run.keys[i] for i in order),
        true=tuple(run.true[i] for i in order),
        groups=tuple(run.groups[i] for i in order),
        scores=run.scores[order],
    )
    assert compare([run, mixed]).pairs[0].only_first == 0


@pytest.mark.slow
def test_clips_that_one_model_could_not_read_are_left_out_for_all(run: Run) -> None:
    failures = [dict(zip(("name", "start_seconds", "end_seconds"), run.keys[1], strict=True))]
    part = dataclasses.replace(
        run,
        name="part",
        keys=(run.keys[0], *run.keys[2:]),
        true=(run.true[0], *run.true[2:]),
        groups=(run.groups[0], *run.groups[2:]),
        scores=run.scores[[0, 2, 3, 4, 5]],
        method={**run.method, "failures": failures},
    )
    for runs in ([run, part], [part, run], [part, part]):
        found = compare(runs)
        assert found.num_units == 5
        assert found.notes[0].startswith("1 of 6 clips could not be read with every model")
        assert run.keys[1][0] in found.notes[0]


@pytest.mark.slow
def test_groups_widen_the_interval_of_a_difference(run: Run) -> None:
    groups = ("x", "x", "x", "y", "y", "y")
    a, b = variant(run, "a", [True] * 6), variant(run, "b", [True] * 3 + [False] * 3)
    alone = compare([a, b]).pairs[0].interval
    found = compare([dataclasses.replace(one, groups=groups) for one in (a, b)])
    grouped = found.pairs[0].interval
    assert alone is not None
    assert grouped == (0, 1)
    assert 0 < alone[0] < alone[1] < 1
    assert found.by_group
    assert "2 groups" in found.notes[0]


@pytest.mark.slow
def test_a_small_p_is_not_believed_where_the_interval_of_groups_holds_0(run: Run) -> None:
    # All that tells the models apart is one group of ten clips: McNemar's p is 0.002.
    true = tuple((run.class_names[i % 2],) for i in range(30))
    base = dataclasses.replace(
        run,
        true=true,
        keys=tuple((f"{i}.mp4", None, None) for i in range(30)),
        groups=tuple(f"g{i // 10}" for i in range(30)),
    )
    a, b = variant(base, "a", [True] * 30), variant(base, "b", [True] * 20 + [False] * 10)
    grouped = compare([a, b])
    assert grouped.pairs[0].p_holm == pytest.approx(2 / 1024)
    assert not grouped.pairs[0].differs
    alone = compare([dataclasses.replace(one, groups=(None,) * 30) for one in (a, b)])
    assert alone.pairs[0].differs
    bold = [parsed.count("<b>0.002</b>") for parsed in map(render_comparison, (grouped, alone))]
    assert bold == [0, 1]


@pytest.mark.slow
def test_only_models_measured_on_training_clips_are_named(run: Run) -> None:
    note = f"{TRAINED_ON} (6 of 6): this is not accuracy on unseen data."
    other = dataclasses.replace(run, name="other", notes=(note,))
    method = {**run.method, "split": None}
    unnamed = dataclasses.replace(run, name="unnamed", method=method)
    (found,) = compare([run, unnamed, other]).notes
    assert found == f"{TRAINED_ON}: other. They say nothing about new clips."


def test_what_cannot_be_compared(run: Run) -> None:
    other = dataclasses.replace(run, name="other", class_names=run.class_names[::-1])
    with pytest.raises(
        DataError, match=r"^other: it has .*position 0 .*'rising' in other, 'falling' in first$"
    ):
        compare([run, other])
    less = dataclasses.replace(
        run, name="less", keys=run.keys[:5], true=run.true[:5], groups=run.groups[:5]
    )
    with pytest.raises(DataError, match=r"6, for example 5\.mp4 only with first"):
        compare([run, less])
    wrong = dataclasses.replace(run, name="wrong", true=(("rising",), *run.true[1:]))
    with pytest.raises(DataError, match=r"0\.mp4 is labelled rising with wrong and falling"):
        compare([run, wrong])
    with pytest.raises(DataError, match="at least two"):
        compare([run])


@pytest.mark.slow
def test_several_classes_a_clip_are_compared_by_average_precision(run: Run) -> None:
    rng = np.random.default_rng(0)
    true = tuple((run.class_names[i % 2],) for i in range(60))
    keys = tuple((f"{i}.mp4", None, None) for i in range(60))
    targets = torch.eye(2)[[i % 2 for i in range(60)]]
    noise = torch.from_numpy(rng.random((60, 2))).float()
    base = dataclasses.replace(
        run, multi_label=True, true=true, keys=keys, groups=(None,) * 60, scores=noise
    )
    good = dataclasses.replace(base, name="good", scores=0.5 * targets + 0.5 * noise)
    found = compare([good, base, dataclasses.replace(base, name="same")])
    assert found.multi_label
    better, _, same = found.pairs
    assert better.only_first is None
    assert better.interval is not None
    assert better.interval[0] > 0.2
    assert better.p is not None
    assert better.p < 0.01
    assert (same.difference, same.p) == (0, 1)
    ranked = compare([good, *(dataclasses.replace(base, name=f"m{i}") for i in range(7))])
    assert len(ranked.pairs) == 28
    assert ranked.pairs[0].differs  # corrected for 28 pairs, which 500 draws could not show
    text = Page(render_comparison(found)).text
    assert "Mean average precision".lower() in text.lower()
    assert "McNemar" not in text


@pytest.mark.slow
def test_written_reports_are_read_back(evaluation: Evaluation, tmp_path: Path) -> None:
    write_report(evaluation, tmp_path / "a")
    found = load_run(tmp_path / "a", "a")
    direct = run_of(evaluation, "a")
    assert torch.equal(found.scores, direct.scores)
    assert (found.keys, found.true, found.cost) == (direct.keys, direct.true, direct.cost)
    assert load_run(tmp_path / "a" / "report.json", "a").clip == direct.clip
    report = tmp_path / "a" / "report.json"
    assert is_report(tmp_path / "a")
    assert is_report(report)
    (tmp_path / "a" / "config.json").write_text("{}")
    assert not is_report(tmp_path / "a")
    value = json.loads(report.read_text("utf-8"))
    report.write_text(json.dumps({**value, "format": 3}), "utf-8")
    with pytest.raises(DataError, match=r"report\.json has format 3.*evaluate that model again"):
        load_run(tmp_path / "a", "a")
    for broken in ({**value, "clips": [{}]}, {k: v for k, v in value.items() if k != "method"}):
        report.write_text(json.dumps(broken), "utf-8")
        with pytest.raises(DataError, match=r"report\.json is damaged: KeyError"):
            load_run(tmp_path / "a", "a")
    stranger = {**value["clips"][0], "true": "standing"}
    report.write_text(json.dumps({**value, "clips": [stranger, *value["clips"][1:]]}), "utf-8")
    with pytest.raises(DataError, match="does not belong"):
        load_run(tmp_path / "a", "a")
    value["clips"][0]["predicted"] = "rising"
    report.write_text(json.dumps(value), "utf-8")
    with pytest.raises(DataError, match="does not belong"):
        load_run(tmp_path / "a", "a")
    (tmp_path / "a" / "predictions.safetensors").unlink()
    with pytest.raises(DataError, match="cannot be read"):
        load_run(tmp_path / "a", "a")


@pytest.mark.slow
def test_the_page_is_self_contained_and_text_in_it_is_only_text(run: Run, tmp_path: Path) -> None:
    cost = dataclasses.replace(run.cost, num_views=3)
    clip = dataclasses.replace(run.clip, num_frames=8)
    other = dataclasses.replace(run, name=NASTY, cost=cost, clip=clip)
    found = compare([run, other])
    page = write_comparison(found, tmp_path / "new")
    assert sorted(p.name for p in page.parent.iterdir()) == ["comparison.html", "comparison.json"]
    value = json.loads((page.parent / "comparison.json").read_text("utf-8"))
    assert (
        value["models"][1]["cost"]["total_macs"] == 3 * value["models"][1]["cost"]["macs_per_view"]
    )
    source = page.read_text("utf-8")
    parsed = Page(source)
    assert not {"script", "link", "iframe"} & {tag for tag, _ in parsed.tags}
    (picture,) = [attributes["src"] or "" for tag, attributes in parsed.tags if tag == "img"]
    assert picture.startswith("data:image/svg+xml;base64,")
    assert "\x1b" not in source
    assert "different clips" in parsed.text
    assert "2 × 3" in parsed.text
    assert "8 × 32², uniform" in parsed.text


def test_names_and_options_of_several() -> None:
    assert short_names(["runs/a/best", "runs/b/best"]) == ["a", "b"]
    assert short_names(["x/a.onnx", "y/b/best"]) == ["x/a.onnx", "y/b/best"]
    assert short_names(["r/a", "r/a"]) == ["a", "a (2)"]
    here = Path.cwd()
    assert short_names([".", "./sub"]) == [here.name, f"{here.name}/sub"]
    assert short_names(["..", "../sub"])[1] == f"{here.parent.name}/sub"
    assert _folder_names(["a/b", "a-b", "c"]) == ["a-b", "a-b (2)", "c"]
    assert [views_number(text) for text in ("full", "10")] == ["full", 10]
    with pytest.raises(argparse.ArgumentTypeError, match="whole number, not 'all'; or full"):
        views_number("all")
    assert per_model("num_views", [3], 2) == [3, 3]
    assert per_model("num_views", [3, 1], 2) == [3, 1]
    with pytest.raises(DataError.__bases__[0], match="one for each of 3 models: 2 given"):
        per_model("num_views", [3, 1], 3)
    with pytest.raises(DataError.__bases__[0], match="one value for one model: 2 given"):
        per_model("num_views", [3, 1], 1)


SLOW = {
    "latency_ms": 12.34,
    "latency_ms_quartiles": [11.9, 13.1],
    "threads": 1,
    "rounds": 15,
    "peak_memory_mb": 87.4,
    "machine": "a processor, 2 cores, Linux x86_64",
}


@pytest.mark.slow
def test_file_sizes_are_given_and_times_where_they_were_measured(run: Run) -> None:
    sized = dataclasses.replace(
        run, name="sized", cost=dataclasses.replace(run.cost, file_bytes=9_120_000)
    )
    without = compare([run, sized])
    text = Page(render_comparison(without)).text
    assert "9.1 MB" in text
    assert "Time and memory were not measured; --speed does so." in text
    assert "Time of a view" not in text
    assert "ms a view" not in comparison_summary(without)
    assert without.to_dict()["models"][0]["speed"] is None
    found = compare([run, sized], [None, Speed.of(SLOW)])
    text = Page(render_comparison(found)).text
    for wanted in ("12.3 ms", "11.9 – 13.1", "87 MB", "one thread of a processor", "earlier"):
        assert wanted in text, wanted
    lines = comparison_summary(found).splitlines()
    assert max(map(len, lines)) <= 80
    assert any("9.1 MB" in line and "12.3 ms" in line and "87 MB" in line for line in lines)
    assert found.to_dict()["models"][1]["speed"]["ms"] == 12.34


def test_a_stored_report_keeps_the_size_of_the_file(evaluation: Evaluation, tmp_path: Path) -> None:
    cost = dataclasses.replace(evaluation.cost, file_bytes=1234)
    write_report(dataclasses.replace(evaluation, cost=cost), tmp_path)
    assert load_run(tmp_path, "a").cost.file_bytes == 1234
    value = json.loads((tmp_path / "report.json").read_text())
    del value["cost"]["file_bytes"]  # as earlier versions wrote it
    (tmp_path / "report.json").write_text(json.dumps(value))
    assert load_run(tmp_path, "a").cost.file_bytes is None


@pytest.mark.slow
def test_models_are_timed_in_one_run(tmp_path: Path) -> None:
    model = create_model("vmf_500m", 2, num_frames=2, crop_size=32)
    model.save_pretrained(tmp_path / "a")
    missing, one = measured_speeds([None, str(tmp_path / "a")])
    assert missing is None
    assert one is not None
    assert one.quartiles[0] <= one.ms <= one.quartiles[1]
    assert one.threads == 1
    assert (one.peak_memory_mb or 1) > 0
    assert model_bytes(tmp_path / "a") == (tmp_path / "a" / "model.safetensors").stat().st_size
    assert model_bytes(tmp_path / "none") is None
