from __future__ import annotations

import base64
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from html_page import NASTY, Page
from video_mobile_former.data.index.index import ClipIndex
from video_mobile_former.errors import UserError
from video_mobile_former.evaluation import Evaluation, write_report
from video_mobile_former.evaluation.metrics.calibration import calibration
from video_mobile_former.evaluation.metrics.curves import Curve
from video_mobile_former.evaluation.metrics.single_label import Intervals
from video_mobile_former.evaluation.report.page import render_page
from video_mobile_former.evaluation.result import giga, percent

IMAGES = tuple(f"data:image/{kind};base64," for kind in ("png", "jpeg", "svg+xml", "webp"))


def nasty(evaluation: Evaluation) -> Evaluation:
    """The same evaluation with hostile text wherever text comes from outside."""
    rows = tuple(
        dataclasses.replace(row, name=f"{NASTY} {i}")
        for i, row in enumerate(evaluation.metrics.per_class)
    )
    clips = tuple(
        dataclasses.replace(clip, name=NASTY, true=NASTY, predicted=NASTY)
        for clip in evaluation.clips
    )
    return dataclasses.replace(
        evaluation,
        metrics=dataclasses.replace(evaluation.metrics, per_class=rows),
        method=dataclasses.replace(
            evaluation.method, model=NASTY, data=NASTY, split=NASTY, device=NASTY
        ),
        clips=clips,
        notes=(NASTY,),
    )


def alts(page: Page) -> list[str]:
    """What the pictures of a page are said to show."""
    return [attributes["alt"] or "" for tag, attributes in page.tags if tag == "img"]


def test_three_files_that_agree(evaluation: Evaluation, tmp_path: Path) -> None:
    page = write_report(evaluation, tmp_path / "new" / "report")
    folder = page.parent
    assert sorted(p.name for p in folder.iterdir()) == [
        "confusion.png",
        "predictions.safetensors",
        "report.html",
        "report.json",
    ]
    picture = (folder / "confusion.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert base64.b64encode(picture).decode() in page.read_text(encoding="utf-8")

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    value = json.loads((folder / "report.json").read_text("utf-8"), parse_constant=refuse)
    assert value == json.loads(json.dumps(evaluation.to_dict()))
    assert value["metrics"]["confusion_matrix"] == [[3, 0], [1, 2]]
    assert value["metrics"]["top1"] == pytest.approx(5 / 6)
    assert value["cost"]["total_macs"] == value["cost"]["macs_per_view"] == 2
    assert value["method"]["clip"]["num_frames"] == 4
    assert [clip["correct"] for clip in value["clips"]] == [True] * 5 + [False]


def test_the_page_says_what_matters(evaluation: Evaluation) -> None:
    text = Page(render_page(evaluation, b"")).text
    for wanted in (
        "83.3 %",
        "5 of 6 clips",
        "43.6 – 97.0 %",  # Wilson's interval of 5 in 6
        "MACs",
        "1 view",
        "motions.csv",
        "uniform: one frame from each of 4 equal segments",
        "none: one view",
        "given from 6 classes; here are 2",
        "falling",
        "5.mp4",
        "checked",
        "scoring is deterministic",
        "torch",
    ):
        assert wanted in text, wanted


def test_the_page_is_self_contained_and_text_in_it_is_only_text(evaluation: Evaluation) -> None:
    source = render_page(nasty(evaluation), b"picture")
    source.encode("utf-8")
    assert "\x1b" not in source
    assert "\u202e" not in source
    page = Page(source)
    assert "<script>alert('x')</script> & \"q\" \\x1b[31m" in page.text
    for tag, attributes in page.tags:
        assert tag not in ("script", "link", "iframe", "object", "base", "form")
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "srcset"):
                assert (value or "").startswith(IMAGES)
            if name == "href":
                assert (value or "").startswith("#clip-")
    assert "url(" not in source
    assert "@import" not in source
    policy = next(a["content"] for t, a in page.tags if t == "meta" and "http-equiv" in a)
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def test_hostile_text_can_be_written(evaluation: Evaluation, tmp_path: Path) -> None:
    page = write_report(nasty(evaluation), tmp_path)
    value = json.loads((page.parent / "report.json").read_text(encoding="utf-8"))
    assert value["method"]["model"] == NASTY.replace("\udcff", "\\udcff")


def test_classes_are_sorted_from_the_weakest(evaluation: Evaluation) -> None:
    text = Page(render_page(evaluation, b"")).text
    table = text[text.index("Weakest first") :]
    assert table.index("rising") < table.index("falling")


def test_calibration_is_told(evaluation: Evaluation) -> None:
    found = evaluation.calibration
    assert found is not None
    assert found.accuracy == pytest.approx(5 / 6)
    assert evaluation.to_dict()["calibration"]["ece_equal_width"] == found.ece_equal_width
    # 200 scores of 0.99, of which two are wrong: chance alone gives less than a point.
    many = calibration(np.full(200, 0.99), np.arange(200) >= 2)
    page = Page(render_page(dataclasses.replace(evaluation, calibration=many), b""))
    assert f"Calibration error {percent(many.ece_equal_width)} with 15 bins of equal" in page.text
    assert "one of 15 bins of equally many scores" in page.text
    assert any(alt.startswith("Share that is right over score") for alt in alts(page))


def test_what_six_clips_cannot_carry_gives_way_to_how_many_it_takes(
    evaluation: Evaluation,
) -> None:
    page = Page(render_page(evaluation, b""))
    assert "6 scores are too few" in page.text
    assert "It takes about 100 scores" in page.text
    assert "None of the classes has 20 clips" in page.text
    assert "About 94 clips of a class bring it to 20 points" in page.text
    shown = " ".join(alts(page))
    assert "Share that is right" not in shown
    assert "Precision over recall" not in shown
    assert "too few scores to tell: it takes about 100" in evaluation.summary()
    assert "43.6 – 97.0 %" in page.text  # the interval of all clips stays
    assert evaluation.to_dict()["calibration"] is not None  # the file has them all the same


def test_a_wrong_clip_can_be_watched_once(evaluation: Evaluation) -> None:
    assert list(evaluation.previews) == [5]
    preview = evaluation.previews[5]
    assert base64.b64decode(preview.still).startswith(b"\xff\xd8\xff")
    source = render_page(evaluation, b"")
    page = Page(source)
    assert [a["aria-label"] for t, a in page.tags if t == "input"] == ["Play 5.mp4"]
    assert source.count(preview.moving) == 1  # the list of wrong clips points to it
    assert [a["href"] for t, a in page.tags if t == "a"] == ["#clip-5"]
    assert any(a.get("id") == "clip-5" for _, a in page.tags)
    without = Page(render_page(dataclasses.replace(evaluation, previews={}), b""))
    assert not [t for t, _ in without.tags if t in ("input", "a")]
    assert "Tab key" not in without.text


def test_every_class_of_enough_clips_has_its_curve(evaluation: Evaluation) -> None:
    steps = np.array([0.5, 1.0])
    curves = tuple(Curve(i, 20, 0.7, 0.5, steps, steps[::-1]) for i in range(2))
    rows = [dataclasses.replace(row, clips=20) for row in evaluation.metrics.per_class]
    metrics = dataclasses.replace(evaluation.metrics, per_class=tuple(rows))
    enough = dataclasses.replace(evaluation, curves=curves, metrics=metrics)
    page = Page(render_page(enough, b""))
    curves = [alt for alt in alts(page) if alt.startswith("Precision over recall of")]
    assert sorted(alt.split(";")[0].split()[-1] for alt in curves) == ["falling", "rising"]
    assert "All classes that have clips" in page.text
    assert "20 clips here" not in page.text
    rows = [rows[0], dataclasses.replace(rows[1], clips=19)]
    metrics = dataclasses.replace(metrics, per_class=tuple(rows))
    page = Page(render_page(dataclasses.replace(enough, metrics=metrics), b""))
    assert "1 of the 2 classes have fewer than 20 clips here" in page.text


def test_groups_make_the_interval(evaluation: Evaluation) -> None:
    found = dataclasses.replace(
        evaluation.metrics,
        intervals=Intervals((0.3, 0.9), None, (0.2, 0.95), 1000, 3, by_group=True),
    )
    text = Page(render_page(dataclasses.replace(evaluation, metrics=found), b"")).text
    assert "30.0 – 90.0 %" in text
    assert "bootstrap over 3 groups" in text
    assert "20.0 – 95.0 %" in text


def test_draws_that_all_say_the_same_are_no_interval(evaluation: Evaluation) -> None:
    same = Intervals((0.3, 0.9), None, (1.0, 1.0), 1000, 6, by_group=False)
    told = Intervals((0.3, 0.9), None, (0.5, 1.0), 1000, 6, by_group=False)
    for intervals, shown in ((same, False), (told, True)):
        metrics = dataclasses.replace(evaluation.metrics, intervals=intervals)
        source = render_page(dataclasses.replace(evaluation, metrics=metrics), b"")
        assert ("every class counts the same; 95 % interval" in source) is shown


def test_without_errors_it_says_so(evaluation: Evaluation) -> None:
    perfect = dataclasses.replace(
        evaluation,
        clips=evaluation.clips[:5],
        metrics=dataclasses.replace(evaluation.metrics, confusion_matrix=((3, 0), (0, 2))),
    )
    assert Page(render_page(perfect, b"")).text.count("None: every clip was recognised.") == 2


def test_a_long_list_of_wrong_clips_is_cut_and_said(evaluation: Evaluation) -> None:
    wrong = evaluation.wrong_clips()[0]
    many = dataclasses.replace(
        evaluation,
        clips=tuple(dataclasses.replace(wrong, name=f"wrong{i}.mp4") for i in range(201)),
    )
    text = Page(render_page(many, b"")).text
    assert "the first 200 are shown, all are in report.json" in text
    assert "wrong199.mp4" in text
    assert "wrong200.mp4" not in text


def test_parts_of_files_and_other_ways_of_measuring_are_told(evaluation: Evaluation) -> None:
    method = dataclasses.replace(
        evaluation.method,
        split=None,
        average="logits",
        precision="bf16",
        freeze_frames=1,
        num_padded=2,
        training_seed=7,
        class_order_checked=False,
        num_views=2,
        clip=dataclasses.replace(evaluation.method.clip, sampling="dense", stride=2),
    )
    clip = dataclasses.replace(evaluation.clips[-1], start_seconds=1.5, end_seconds=None)
    changed = dataclasses.replace(
        evaluation,
        method=method,
        cost=dataclasses.replace(evaluation.cost, num_views=2, num_crops=3),
        clips=(clip,),
        previews={},
    )
    text = Page(render_page(changed, b"")).text
    for wanted in (
        "all clips of the data",
        "softmax after the mean",
        "bfloat16 autocast",
        "all replaced by frame 1 (from 0)",
        "2 of them padded",
        "training used 7",
        "not checked",
        "dense: 4 frames, 0.0667 s apart",
        "2 views × 3 crops",
        "5.mp4 (1.5 s – end)",
    ):
        assert wanted in text, wanted


@pytest.mark.slow
def test_a_failure_leaves_the_old_report_whole(
    evaluation: Evaluation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = write_report(evaluation, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(UserError, match="No space left on device"):
        write_report(nasty(evaluation), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert page.is_file()


def test_summary_for_a_terminal(evaluation: Evaluation, motion_index: ClipIndex) -> None:
    lines = evaluation.summary().splitlines()
    assert lines[0] == "top-1            83.3 %   (5 of 6 clips; 95 % interval 43.6–97.0 %)"
    assert "not given" in lines[1]
    assert "2 MACs per video (1 view of 2), 4 parameters" in lines[-1]
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(
    ("macs", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.00 k"),
        (424_582_144, "425 M"),
        (322_975_744, "323 M"),
        (99_949_999, "99.9 M"),
        (999_600_000, "1.00 G"),
        (1_544_552_192, "1.54 G"),
        (12_000_000_000_000, "12.0 T"),
    ],
)
def test_large_numbers_have_three_digits(macs: int, text: str) -> None:
    assert giga(macs) == text


def test_percent() -> None:
    assert percent(0.75) == "75.0 %"
    assert percent(None) == "–"
