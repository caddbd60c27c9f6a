from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from video_mobile_former import create_model
from video_mobile_former.data.transforms import normalize
from video_mobile_former.errors import UserError
from video_mobile_former.inference.scorer import (
    Scorer,
    describe_device,
    resolve_device,
)
from video_mobile_former.models.runnable import RunnableModel, runnable


def views(*levels: list[int]) -> torch.Tensor:
    """``(B, V, 3, 4, 32, 32)``: one grey level for each view of each video."""
    grey = torch.tensor(levels, dtype=torch.uint8)
    return grey[:, :, None, None, None, None].expand(-1, -1, 3, 4, 32, 32)


def test_probabilities_are_averaged_after_or_before_softmax(brightness_model: Callable) -> None:
    model = brightness_model("dark", "light")
    clips = views([100, 250], [10, 20])
    logits = model.eval()(normalize(clips.flatten(0, 1), model.clip)).unflatten(0, (2, 2))
    before = Scorer(model, device="cpu")(clips)
    after = Scorer(model, device="cpu", average="logits")(clips)
    torch.testing.assert_close(before, logits.softmax(-1).mean(1))
    torch.testing.assert_close(after, logits.mean(1).softmax(-1))
    # The two are not the same thing: one very sure view counts for more among logits.
    assert after[0, 1] > before[0, 1] + 0.1
    torch.testing.assert_close(before.sum(1), torch.ones(2))


def test_several_classes_are_scored_each_by_itself(brightness_model: Callable) -> None:
    model = brightness_model("dark", "light")
    model.multi_label = True
    clips = views([100, 250], [10, 20])
    logits = model.eval()(normalize(clips.flatten(0, 1), model.clip)).unflatten(0, (2, 2))
    before = Scorer(model, device="cpu")(clips)
    after = Scorer(model, device="cpu", average="logits")(clips)
    torch.testing.assert_close(before, logits.sigmoid().mean(1))
    torch.testing.assert_close(after, logits.mean(1).sigmoid())
    assert not torch.allclose(before.sum(1), torch.ones(2), atol=0.1)


@pytest.mark.parametrize("at_once", [1, 2, 3, 100])
def test_how_many_views_run_at_once_changes_nothing(
    brightness_model: Callable, at_once: int
) -> None:
    clips = views([0, 50, 100], [150, 200, 255])
    whole = Scorer(brightness_model("a", "b", "c"), device="cpu")(clips)
    parts = Scorer(brightness_model("a", "b", "c"), device="cpu", views_at_once=at_once)(clips)
    torch.testing.assert_close(parts, whole)


def test_the_model_is_left_as_it_was(brightness_model: Callable) -> None:
    model = brightness_model("dark", "light")
    Scorer(model, device="cpu")(views([1]))
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_the_fused_form_is_used_where_there_is_one(brightness_model: Callable) -> None:
    model, fused = brightness_model("dark", "light"), brightness_model("dark", "light")
    fused.linear.weight.data.neg_()
    model.fuse = fused.eval
    plain = Scorer(brightness_model("dark", "light"), device="cpu")(views([240]))
    assert plain.argmax() == 1
    assert Scorer(model, device="cpu")(views([240])).argmax() == 0
    # A model that is fused already is taken as it is.
    model.fused = True
    assert Scorer(model, device="cpu")(views([240])).argmax() == 1


def test_bfloat16_runs_in_it_and_answers_in_float32(brightness_model: Callable) -> None:
    model = brightness_model("dark", "light")
    exact = Scorer(model, device="cpu")(views([100, 131]))
    rough = Scorer(model, device="cpu", precision="bf16")(views([100, 131]))
    assert rough.dtype == torch.float32
    assert not torch.equal(rough, exact)
    torch.testing.assert_close(rough, exact, atol=0.05, rtol=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "16"}, "precision must be one of 32, bf16, not '16'"),
        ({"average": "mean"}, "average must be one of probabilities, logits"),
        ({"views_at_once": 0}, "views_at_once must be at least 1"),
        ({"device": "toaster"}, "not 'toaster'"),
        ({"device": "cuda:99"}, "'cuda:99' is not available here"),
    ],
)
def test_wrong_arguments_are_named(brightness_model: Callable, options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Scorer(brightness_model("dark", "light"), **options)


def test_a_model_must_say_what_it_takes() -> None:
    with pytest.raises(UserError, match="Linear has no ClipSpec"):
        Scorer(nn.Linear(1, 1))


def test_any_module_with_a_clip_is_runnable(brightness_model: Callable) -> None:
    plain = brightness_model(num_classes=3)
    model = runnable(plain)
    assert isinstance(model, RunnableModel)
    assert not isinstance(plain, RunnableModel)
    assert (model.clip, model.class_names, model.multi_label) == (plain.clip, None, False)
    assert runnable(model) is model
    network = create_model("vmf_500m", num_classes=2, num_frames=2, crop_size=32)
    assert runnable(network) is network


def test_devices_are_found_and_described() -> None:
    assert resolve_device("auto").type in ("cuda", "mps", "cpu")
    assert resolve_device(torch.device("cpu")) == torch.device("cpu")
    assert "thread" in describe_device(torch.device("cpu"))


@pytest.mark.gpu
def test_scores_on_a_gpu_are_those_of_the_cpu(brightness_model: Callable) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    model, clips = brightness_model("a", "b", "c"), views([0, 50, 100], [150, 200, 255])
    on_gpu = Scorer(model, device="auto")(clips)
    assert on_gpu.device.type == "cpu"
    torch.testing.assert_close(on_gpu, Scorer(model, device="cpu")(clips), atol=1e-4, rtol=0)
    assert "cuda" in describe_device(resolve_device("auto"))
