from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from video_mobile_former.errors import RecipeError
from video_mobile_former.models.registry import create_model
from video_mobile_former.training import fit as fit_module
from video_mobile_former.training.recipe.checks import check_device, check_sync_batchnorm
from video_mobile_former.training.recipe.fields import Recipe
from video_mobile_former.training.recipe.read import recipe_from_dict
from video_mobile_former.training.run.run_folder import RunFolder

Make = Callable[..., Recipe]


@pytest.mark.parametrize(
    ("accelerator", "cuda", "ok"),
    [
        ("cpu", True, False),
        ("mps", True, False),
        ("auto", False, False),
        ("gpu", False, False),
        ("auto", True, True),
        ("gpu", True, True),
    ],
)
def test_shared_statistics_need_cuda(
    accelerator: str, cuda: bool, ok: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    values = {"train.device": accelerator, "train.devices": 2}
    check_sync_batchnorm(recipe_from_dict(values))
    recipe = recipe_from_dict({**values, "train.sync_batchnorm": True})
    if ok:
        check_sync_batchnorm(recipe)
    else:
        with pytest.raises(RecipeError, match=r"train\.sync_batchnorm needs CUDA devices"):
            check_sync_batchnorm(recipe)


def test_a_run_without_cuda_is_refused_before_it_begins(small_recipe: Make) -> None:
    recipe = small_recipe(train__sync_batchnorm=True)
    with pytest.raises(RecipeError, match=r"train\.sync_batchnorm needs CUDA devices") as error:
        fit_module.fit(recipe)
    assert "\n" not in str(error.value)
    assert not RunFolder(str(recipe.out)).path.exists()


@pytest.mark.parametrize(
    ("accelerator", "gpu", "ok"),
    [("cpu", True, False), ("auto", False, False), ("auto", True, True), ("gpu", True, True)],
)
def test_fp16_needs_a_gpu(
    accelerator: str, gpu: bool, ok: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Lightning would take bf16 in its place, and nothing would scale the loss.
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    values = {"train.device": accelerator, "train.precision": "fp16"}
    if ok:
        check_device(recipe_from_dict(values))
    else:
        with pytest.raises(RecipeError, match=r"train\.precision fp16 needs a GPU"):
            check_device(recipe_from_dict(values))


@pytest.mark.parametrize(
    ("there", "message"),
    [
        (0, r"has none; --device cpu"),
        (2, r"has 2 of them; --train\.devices 2"),
        (8, ""),
    ],
)
def test_more_gpus_than_there_are_are_refused(
    there: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: there)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    recipe = recipe_from_dict({"train.device": "gpu", "train.devices": 8})
    if not message:
        check_device(recipe)
        return
    with pytest.raises(RecipeError, match=rf"train\.devices 8: GPUs are asked .* {message}"):
        check_device(recipe)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vmf_500m", "x3d_xs", "movinet_a0", "tsm_mobilenetv2"])
def test_networks_compute_the_same_with_shared_statistics(name: str) -> None:
    """In one process; their own norms give way to torch's, which knows every rank and form."""
    torch.manual_seed(0)
    model = create_model(name, 3, num_frames=4, crop_size=32).train()
    shared = nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(model))
    norms = [m for m in shared.modules() if isinstance(m, _BatchNorm)]
    assert norms
    assert all(isinstance(norm, nn.SyncBatchNorm) for norm in norms)
    x = torch.randn(2, 3, 4, 32, 32)
    for training in (True, False):
        outputs = []
        for network in (model, shared):
            torch.manual_seed(1)  # dropout
            outputs.append(network.train(training)(x))
        torch.testing.assert_close(outputs[0], outputs[1])
    states = model.state_dict(), shared.state_dict()
    assert list(states[0]) == list(states[1])
    for key, value in states[0].items():
        torch.testing.assert_close(states[1][key], value)
