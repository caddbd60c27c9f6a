from __future__ import annotations

import contextlib
import math
from typing import Any

import pytest
import torch

from video_mobile_former.clip_spec import ClipSpec
from video_mobile_former.data.loading.dataset import Batch, ClipFailure
from video_mobile_former.errors import RecipeError
from video_mobile_former.training.recipe.read import recipe_from_dict
from video_mobile_former.training.run.interrupt import StopTraining
from video_mobile_former.training.tally import Measured, MultiLabelTally, best_by, newest_is_best
from video_mobile_former.training.validate import validate


class _Brightness(torch.nn.Module):
    """Its logit k is high where the mean pixel is 30·k."""

    clip = ClipSpec(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))

    multi_label = False

    def __init__(self, classes: int):
        super().__init__()
        self.classes = classes

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        level = x.mean(dim=(1, 2, 3, 4)) * 255 / 30
        return -(level[:, None] - torch.arange(self.classes)).abs()


def _batch(levels: list[list[int]], labels: list[int], failed: int = 0) -> Batch:
    """Clips whose views have these pixel levels, in units of 30."""
    clips = torch.empty((0, 0, 3, 0, 0, 0), dtype=torch.uint8)
    if levels:
        views = torch.tensor(levels, dtype=torch.uint8) * 30
        clips = views[:, :, None, None, None, None].expand(-1, -1, 3, 2, 4, 4)
    return Batch(
        clips=clips,
        labels=torch.tensor(labels),
        indices=torch.arange(len(labels)),
        failures=[ClipFailure(i, f"bad{i}.mp4", "no video stream") for i in range(failed)],
        padded=[],
    )


def _measure(batches: list[Batch], classes: int = 8, **options: Any) -> Measured:
    return validate(
        _Brightness(classes).train(),
        batches,
        num_classes=classes,
        device=torch.device("cpu"),
        autocast=contextlib.nullcontext,
        **options,
    )


def test_accuracies_by_hand() -> None:
    # Class 0: three clips, two right; class 1: one clip, wrong; class 7 far off: not in its five.
    batches = [_batch([[0], [0], [1]], [0, 0, 0]), _batch([[3], [0]], [1, 7])]
    got = _measure(batches)
    assert got.top1 == 2 / 5
    assert got.top5 == 4 / 5
    assert got.mean_class == pytest.approx((2 / 3 + 0 + 0) / 3)
    assert got.clips == 5
    logits = torch.stack([-(torch.tensor(v) - torch.arange(8.0)).abs() for v in (0, 0, 1, 3, 0)])
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor([0, 0, 0, 1, 7]))
    assert got.loss == pytest.approx(loss.item(), abs=1e-5)


def test_views_are_averaged_as_probabilities() -> None:
    got = _measure([_batch([[2, 4]], [2])])
    both = torch.stack([-(torch.tensor(v) - torch.arange(8.0)).abs() for v in (2, 4)])
    assert got.loss == pytest.approx(-both.softmax(1).mean(0)[2].log().item(), abs=1e-5)


def test_batches_change_nothing() -> None:
    one = _measure([_batch([[0], [1], [2], [5]], [0, 1, 3, 5])])
    two = _measure([_batch([[0]], [0]), _batch([[1], [2], [5]], [1, 3, 5])])
    assert one.top1 == two.top1 == 3 / 4
    assert one.loss == pytest.approx(two.loss)


def test_unreadable_clips_are_counted_and_named() -> None:
    empty = _batch([], [], failed=4)
    got = _measure([_batch([[0]], [0], failed=1), empty])
    assert (got.clips, got.failed, got.top1) == (1, 5, 1.0)
    assert got.failures[0] == "bad0.mp4: no video stream"
    assert len(got.failures) == 3
    nothing = _measure([empty])
    assert nothing.clips == 0
    assert nothing.top1 is not None
    assert math.isnan(nothing.top1)


def test_the_model_s_mode_is_put_back() -> None:
    model = _Brightness(4).train()
    seen = []
    model.register_forward_hook(lambda m, *_: seen.append(m.training))
    validate(
        model,
        [_batch([[0]], [0])],
        num_classes=4,
        device=torch.device("cpu"),
        autocast=contextlib.nullcontext,
    )
    assert seen == [False]
    assert model.training


def test_a_stop_is_obeyed_between_batches() -> None:
    asked = iter([False, True])
    with pytest.raises(StopTraining):
        _measure([_batch([[0]], [0])] * 3, stop=lambda: next(asked))


def test_better_is_higher_top1_then_lower_loss() -> None:
    best = {"top1": 0.5, "loss": 1.0}
    made = [Measured(t, 1, 1, loss, 9) for t, loss in ((0.6, 9), (0.5, 0.9), (0.5, 1.0), (0.4, 0))]
    assert [m.better_than(best) for m in made] == [True, True, False, False]
    assert made[-1].better_than(None)


class _Several(_Brightness):
    """The same logits, each a yes or no of its own."""

    multi_label = True


def _several_batch(levels: list[list[int]], labels: list[list[int]]) -> Batch:
    batch = _batch(levels, [0] * len(levels))
    batch["labels"] = torch.tensor(labels, dtype=torch.float32)
    return batch


def _measure_several(batches: list[Batch], classes: int) -> Measured:
    return validate(
        _Several(classes),
        batches,
        num_classes=classes,
        device=torch.device("cpu"),
        autocast=contextlib.nullcontext,
    )


def test_mean_average_precision_by_hand() -> None:
    # Class 0 is ranked by -|v|: 0, 1, 2, 3; class 1 by -|v - 1|: 1, then 0 and 2 equal, then 3;
    # class 2 has no clip.
    one = _several_batch([[0], [1]], [[1, 0, 0], [0, 0, 0]])
    two = _several_batch([[2], [3]], [[1, 1, 0], [0, 0, 0]])
    got = _measure_several([one, _batch([], [], failed=1), two], 3)
    assert got.map == pytest.approx(((1 + 2 / 3) / 2 + 1 / 3) / 2)
    assert (got.map_classes, got.clips, got.failed) == (2, 4, 1)
    assert got.top1 is got.top5 is got.mean_class is None
    logits = torch.stack([-(torch.tensor(v) - torch.arange(3.0)).abs() for v in range(4)])
    targets = torch.cat([one["labels"], two["labels"]])
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets)
    assert got.loss == pytest.approx(loss.item(), abs=1e-6)
    assert set(got.to_dict()) == {"map", "map_classes", "loss", "clips", "failed", "views"}


def test_views_of_several_classes_are_averaged_as_probabilities() -> None:
    got = _measure_several([_several_batch([[0, 2]], [[1, 0]])], 2)
    views = -torch.tensor([[0.0, 1.0], [2.0, 1.0]])
    scores = views.sigmoid().mean(0)
    assert got.loss == pytest.approx(-(scores[0].log() + (1 - scores[1]).log()).item() / 2)


def test_clips_without_any_class_and_no_clips() -> None:
    got = _measure_several([_several_batch([[0]], [[0, 0]])], 2)
    assert (got.map, got.map_classes, got.clips) == (0.0, 0, 1)
    nothing = _measure_several([_batch([], [], failed=2)], 2)
    assert (nothing.clips, nothing.failed) == (0, 2)
    assert math.isnan(nothing.loss)


def test_scores_that_are_not_finite_are_a_loss_that_is_not() -> None:
    tally = MultiLabelTally(2)
    tally.add(torch.tensor([[math.nan, 0.5]]), torch.tensor([[1.0, 0.0]]))
    assert math.isnan(tally.sums()[1])
    tally = MultiLabelTally(2)
    tally.add(torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, 0.0]]))
    assert math.isfinite(tally.sums()[1])


def test_what_decides_which_is_best() -> None:
    def by(multi_label: bool = False, **values: object) -> str:
        return best_by(recipe_from_dict(values), multi_label=multi_label)

    assert by() == "top1"
    assert by(multi_label=True) == "map"
    assert by(data={"class_balanced": True}) == "mean_class"
    assert by(optim={"class_weights": "balanced"}) == "mean_class"
    assert by(optim={"class_weights": "balanced"}, train={"best_by": "top1"}) == "top1"
    assert by(multi_label=True, train={"best_by": "loss"}) == "loss"
    with pytest.raises(RecipeError, match=r"train\.best_by map: the data is single-label"):
        by(train={"best_by": "map"})
    with pytest.raises(RecipeError, match=r"train\.best_by top1: the data is multi-label"):
        by(multi_label=True, train={"best_by": "top1"})


@pytest.mark.parametrize(
    ("train", "clips", "labels", "newest", "by"),
    [
        ({}, 49, True, True, "top1"),
        ({}, 50, True, False, "top1"),
        ({}, 8, False, False, "loss"),
        ({"patience": 3}, 49, True, False, "loss"),
        ({"patience": 3}, 50, True, False, "top1"),
        ({"best_by": "top1"}, 8, True, False, "top1"),
        ({"best_by": "top1", "patience": 3}, 8, True, False, "top1"),
        ({"best_by": "last"}, 5000, True, True, "top1"),
        ({"best_by": "last"}, 8, False, True, "loss"),
    ],
)
def test_few_clips_do_not_choose(
    train: dict[str, object], clips: int, labels: bool, newest: bool, by: str
) -> None:
    recipe = recipe_from_dict({"train": train})
    assert newest_is_best(recipe, clips, labels=labels) == newest
    assert best_by(recipe, multi_label=False, labels=labels, val_clips=clips) == by


def test_few_clips_with_several_classes_still_show_their_precision() -> None:
    recipe = recipe_from_dict({})
    assert newest_is_best(recipe, 8)
    assert best_by(recipe, multi_label=True, val_clips=8) == "map"


def test_better_by_other_names() -> None:
    best = {"top1": 0.5, "mean_class": 0.5, "loss": 1.0}
    assert Measured(0.4, 1, 0.6, 2.0, 9).better_than(best, "mean_class")
    assert not Measured(0.6, 1, 0.4, 0.5, 9).better_than(best, "mean_class")
    assert Measured(0.4, 1, 0.4, 0.9, 9).better_than(best, "loss")
    assert not Measured(0.6, 1, 0.6, 1.0, 9).better_than(best, "loss")
    several = Measured(None, None, None, 1.0, 9, map=0.5, map_classes=3)
    assert several.better_than({"map": 0.4, "loss": 0.1}, "map")
    assert several.better_than({"map": 0.5, "loss": 1.1}, "map")
    assert not several.better_than({"map": 0.6, "loss": 2.0}, "map")
