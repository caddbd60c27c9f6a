"""X3D: exact counts, equal forms, gradients, fused copy, clips, its place in the table."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from baseline_networks import clips, randomise
from video_mobile_former.errors import UserError
from video_mobile_former.export.lowering import lower
from video_mobile_former.models import create_model, list_models, load_checkpoint
from video_mobile_former.models.baselines import BASELINES
from video_mobile_former.models.baselines.x3d import X3D, Bottleneck
from video_mobile_former.profiling.cost import count_macs, count_parameters

MACS = {"x3d_xs": 605_256_512, "x3d_s": 1_962_892_112, "x3d_m": 4_732_468_736}
SMALL = {"stages": ((16, 2), (24, 3)), "stem_channels": 16, "head_dim": 64}


def build(name: str = "x3d_xs", num_classes: int = 7, **overrides: Any) -> X3D:
    torch.manual_seed(0)
    model = create_model(name, num_classes, **overrides)
    assert isinstance(model, X3D)
    return model


def whole(**overrides: Any) -> X3D:
    """The whole network with norms that show mistakes, logits of the size of 1."""
    model = build(**overrides)
    randomise(model)
    for block in model.blocks:
        assert isinstance(block, Bottleneck)
        nn.init.normal_(block.depthwise.conv.weight, std=0.2)
    return model


def small(**overrides: Any) -> X3D:
    model = build(**{**SMALL, **overrides})
    randomise(model)
    return model


@pytest.mark.slow
@pytest.mark.parametrize("name", MACS)
def test_exact_counts(name: str) -> None:
    with torch.device("meta"):
        model = create_model(name)
    assert count_parameters(model) == 3_794_274
    assert count_macs(model) == MACS[name]
    stated = BASELINES[name].published[0].gmacs_per_view
    assert MACS[name] / 1e9 == pytest.approx(stated, rel=0.01)


@pytest.mark.slow
def test_native_clips() -> None:
    expected = {"x3d_xs": (4, 12, 160, 182), "x3d_s": (13, 6, 160, 182), "x3d_m": (16, 5, 224, 256)}
    assert list_models("x3d_*") == list(expected)
    for name, (frames, stride, size, resize) in expected.items():
        with torch.device("meta"):
            clip = create_model(name).clip
        assert (clip.num_frames, clip.stride, clip.crop_size) == (frames, stride, size)
        assert (clip.sampling, clip.stride_fps, clip.resize_size) == ("dense", 30, resize)
        assert (clip.mean, clip.std) == ((0.45,) * 3, (0.225,) * 3)


def test_accuracy_is_that_of_the_source_with_its_views() -> None:
    for name, accuracies in (("xs", (68.7, 69.5)), ("s", (73.1, 73.5)), ("m", (75.1, 76.2))):
        published = BASELINES[f"x3d_{name}"].published
        assert tuple(p.top1 for p in published) == accuracies
        assert [(p.num_views, p.num_crops) for p in published] == [(10, 1), (10, 3)]


def test_every_other_block_squeezes() -> None:
    model = build()
    found = [b.squeeze for b in model.blocks if isinstance(b, Bottleneck)]
    starts, depths = (0, 3, 8, 19), (3, 5, 11, 7)
    for start, depth, width in zip(starts, depths, (8, 8, 16, 32), strict=True):
        for i, squeeze in enumerate(found[start : start + depth]):
            assert (squeeze is not None) == (i % 2 == 0)
            assert squeeze is None or squeeze.reduce.out_features == width


def test_forms_agree() -> None:
    model = whole().eval()
    with torch.no_grad():
        model.set_form("volume")
        expected = model(clips())
        assert expected.std() > 1e-3
        model.set_form("frames")
        torch.testing.assert_close(model(clips()), expected, atol=1e-5, rtol=0)


@pytest.mark.slow
def test_gradients_of_the_forms_agree_and_reach_everything() -> None:
    # In float64: a ReLU whose input changes sign by rounding changes gradients by more than 1e-5.
    model = whole().eval().double()
    grads = {}
    for form in ("volume", "frames"):
        model.set_form(form)
        model.zero_grad()
        model(clips().double()).square().sum().backward()
        grads[form] = {k: p.grad.clone() for k, p in model.named_parameters() if p.grad is not None}
    assert len(grads["volume"]) == len(list(model.parameters()))
    for key, grad in grads["volume"].items():
        assert grad.abs().sum() > 0, key
        torch.testing.assert_close(grads["frames"][key], grad, atol=1e-9, rtol=1e-6, msg=key)


@pytest.mark.slow
def test_forms_agree_in_training_mode() -> None:
    results = []
    for form in ("volume", "frames"):
        model = small(form=form, drop_path_rate=0.3, drop_rate=0.2).double().train()
        torch.manual_seed(5)
        loss = model(clips(4).double()).logsumexp(1).sum()
        loss.backward()
        results.append((loss.detach(), [p.grad for p in model.parameters()]))
    torch.testing.assert_close(results[0][0], results[1][0], atol=1e-9, rtol=0)
    for a, b in zip(results[0][1], results[1][1], strict=True):
        torch.testing.assert_close(a, b, atol=1e-7, rtol=1e-7)


def test_residuals_start_at_nothing() -> None:
    model = build(**SMALL).train()
    first = model.forward_features(clips())
    for block in model.blocks:
        assert isinstance(block, Bottleneck)
        nn.init.normal_(block.expand.conv.weight, std=3)
    torch.testing.assert_close(model.forward_features(clips()), first)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["volume", "frames"])
def test_fused_and_lowered_copies_agree(form: Any) -> None:
    model = whole(form=form).eval()
    fused = model.fuse()
    x = clips()
    frames = x.transpose(1, 2).flatten(0, 1)
    with torch.no_grad():
        expected = model(x)
        torch.testing.assert_close(fused(x), expected, atol=1e-5, rtol=0)
        torch.testing.assert_close(fused.forward_frames(frames, 4), expected, atol=1e-5, rtol=0)
        graph = lower(model, form=form, num_frames=4)
        found = graph(x if form == "volume" else frames)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert not [m for m in fused.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    with pytest.raises(UserError, match="inference only"):
        fused.train()


@pytest.mark.parametrize("size", [(32, 32), (33, 63)])
@pytest.mark.parametrize("frames", [1, 2, 7])
def test_any_size_and_length(size: tuple[int, int], frames: int) -> None:
    model = small().eval()
    with torch.no_grad():
        features = model.forward_features(clips(1, frames, *size))
        assert features.shape[1:] == (24, frames, *(math.ceil(s / 8) for s in size))
        assert model(clips(1, frames, *size)).shape == (1, 7)


@pytest.mark.slow
def test_clips_of_a_batch_do_not_mix() -> None:
    model = whole().eval()
    x = clips(3)
    with torch.no_grad():
        alone = torch.cat([model(c[None]) for c in x])
        torch.testing.assert_close(model(x), alone, atol=1e-5, rtol=0)
        order = (model(x) - model(x[:, :, torch.tensor([2, 0, 3, 1])])).abs().max()
        assert order > 1e-3 * model(x).std()


def test_gradient_checkpointing_changes_nothing_but_memory() -> None:
    results = []
    for enabled in (False, True):
        model = small(drop_path_rate=0.3).train()
        model.set_gradient_checkpointing(enabled)
        torch.manual_seed(3)
        model(clips()).square().sum().backward()
        results.append(model)
    for (key, a), b in zip(results[0].named_parameters(), results[1].parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, msg=key)
    for (key, a), b in zip(results[0].named_buffers(), results[1].buffers(), strict=True):
        torch.testing.assert_close(a, b, msg=key)


def test_stochastic_depth_rises_to_the_last_block() -> None:
    model = small(drop_path_rate=0.4)
    rates = [b.drop_path_rate for b in model.blocks if isinstance(b, Bottleneck)]
    assert rates == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])


def test_checkpoint_folder_gives_the_same_model(tmp_path: Path) -> None:
    model = small(num_frames=8, crop_size=112).eval()
    model.save_pretrained(tmp_path / "folder")
    loaded = load_checkpoint(tmp_path / "folder")
    assert isinstance(loaded, X3D)
    assert loaded.clip == model.clip
    assert loaded.clip.resize_size == 128
    with torch.no_grad():
        assert torch.equal(loaded(clips()), model(clips()))
    assert "X3D" in (tmp_path / "folder" / "README.md").read_text()


def test_state_dict_keys_are_a_contract() -> None:
    keys = build().state_dict().keys()
    for key in (
        "stem.conv.weight",
        "stem.temporal.weight",
        "stem.norm.running_var",
        "blocks.0.shortcut.conv.weight",
        "blocks.3.shortcut.norm.weight",
        "blocks.1.depthwise.norm.bias",
        "blocks.2.squeeze.reduce.bias",
        "blocks.25.project.conv.weight",
        "head_conv.norm.weight",
        "head_linear.weight",
        "classifier.bias",
    ):
        assert key in keys
    assert "blocks.0.shortcut.norm.weight" not in keys
    assert len(keys) == 563


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"stages": [(16, 2, 1)]}, r"stages\[0\] must be channels and blocks"),
        ({"stages": [(16, 2), (0, 2)]}, r"stages\[1\] must be channels and blocks"),
        ({"expansion": 0.5}, "expansion must be at least 1"),
        ({"squeeze_ratio": 0}, "squeeze_ratio must lie in"),
        ({"frame_stride": 0}, "frame_stride must be a whole number"),
        ({"crop_size": 16}, "crop_size must be at least 32"),
        ({"drop_rate": 1.0}, "drop_rate must lie in"),
        ({"num_tokens": 2}, "takes no argument 'num_tokens'"),
    ],
)
def test_bad_arguments_are_named(overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(**overrides)
