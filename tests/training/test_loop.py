from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest
import torch
from lightning.fabric import Fabric
from lightning.fabric.plugins import MixedPrecision
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from video_mobile_former.data.loading.dataset import Batch, ClipFailure
from video_mobile_former.errors import DataError, UserError
from video_mobile_former.training.build import build_indexes, build_model
from video_mobile_former.training.clips.file_clips import FileClips
from video_mobile_former.training.clips.mixing import Mixing
from video_mobile_former.training.divergence import MAX_OVERFLOWS, GradientWatch
from video_mobile_former.training.loop import Training
from video_mobile_former.training.objectives.choose import Known, make_objective
from video_mobile_former.training.objectives.supervised import Supervised
from video_mobile_former.training.recipe.fields import Recipe
from video_mobile_former.training.run.interrupt import StopRequest
from video_mobile_former.training.run.position import MAX_EMPTY_BATCHES
from video_mobile_former.training.run.run_folder import RunFolder

Make = Callable[..., Recipe]


def _training(recipe: Recipe, fabric: Fabric | None = None) -> Training:
    fabric = Fabric(accelerator="cpu", devices=1) if fabric is None else fabric
    train, val = build_indexes(recipe)
    model = build_model(recipe, train.class_names)
    run = RunFolder(str(recipe.out))
    clips = FileClips(recipe, run, model.clip, train, val, None)
    objective = make_objective(Known(recipe, model))
    return Training(recipe, run, fabric, clips, model, objective, stop=StopRequest(), info={})


@pytest.fixture
def task(small_recipe: Make) -> Training:
    return _training(small_recipe())


def _as_process(
    task: Training, rank: int, decide: Callable[..., bool] | None = None, world_size: int = 2
) -> None:
    """Let a run believe that it is one of several processes."""
    strategy = types.SimpleNamespace(reduce_boolean_decision=decide)
    fabric: Any = types.SimpleNamespace(
        world_size=world_size, global_rank=rank, device=torch.device("cpu"), strategy=strategy
    )
    task.fabric = fabric


def _batch(count: int, failed: int = 0) -> Batch:
    return Batch(
        clips=torch.randint(0, 256, (count, 1, 3, 4, 32, 32), dtype=torch.uint8),
        labels=torch.arange(count) % 8,
        indices=torch.arange(count),
        failures=[ClipFailure(i, f"bad{i}.mp4", "no video") for i in range(failed)],
        padded=[],
    )


@pytest.mark.slow
@pytest.mark.parametrize("count", [0, 1])
def test_a_batch_without_statistics_moves_nothing(task: Training, count: int) -> None:
    before = {k: v.clone() for k, v in task.model.state_dict().items()}
    loss = task.step(_batch(count, failed=3))
    loss.backward()
    assert loss.item() == 0
    grads = [p.grad for p in task.model.parameters()]
    assert all(g is not None and not g.any() for g in grads)
    assert all(torch.equal(v, before[k]) for k, v in task.model.state_dict().items())
    assert (task.totals.clips, task.totals.failed) == (0, 3)
    assert task.totals.failures[0] == "bad0.mp4: no video"


@pytest.mark.slow
@pytest.mark.parametrize("others", [True, False])
def test_with_shared_statistics_all_processes_train_or_none(
    others: bool, task: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def decide(decision: bool, all: bool) -> bool:
        assert all
        asked.append(decision)
        return decision and others

    train = dataclasses.replace(task.recipe.train, sync_batchnorm=True)
    task.recipe = dataclasses.replace(task.recipe, train=train)
    _as_process(task, 0, decide)
    monkeypatch.setattr("torch.distributed.all_reduce", lambda numbers: None)
    for count in (4, 1):
        loss = task.step(_batch(count))
        assert (loss.item() > 0) == (others and count == 4)
    assert asked == [True, False]
    assert task.totals.clips == (4 if others else 0)


class _Two(Fabric):
    """Believes that there is another process."""

    @property
    def world_size(self) -> int:
        return 2


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("wanted", [False, True])
def test_several_processes_are_told_to_share(
    several: bool, wanted: bool, small_recipe: Make
) -> None:
    fabric = (_Two if several else Fabric)(accelerator="cpu", devices=1)
    recipe = small_recipe(train__sync_batchnorm=wanted, train__batch_size=4)
    task = _training(recipe, fabric)
    kinds = {isinstance(m, nn.SyncBatchNorm) for m in task.model.modules() if _is_norm(m)}
    assert kinds == {wanted and several}
    assert not any(isinstance(m, nn.SyncBatchNorm) for m in task.result.modules())


def _is_norm(module: nn.Module) -> bool:
    return isinstance(module, _BatchNorm)


@pytest.mark.slow
def test_empty_batches_do_not_go_on_for_ever(task: Training) -> None:
    for _ in range(MAX_EMPTY_BATCHES - 1):
        task.step(_batch(1))
    with pytest.raises(DataError, match="20 batches in a row"):
        task.step(_batch(1))


def test_a_stop_is_seen_in_the_step(task: Training) -> None:
    task.step(_batch(2))
    assert not task.stop_agreed
    task.stop.requested = True
    task.step(_batch(2))
    assert task.stop_agreed


def test_randomness_depends_on_the_place_alone(task: Training) -> None:
    drawn = {}
    for epoch, batch in [(0, 0), (0, 1), (1, 0), (0, 0)]:
        task.position.epoch, task.position.batch = epoch, batch
        task.set_out()
        value = torch.rand(()).item()
        assert drawn.setdefault((epoch, batch), value) == value
    assert len(set(drawn.values())) == 3
    assert task.optimizer.param_groups[0]["lr"] == pytest.approx(1e-3 / 3)


def test_groups_have_their_share_of_the_rate(small_recipe: Make) -> None:
    task = _training(small_recipe(optim__layer_decay=0.5, optim__lr_batch=2))
    # The first of three steps of warm-up, batches of 8 where the rate is meant for 2.
    assert task.set_out() == pytest.approx(4e-3 / 3)
    assert task.optimizer.param_groups[-1]["lr"] == pytest.approx(4e-3 / 3)
    assert task.optimizer.param_groups[0]["lr"] == pytest.approx(4e-3 / 3 * 0.5**10)


def test_seeds_of_processes_differ(task: Training) -> None:
    drawn = []
    for rank in (0, 1):
        _as_process(task, rank)
        task.set_out()
        drawn.append(torch.rand(()).item())
    assert drawn[0] != drawn[1]


def test_a_gradient_that_is_not_finite_stops(task: Training) -> None:
    first = next(p for p in task.model.parameters() if p.ndim > 1)
    first.grad = torch.full_like(first, 3.0)
    task.limit_gradient()
    assert task.grad_norm == pytest.approx(3.0 * np.sqrt(first.numel()), rel=1e-5)
    assert first.grad.norm().item() == pytest.approx(1.0, rel=1e-4)
    first.grad[0] = torch.inf
    task.indices = torch.tensor([1, 2])
    match = (
        r"step 1: the gradient's norm is .*, last on \S+\.mp4, \S+\.mp4; try a lower --optim\.lr"
    )
    with pytest.raises(UserError, match=match):
        task.limit_gradient()


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_with_fp16_the_true_gradient_is_limited(
    optimizer: Literal["adamw", "sgd"], small_recipe: Make
) -> None:
    """The scaled loss of fp16 must not reach the norm, nor shrink what the optimiser gets."""
    recipe = small_recipe(optim__optimizer=optimizer, train__precision="fp16")
    precision = MixedPrecision("16-mixed", "cpu")
    task = _training(recipe, Fabric(accelerator="cpu", devices=1, plugins=precision))
    weight = next(p for p in task.model.parameters() if p.ndim > 1)
    task.fabric.backward(3 * weight.sum())
    assert weight.grad is not None
    assert weight.grad.max() > 3, "the loss is scaled"
    task.limit_gradient()
    assert task.grad_norm == pytest.approx(3.0 * np.sqrt(weight.numel()), rel=1e-4)
    assert weight.grad.norm().item() == pytest.approx(1.0, rel=1e-4)
    before = weight.detach().clone()
    task.set_out()
    task.optimizer.step()
    assert not torch.equal(weight, before)
    assert weight.grad.norm().item() == pytest.approx(1.0, rel=1e-4), "not unscaled again"


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


@pytest.mark.slow
def test_long_gradients_are_told_to_the_person(
    task: Training, capsys: pytest.CaptureFixture[str]
) -> None:
    task.indices = torch.tensor([0, 3])
    for _ in range(70):
        for parameter in task.model.parameters():
            parameter.grad = torch.ones_like(parameter)
        task.limit_gradient()
    assert task.grad_norm > 1000
    said = capsys.readouterr().err
    assert said.count("the gradient was more than 50 times as long") == 1


def test_overflow_in_fp16_leaves_a_step_out_and_is_no_divergence(small_recipe: Make) -> None:
    recipe = small_recipe(train__precision="fp16", train__ema_decay=None)
    precision = MixedPrecision("16-mixed", "cpu")
    task = _training(recipe, Fabric(accelerator="cpu", devices=1, plugins=precision))
    task.indices = torch.tensor([0, 3])
    scaler = precision.scaler
    assert scaler is not None
    weight = next(p for p in task.model.parameters() if p.ndim > 1)
    task.set_out()

    def step(factor: float) -> bool:
        """Whether the weights moved."""
        before = weight.detach().clone()
        # As numbers of fp16, which end at 65,504.
        (scaler.scale(weight.sum()) * factor).half().float().backward()
        task.limit_gradient()
        task.optimizer.step()
        task.optimizer.zero_grad()
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


def test_the_average_is_no_part_of_what_is_trained(task: Training) -> None:
    ((average, averaged),) = task.averages
    own = {id(p) for p in task.learner.parameters()}
    assert averaged is task.model
    assert not any(id(p) in own for p in average.model.parameters())
    assert task.result is average.model


def test_repeats_and_mixes_are_counted_as_clips(
    task: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two clips of each of three videos; a mixed clip counts by the class it has most of."""
    batch = _batch(3, failed=1)
    batch["clips"] = batch["clips"].repeat(1, 2, 1, 1, 1, 1)
    objective = task.objective
    assert isinstance(objective, Supervised)
    objective.mixing = Mixing(cutmix_alpha=1.0)
    mix = objective.mixing.sample([0, 0, 0, 0], (6, 3, 4, 32, 32))
    assert mix is not None
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    most = labels if mix.share >= 0.5 else labels[mix.partners]
    logits = torch.nn.functional.one_hot(most, 8).float().requires_grad_()
    monkeypatch.setattr(task.model, "forward", lambda clips: logits)
    loss = task.step(batch)
    assert (task.totals.clips, task.totals.figures["top1"], task.totals.failed) == (6, 6, 1)
    assert task.totals.loss == pytest.approx(6 * loss.item())


def test_one_video_in_two_forms_has_batch_statistics(task: Training) -> None:
    batch = _batch(1)
    batch["clips"] = batch["clips"].repeat(1, 2, 1, 1, 1, 1)
    task.step(batch)
    assert task.totals.clips == 2
