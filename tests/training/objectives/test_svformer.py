"""SVFormer: its parts by their equations, exact resuming, what it is beside plain training."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from video_mobile_former.clip_spec import ClipSpec
from video_mobile_former.data.transforms import normalize
from video_mobile_former.errors import DataError, RecipeError
from video_mobile_former.models.registry import load_checkpoint
from video_mobile_former.training.build import build_indexes, build_unlabelled
from video_mobile_former.training.fit import fit
from video_mobile_former.training.objectives.svformer import (
    SVFormer,
    mixed_targets,
    tube_mask,
    warp_index,
)
from video_mobile_former.training.recipe.fields import Recipe

Make = Callable[..., Recipe]
Read = Callable[[Any], list[dict[str, str]]]
SEMI: dict[str, Any] = {"semi__tube": 16, "semi__threshold": 0.2, "train__ema_decay": 0.9}
"""Settings with which every part works on pictures of 32² and eight classes."""


# ---- The parts


@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 40), st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_tubes_are_whole_squares_and_have_their_share(
    height: int, width: int, cell: int, share: float
) -> None:
    torch.manual_seed(0)
    mask = tube_mask((height, width), cell, share)
    assert mask.shape == (height, width)
    corners = mask[::cell, ::cell]
    again = corners.repeat_interleave(cell, 0)[:height].repeat_interleave(cell, 1)[:, :width]
    assert torch.equal(mask, again)
    assert int(corners.sum()) == round(share * corners.numel())


@given(st.integers(1, 40), st.data())
@settings(max_examples=80, deadline=None)
def test_a_warp_keeps_the_order_and_shows_the_kept_frames_alone(
    num_frames: int, data: st.DataObject
) -> None:
    kept = data.draw(st.integers(1, num_frames))
    index = warp_index(
        num_frames, kept, torch.Generator().manual_seed(data.draw(st.integers(0, 99)))
    )
    assert index.shape == (num_frames,)
    assert (index.diff() >= 0).all()
    shown = index.unique()
    assert len(shown) <= kept
    assert torch.equal(index[shown], shown)  # a kept frame shows itself
    if kept == num_frames:
        assert torch.equal(index, torch.arange(num_frames))


def test_mixed_labels_are_those_of_the_parts() -> None:
    torch.manual_seed(0)
    told, confidence = torch.rand(5, 3).softmax(1), torch.rand(5)
    order = torch.tensor([3, 0, 4, 1, 2])
    targets, weight = mixed_targets(told, confidence, order, 1.0)
    assert torch.equal(targets, told)
    assert torch.equal(weight, confidence)
    targets, weight = mixed_targets(told, confidence, order, 0.3)
    for i, j in enumerate(order.tolist()):
        torch.testing.assert_close(targets[i], 0.3 * told[i] + 0.7 * told[j])
        torch.testing.assert_close(weight[i], 0.3 * confidence[i] + 0.7 * confidence[j])
    # (a, b, M) is (b, a, 1 − M).
    other, _ = mixed_targets(told[order], confidence[order], torch.argsort(order), 0.7)
    torch.testing.assert_close(other, targets)
    x, mask = torch.rand(5, 3, 2, 32, 32), tube_mask((32, 32), 16, 0.5)
    assert torch.equal(torch.where(mask, x, x[order]), torch.where(~mask, x[order], x))


class Plain(nn.Module):
    """Logits that are a function of each clip alone."""

    def __init__(self) -> None:
        super().__init__()
        self.clip = ClipSpec(num_frames=4, resize_size=32, crop_size=32)
        self.num_classes, self.multi_label = 3, False
        self.classifier = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(x.mean(dim=(2, 3, 4)))


def batch_of(seed: int, unlabelled: int = 6) -> Any:
    made = torch.Generator().manual_seed(seed)
    clips = torch.randint(0, 256, (4, 1, 3, 4, 32, 32), generator=made, dtype=torch.uint8)
    others = torch.randint(0, 256, (unlabelled, 1, 3, 4, 32, 32), generator=made, dtype=torch.uint8)
    labels = torch.tensor([0, 1, 2, 0])
    return {"clips": clips, "labels": labels, "unlabelled": {"clips": others}}


def objective_of(make_recipe: Make, model: Plain, teacher: Plain, **changes: Any) -> SVFormer:
    one = SVFormer(make_recipe(optim__label_smoothing=0.0, **{**SEMI, **changes}), model)
    one.follow(teacher.eval().requires_grad_(False))
    return one


def test_the_loss_by_its_equation(make_recipe: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model, teacher = Plain(), Plain()
    batch, seen = batch_of(1), []
    weak = normalize(batch["unlabelled"]["clips"][:, 0], model.clip)
    middle = (
        float(teacher(weak).softmax(1).amax(1).median().detach()) + 1e-6
    )  # half of them are sure
    one = objective_of(make_recipe, model, teacher, semi__threshold=middle)
    monkeypatch.setattr(one, "_strong_view", lambda pixels, spec: 0.5 * normalize(pixels, spec))
    forward = Plain.forward

    def look(self: Plain, x: Tensor) -> Tensor:
        seen.append(x)
        return forward(self, x)

    monkeypatch.setattr(Plain, "forward", look)
    loss, figures = one.step(model, batch, [0, 0, 0, 0])
    assert len(seen) == 2  # the teacher's pass and one of all others
    assert torch.equal(seen[0], weak)
    own, strong, mixed = seen[1].split([4, 6, 6])
    torch.testing.assert_close(strong, 0.5 * weak)
    # Which clip each is mixed with, and how much of it there is, can be read off the mixed clips.
    order, share = [], None
    for i, clip in enumerate(mixed):
        partner = next(
            j
            for j in range(6)
            if ((clip == strong[i]) | (clip == strong[j])).all()
            and (j != i or torch.equal(clip, strong[i]))
        )
        order.append(partner)
        if partner != i:
            share = float((clip == strong[i]).float().mean())
    assert share is not None
    told = forward(teacher, weak).softmax(1)
    confidence, label = told.max(1)
    sure = confidence >= middle
    assert 0 < sure.sum() < 6
    expected = F.cross_entropy(forward(model, own), batch["labels"])
    each = F.cross_entropy(forward(model, strong), label, reduction="none")
    expected = expected + 2 * (each * sure).sum() / 6
    soft = torch.where(sure[:, None], torch.eye(3)[label], told)
    total = torch.zeros(())
    given = forward(model, mixed).softmax(1)
    for i, j in enumerate(order):
        error = (given[i] - share * soft[i] - (1 - share) * soft[j]).square().sum()
        total = total + (share * confidence[i] + (1 - share) * confidence[j]) * error / 6
    torch.testing.assert_close(loss, expected + 2 * total)
    assert float(figures["confident"]) == pytest.approx(4 * float(sure.float().mean()))
    loss.backward()
    assert model.classifier.weight.grad is not None
    assert teacher.classifier.weight.grad is None


def test_the_threshold_of_each_class_rises_with_confidence(make_recipe: Make) -> None:
    model = Plain()
    one = objective_of(make_recipe, model, Plain(), semi__threshold=None)
    told = torch.tensor([[0.9, 0.05, 0.05], [0.6, 0.3, 0.1], [0.2, 0.2, 0.6]])
    limits = one._threshold(told, *told.max(1))
    for _ in range(20_000):
        limits = one._threshold(told, *told.max(1))
    mean = told.mean(0)
    expected = 0.7 * mean / mean.max()
    torch.testing.assert_close(limits, expected[told.argmax(1)], atol=1e-3, rtol=0)
    assert set(one.state_dict()) >= {"mean_confidence", "mean_of_class"}


def test_strong_views_differ_and_keep_their_place(make_recipe: Make) -> None:
    model = Plain()
    one = objective_of(make_recipe, model, Plain(), semi__channel_dropout=1.0)
    pixels = batch_of(2)["unlabelled"]["clips"][:, 0]
    torch.manual_seed(1)
    first = one._strong_view(pixels, model.clip)
    torch.manual_seed(1)
    assert torch.equal(one._strong_view(pixels, model.clip), first)
    assert ((first == 0).flatten(2).all(2).sum(1) == 1).all()  # one colour of each is missing
    plain = objective_of(
        make_recipe, model, Plain(), semi__channel_dropout=0.0, semi__warp=False,
        semi__color_jitter=0.0, semi__randaugment_ops=0, augment__color_jitter=0.0,
    )  # fmt: skip
    torch.testing.assert_close(
        plain._strong_view(pixels, model.clip), normalize(pixels, model.clip)
    )


# ---- Runs


@pytest.fixture(scope="module")
def others(clips_csv: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All videos of the data, validation among them, in folders that say nothing."""
    folder = tmp_path_factory.mktemp("others") / "videos"
    with clips_csv.open(encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.DictReader(file)):
            target = folder / "deep" / f"{number}.mp4"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(clips_csv.parent / row["path"], target)
    return folder


@pytest.mark.slow
def test_without_weights_it_is_plain_training_number_for_number(
    make_recipe: Make, others: Path, read_metrics: Read, tmp_path: Path
) -> None:
    zero = {"semi__unlabelled_weight": 0.0, "semi__mixed_weight": 0.0}
    plain = fit(make_recipe(out=str(tmp_path / "plain"), train__epochs=1))
    semi = fit(
        make_recipe(
            out=str(tmp_path / "semi"), train__epochs=1, data__unlabelled=str(others), **zero
        )
    )
    rows = [read_metrics(run.out) for run in (plain, semi)]
    assert [r["loss"] for r in rows[0]] == [r["loss"] for r in rows[1]]
    first, second = (load_checkpoint(run.last).state_dict() for run in (plain, semi))
    assert all(torch.equal(value, second[key]) for key, value in first.items())


@pytest.mark.slow
def test_a_resumed_run_computes_what_the_unbroken_one_would(
    make_recipe: Make, others: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Five batches of others are gone through while three labelled ones make an epoch."""
    changes = {
        "data__unlabelled": str(others),
        "semi__threshold": None,
        "train__checkpoint_every_n_steps": 1,
        "train__batch_size": 6,
        "train__epochs": 3,
        "train__ema_decay": 0.9,
        "semi__tube": 16,
    }
    whole = fit(make_recipe(out=str(tmp_path / "whole"), **changes))

    class BrokenOffError(Exception):
        pass

    steps, plain = 0, SVFormer.step

    def breaking(self: SVFormer, *args: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps in (4, 9):
            raise BrokenOffError
        return plain(self, *args)

    monkeypatch.setattr(SVFormer, "step", breaking)
    recipe = make_recipe(out=str(tmp_path / "broken"), **changes)
    for _ in range(2):
        with pytest.raises(BrokenOffError):
            fit(recipe)
    broken = fit(recipe)
    first, second = (load_checkpoint(run.last).state_dict() for run in (whole, broken))
    for key, value in first.items():
        assert torch.equal(value, second[key]), key


@pytest.mark.slow
def test_others_teach_and_what_is_measured_on_does_not(
    make_recipe: Make, clips_csv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = make_recipe(
        out=str(tmp_path / "run"), data__unlabelled=str(clips_csv.parent), train__epochs=1, **SEMI
    )
    train, val = build_indexes(recipe)
    found = build_unlabelled(recipe, train, val)
    assert found is not None
    assert val is not None
    assert {clip.path for clip in found.clips} == {clip.path for clip in train.clips}
    assert "8 clips are measured on and not learned from, such as val" in capsys.readouterr().err
    result = fit(recipe)
    with (result.out / "metrics.csv").open(newline="") as file:
        assert all(row["loss"] != "nan" for row in csv.DictReader(file))


@pytest.mark.parametrize("way", ["link", "detour", "copies"])
def test_what_is_measured_on_does_not_teach_under_another_name(
    way: str, make_recipe: Make, clips_csv: Path, tmp_path: Path
) -> None:
    """Files are told by what they are: paths of a list may hold ``..``, folders may be links."""
    folder = clips_csv.parent
    changes = {"data__unlabelled": str(folder)}
    if way == "link":
        (tmp_path / "link").symlink_to(folder)
        changes["data__unlabelled"] = str(tmp_path / "link")
    elif way == "copies":
        shutil.copytree(folder, tmp_path / "copies")
        changes["data__unlabelled"] = str(tmp_path / "copies")
    else:
        with clips_csv.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        listing = tmp_path / "detour.csv"
        with listing.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, rows[0].keys())
            writer.writeheader()
            writer.writerows({**row, "path": f"{folder}/val/../{row['path']}"} for row in rows)
        changes["data__path"] = str(listing)
    recipe = make_recipe(**changes, **SEMI)
    train, val = build_indexes(recipe)
    found = build_unlabelled(recipe, train, val)
    assert val is not None
    assert found is not None
    measured = {Path(clip.path).read_bytes() for clip in val.clips}
    assert len(measured) == 8
    assert len(found) == 24
    assert not measured & {Path(clip.path).read_bytes() for clip in found.clips}


@pytest.mark.slow
def test_videos_that_cannot_be_read_are_not_passed_over(small_recipe: Make, tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    for number in range(8):
        (tmp_path / "bad" / f"{number}.mp4").write_bytes(b"no video" * 50)
    with pytest.raises(DataError, match=r"bad: 8 of 8 clips without labels cannot be read"):
        fit(small_recipe(data__unlabelled=str(tmp_path / "bad"), **SEMI))


@pytest.mark.slow
def test_labels_may_be_a_column_that_is_mostly_empty(
    make_recipe: Make, clips_csv: Path, tmp_path: Path
) -> None:
    with clips_csv.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    kept: dict[str, int] = {}
    for row in rows:
        if row["split"] == "train":
            kept[row["label"]] = kept.get(row["label"], 0) + 1
            if kept[row["label"]] > 1:
                row["label"] = ""
    listing = clips_csv.with_name("mostly.csv")
    with listing.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    with pytest.raises(DataError, match="label is empty"):
        build_indexes(make_recipe(data__path=str(listing)))
    nobody = clips_csv.with_name("nobody.csv")
    nobody.write_text("path,label\n" + "".join(f"{row['path']},\n" for row in rows))
    with pytest.raises(DataError, match=r"nobody\.csv: no row has a label"):
        build_indexes(make_recipe(data__path=str(nobody), pretrain__task="svformer"))
    recipe = make_recipe(
        out=str(tmp_path / "run"), data__path=str(listing), pretrain__task="svformer", **SEMI
    )
    train, val = build_indexes(recipe)
    found = build_unlabelled(recipe, train, val)
    assert val is not None
    assert found is not None
    assert (len(train), len(val), len(found)) == (8, 8, 16)
    assert fit(recipe).epochs == 2


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"data__unlabelled": "{empty}"}, DataError, "no videos in it"),
        ({"data__unlabelled": "{list}"}, DataError, "every row has a label"),
        ({"pretrain__task": "svformer", "data__path": "{folder}"}, RecipeError, "--unlabelled"),
        (
            {"data__unlabelled": "{folder}", "train__ema_decay": None},
            RecipeError,
            "--train.ema_decay 0.99",
        ),
        (
            {"data__unlabelled": "{folder}", "pretrain__task": "masked_features"},
            RecipeError,
            "takes no clips without labels beside",
        ),
        (
            {"data__unlabelled": "{folder}", "data__path": None, "data__format": "procedural"},
            RecipeError,
            "goes with clips in files",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(
    small_recipe: Make,
    clips_csv: Path,
    tmp_path: Path,
    changes: dict[str, Any],
    error: type[Exception],
    words: str,
) -> None:
    (tmp_path / "empty").mkdir()
    places = {
        "{empty}": tmp_path / "empty",
        "{list}": clips_csv,
        "{folder}": clips_csv.parent / "train",
    }
    own = {k: str(places.get(v, v)) if isinstance(v, str) else v for k, v in changes.items()}
    with pytest.raises(error, match=words):
        fit(small_recipe(**own))


def test_numbers_out_of_range_are_refused(make_recipe: Make) -> None:
    for key, value in (("ratio", 0), ("unlabelled_weight", -1.0), ("threshold", 1.5), ("tube", 0)):
        with pytest.raises(RecipeError, match=f"semi.{key}"):
            make_recipe(**{f"semi__{key}": value})
