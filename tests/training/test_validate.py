from __future__ import annotations

import contextlib
import math
from typing import Any

import pytest
import torch

from video_mobile_former.clip import ClipSpec
from video_mobile_former.data.dataset import Batch, ClipFailure
from video_mobile_former.training.interrupt import StopTraining
from video_mobile_former.training.validate import Measured, measure


class _Brightness(torch.nn.Module):
    """Its logit k is high where the mean pixel is 30·k."""

    clip = ClipSpec(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))

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
        held=[],
    )


def _measure(batches: list[Batch], classes: int = 8, **options: Any) -> Measured:
    return measure(
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
    assert math.isnan(nothing.top1)


def test_the_model_s_mode_is_put_back() -> None:
    model = _Brightness(4).train()
    seen = []
    model.register_forward_hook(lambda m, *_: seen.append(m.training))
    measure(
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
