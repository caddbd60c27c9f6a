from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest
import torch
from lightning.pytorch.plugins.precision import MixedPrecision

from video_mobile_former.data.loading.dataset import Batch, ClipDataset, ClipFailure
from video_mobile_former.data.loading.loader import make_loader
from video_mobile_former.errors import DataError, UserError
from video_mobile_former.training.build import build_indexes, build_model
from video_mobile_former.training.divergence import MAX_OVERFLOWS, GradientWatch
from video_mobile_former.training.loop import VideoTask
from video_mobile_former.training.objectives.mixing import Mixing
from video_mobile_former.training.recipe.fields import Recipe
from video_mobile_former.training.run.interrupt import StopRequest
from video_mobile_former.training.run.position import MAX_EMPTY_BATCHES

Make = Callable[..., Recipe]


class _Trainer:
    """What a task asks its trainer for."""

    world_size = 1
    global_rank = 0
    global_step = 0
    is_global_zero = True


@pytest.fixture
def task(small_recipe: Make) -> VideoTask:
    recipe = small_recipe()
    train, _ = build_indexes(recipe)
    model = build_model(recipe, train.class_names)
    made = VideoTask(model, recipe, StopRequest())
    dataset = ClipDataset(train, model.clip, train=True, seed=recipe.seed)
    made.use_loader(make_loader(dataset, batch_size=8, num_workers=0))
    made._trainer = _Trainer()  # type: ignore[assignment]  # Lightning wants a whole one
    return made


def _batch(count: int, failed: int = 0) -> Batch:
    return Batch(
        clips=torch.randint(0, 256, (count, 1, 3, 4, 32, 32), dtype=torch.uint8),
        labels=torch.arange(count) % 8,
        indices=torch.arange(count),
        failures=[ClipFailure(i, f"bad{i}.mp4", "no video") for i in range(failed)],
        padded=[],
    )


@pytest.mark.parametrize("count", [0, 1])
def test_a_batch_without_statistics_moves_nothing(task: VideoTask, count: int) -> None:
    before = {k: v.clone() for k, v in task.model.state_dict().items()}
    loss = task.training_step(_batch(count, failed=3), 0)
    loss.backward()
    assert loss.item() == 0
    grads = [p.grad for p in task.model.parameters()]
    assert all(g is not None and not g.any() for g in grads)
    assert all(torch.equal(v, before[k]) for k, v in task.model.state_dict().items())
    assert (task.totals.clips, task.totals.failed) == (0, 3)
    assert task.totals.failures[0] == "bad0.mp4: no video"


@pytest.mark.parametrize("others", [True, False])
def test_with_shared_statistics_all_processes_train_or_none(
    others: bool, task: VideoTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def decide(decision: bool, all: bool) -> bool:
        assert all
        asked.append(decision)
        return decision and others

    task.recipe = dataclasses.replace(
        task.recipe, train=dataclasses.replace(task.recipe.train, sync_batchnorm=True)
    )
    strategy = types.SimpleNamespace(reduce_boolean_decision=decide)
    monkeypatch.setattr(_Trainer, "strategy", strategy, raising=False)
    monkeypatch.setattr(_Trainer, "world_size", 2)
    monkeypatch.setattr("torch.distributed.all_reduce", lambda numbers: None)
    for count in (4, 1):
        loss = task.training_step(_batch(count), 0)
        assert (loss.item() > 0) == (others and count == 4)
    assert asked == [True, False]
    assert task.totals.clips == (4 if others else 0)


def test_empty_batches_do_not_go_on_for_ever(task: VideoTask) -> None:
    for _ in range(MAX_EMPTY_BATCHES - 1):
        task.training_step(_batch(1), 0)
    with pytest.raises(DataError, match="20 batches in a row"):
        task.training_step(_batch(1), 0)


def test_a_stop_is_seen_in_the_step(task: VideoTask) -> None:
    task.training_step(_batch(2), 0)
    assert not task.stop_agreed
    task.stop.requested = True
    task.training_step(_batch(2), 0)
    assert task.stop_agreed


def test_randomness_depends_on_the_place_alone(
    task: VideoTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    optimizer = torch.optim.SGD(task.model.parameters(), lr=1)
    monkeypatch.setattr(task, "optimizers", lambda _: optimizer)
    drawn = {}
    for epoch, batch in [(0, 0), (0, 1), (1, 0), (0, 0)]:
        task.position.epoch, task.position.batch = epoch, batch
        task.on_train_batch_start(None, 0)
        value = torch.rand(()).item()
        assert drawn.setdefault((epoch, batch), value) == value
    assert len(set(drawn.values())) == 3
    assert optimizer.param_groups[0]["lr"] == pytest.approx(1e-3 / 3)


def test_groups_have_their_share_of_the_rate(
    task: VideoTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    task.recipe = dataclasses.replace(
        task.recipe,
        optim=dataclasses.replace(task.recipe.optim, layer_decay=0.5, lr_batch=2),
    )
    optimizer = task.configure_optimizers()
    monkeypatch.setattr(task, "optimizers", lambda _: optimizer)
    task.on_train_batch_start(None, 0)
    # The first of three steps of warm-up, batches of 8 where the rate is meant for 2.
    assert task.current_rate() == pytest.approx(4e-3 / 3)
    assert optimizer.param_groups[-1]["lr"] == pytest.approx(4e-3 / 3)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(4e-3 / 3 * 0.5**10)


def test_seeds_of_processes_differ(task: VideoTask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task, "optimizers", lambda _: torch.optim.SGD(task.parameters(), lr=1))
    drawn = []
    for rank in (0, 1):
        monkeypatch.setattr(_Trainer, "global_rank", rank)
        task.on_train_batch_start(None, 0)
        drawn.append(torch.rand(()).item())
    assert drawn[0] != drawn[1]


def test_a_gradient_that_is_not_finite_stops(task: VideoTask) -> None:
    optimizer = torch.optim.SGD(task.model.parameters(), lr=1)
    first = next(p for p in task.model.parameters() if p.ndim > 1)
    first.grad = torch.full_like(first, 3.0)
    task.configure_gradient_clipping(optimizer)
    assert task.grad_norm == pytest.approx(3.0 * np.sqrt(first.numel()), rel=1e-5)
    assert first.grad.norm().item() == pytest.approx(1.0, rel=1e-4)
    first.grad[0] = torch.inf
    task._last_indices = torch.tensor([1, 2])
    match = (
        r"step 1: the gradient's norm is .*, last on \S+\.mp4, \S+\.mp4; try a lower --optim\.lr"
    )
    with pytest.raises(UserError, match=match):
        task.configure_gradient_clipping(optimizer)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_with_fp16_the_true_gradient_is_limited(
    optimizer: Literal["adamw", "sgd"], task: VideoTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scaled loss of fp16 must not reach the norm, nor shrink what the optimiser gets."""
    task.recipe = dataclasses.replace(
        task.recipe,
        optim=dataclasses.replace(task.recipe.optim, optimizer=optimizer),
        train=dataclasses.replace(task.recipe.train, precision="fp16"),
    )
    made = task.configure_optimizers()
    precision = MixedPrecision("16-mixed", "cpu")
    weight = next(p for p in task.model.parameters() if p.ndim > 1)

    def closure() -> torch.Tensor:
        assert precision.scaler is not None
        loss = 3 * weight.sum()
        precision.scaler.scale(loss).backward()
        return loss

    # What Lightning does between the backward pass and the step.
    limit = lambda model, optimizer: task.configure_gradient_clipping(optimizer)  # noqa: E731
    monkeypatch.setattr(precision, "_after_closure", limit)
    precision.optimizer_step(made, task, closure)
    assert task.grad_norm == pytest.approx(3.0 * np.sqrt(weight.numel()), rel=1e-4)
    assert weight.grad is not None
    assert weight.grad.norm().item() == pytest.approx(1.0, rel=1e-4)


@pytest.mark.parametrize(("clip", "norm"), [(1.0, 60.0), (0.1, 60.0), (4.0, 240.0)])
def test_gradients_that_stay_long_are_told_once(
    small_recipe: Make, clip: float, norm: float
) -> None:
    watch = GradientWatch(small_recipe(optim__gradient_clip=clip))
    one_in_three = [watch.check(norm if i % 3 else 2.0, i, list) for i in range(30)]
    assert not any(one_in_three), "too few steps to tell"
    told = [watch.check(norm, i, list) for i in range(30, 130)]
    (text,) = filter(None, told)
    assert "50 times as long as it is cut to" in text
    assert "try a lower --optim.lr" in text
    calm = GradientWatch(small_recipe(optim__gradient_clip=clip))
    assert not any(calm.check(norm if i % 2 else 0.8 * norm, i, list) for i in range(200))
    never = GradientWatch(small_recipe(optim__gradient_clip=None))
    assert not any(never.check(1e9, i, list) for i in range(200))


def test_long_gradients_are_told_to_the_person(
    task: VideoTask, capsys: pytest.CaptureFixture[str]
) -> None:
    task._last_indices = torch.tensor([0, 3])
    made: Any = task.configure_optimizers()
    for _ in range(70):
        for parameter in task.model.parameters():
            parameter.grad = torch.ones_like(parameter)
        task.configure_gradient_clipping(made)
    assert task.grad_norm > 1000
    said = capsys.readouterr().err
    assert said.count("the gradient was more than 50 times as long") == 1


def test_overflow_in_fp16_leaves_a_step_out_and_is_no_divergence(
    task: VideoTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = dataclasses.replace(task.recipe.train, precision="fp16", ema_decay=None)
    task.recipe = dataclasses.replace(task.recipe, train=train)
    task._gradients = GradientWatch(task.recipe)
    task._last_indices = torch.tensor([0, 3])
    made = task.configure_optimizers()
    precision = MixedPrecision("16-mixed", "cpu")
    scaler = precision.scaler
    assert scaler is not None
    weight = next(p for p in task.model.parameters() if p.ndim > 1)
    limit = lambda model, optimizer: task.configure_gradient_clipping(optimizer)  # noqa: E731
    monkeypatch.setattr(precision, "_after_closure", limit)

    def step(factor: float) -> bool:
        """Whether the weights moved."""
        before = weight.detach().clone()
        made.zero_grad()

        def closure() -> torch.Tensor:
            scaled = scaler.scale(weight.sum())
            # As numbers of fp16, which end at 65,504.
            (scaled * factor).half().float().backward()
            return scaled

        for parameter in task.model.parameters():
            parameter.grad = None
        precision.optimizer_step(made, task, closure)
        return not torch.equal(weight, before)

    scale = scaler.get_scale()
    assert not step(torch.inf)
    assert scaler.get_scale() == scale / 2
    assert step(1.0), "a finite gradient goes on"
    for _ in range(MAX_OVERFLOWS - 1):
        assert not step(torch.inf)
    with pytest.raises(UserError) as error:
        step(torch.inf)
    text = str(error.value)
    assert "for the 20th step in a row" in text
    assert "--train.precision bf16 or fp32" in text
    assert text.count(".mp4") == 2


def test_the_average_is_no_part_of_the_module(task: VideoTask) -> None:
    assert task.average is not None
    own = {id(p) for p in task.parameters()}
    assert not any(id(p) in own for p in task.average.model.parameters())
    assert task.result is task.average.model


def test_repeats_and_mixes_are_counted_as_clips(
    task: VideoTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two clips of each of three videos; a mixed clip counts by the class it has most of."""
    batch = _batch(3, failed=1)
    batch["clips"] = batch["clips"].repeat(1, 2, 1, 1, 1, 1)
    task.mixing = Mixing(cutmix_alpha=1.0)
    mix = task.mixing.draw([0, 0, 0, 0], (6, 3, 4, 32, 32))
    assert mix is not None
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    most = labels if mix.share >= 0.5 else labels[mix.partners]
    logits = torch.nn.functional.one_hot(most, 8).float().requires_grad_()
    monkeypatch.setattr(task.model, "forward", lambda clips: logits)
    loss = task.training_step(batch, 0)
    assert (task.totals.clips, task.totals.correct, task.totals.failed) == (6, 6, 1)
    assert task.totals.loss == pytest.approx(6 * loss.item())


def test_one_video_in_two_forms_has_batch_statistics(task: VideoTask) -> None:
    batch = _batch(1)
    batch["clips"] = batch["clips"].repeat(1, 2, 1, 1, 1, 1)
    task.training_step(batch, 0)
    assert task.totals.clips == 2
