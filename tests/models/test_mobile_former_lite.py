"""MobileFormerLite: the 2-D network at the start, exact counts, equal forms, what may be chosen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from baseline_networks import clips, randomise
from plain_efficientnet_lite import blocks_of, logits, random_weights
from video_mobile_former import create_model, list_models
from video_mobile_former.errors import CheckpointError, UserError
from video_mobile_former.export.lowering import lower
from video_mobile_former.layers.conv import ConvNorm
from video_mobile_former.models import load_checkpoint
from video_mobile_former.models.imagenet_weights import load_efficientnet_lite
from video_mobile_former.models.mobile_former_lite import (
    SIZES,
    DynamicReLU6,
    MobileFormerLite,
    Read,
)
from video_mobile_former.profiling.cost import count_macs, count_parameters

COUNTS = {
    # name: parameters and MACs with 400 classes, most G of the clip's budget
    "vmf_lite0": (5_242_896, 1_613_875_968, 1.7),
    "vmf_lite0_128": (5_242_896, 1_035_638_784, 1.1),
    "vmf_lite0_192": (5_242_896, 2_320_610_304, 2.4),
    "vmf_lite0_224": (5_242_896, 5_516_976_960, 6.0),
    "vmf_lite1": (6_015_632, 3_026_187_264, 3.1),
    "vmf_lite2": (6_746_376, 4_259_192_192, 4.3),
}
SMALL = {
    "stages": ((1, 3, 8, 1, 1, False), (6, 5, 12, 2, 2, True), (6, 3, 16, 2, 2, True)),
    "stem_channels": 8,
    "head_dim": 32,
    "token_dim": 16,
}


def small(**overrides: Any) -> MobileFormerLite:
    """A small network whose norms, kernels, gates and slopes show mistakes."""
    torch.manual_seed(0)
    model = MobileFormerLite(**{**SMALL, "num_classes": 7, **overrides})
    randomise(model)
    for name, parameter in model.named_parameters():
        if name.endswith(("gate", "temporal.weight", "slopes.weight")):
            nn.init.normal_(parameter, std=0.3)
        elif name.endswith("reduce.bias"):  # no unit of the few hidden ones is dead
            nn.init.constant_(parameter, 0.5)
    return model


@pytest.mark.slow
@pytest.mark.parametrize("name", COUNTS)
def test_exact_counts(name: str) -> None:
    parameters, macs, budget = COUNTS[name]
    with torch.device("meta"):
        model = create_model(name)
    assert count_parameters(model) == parameters
    assert count_macs(model) == macs <= budget * 1e9


def test_every_name_has_counts() -> None:
    assert list(list_models("vmf_lite*", baselines=False)) == list(COUNTS)


@pytest.mark.slow
def test_the_2d_network_has_the_published_counts() -> None:
    with torch.device("meta"):
        model = create_model(
            "vmf_lite0", 1000, num_tokens=0, temporal_kernel=1, num_frames=1, crop_size=224
        )
    assert count_parameters(model) == 4_652_008
    assert round(count_macs(model) / 1e6) == 385


@pytest.mark.parametrize("size", SIZES)
def test_tables_are_those_that_the_scaling_rule_gives(size: str) -> None:
    before, found = 32, []
    for row in SIZES[size]:
        for i in range(row.blocks):
            stride = row.stride if i == 0 else 1
            found.append((row.kernel, stride, row.expand, before, row.channels))
            before = row.channels
    assert found == blocks_of(size)


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["relu6", "dynamic"])
@pytest.mark.parametrize("form", ["volume", "frames"])
def test_starts_as_the_picture_network_on_every_frame(
    form: Any, activation: Any, tmp_path: Path
) -> None:
    state = published("lite0", tmp_path / "lite0.pth")
    model = load_efficientnet_lite(
        tmp_path / "lite0.pth",
        "vmf_lite0",
        keep_classifier=True,
        form=form,
        activation=activation,
        bridge_every="block",
    ).eval()
    x = clips(2, 3, 64, 71)
    expected = logits(state, "lite0", x.transpose(1, 2).flatten(0, 1)).unflatten(0, (2, 3)).mean(1)
    assert expected.std() > 0.1
    with torch.no_grad():
        torch.testing.assert_close(model(x), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["vmf_lite1", "vmf_lite2", "vmf_lite0_cnn"])
def test_other_sizes_start_as_theirs(name: str, tmp_path: Path) -> None:
    size = name.split("_")[1]
    state = published(size, tmp_path / "file.pth")
    model = load_efficientnet_lite(tmp_path / "file.pth", name, keep_classifier=True).eval()
    x = clips(1, 2, 48, 48)
    expected = logits(state, size, x[0].transpose(0, 1)).mean(0, keepdim=True)
    with torch.no_grad():
        torch.testing.assert_close(model(x), expected, atol=1e-5, rtol=1e-5)


def published(size: str, path: Path) -> dict[str, Tensor]:
    torch.manual_seed(3)
    state = random_weights(size, num_classes=10)
    torch.save(state, path)
    return state


@pytest.mark.parametrize("activation", ["relu6", "dynamic"])
@pytest.mark.parametrize("form", ["volume", "frames"])
def test_fused_and_lowered_copies_agree(form: Any, activation: Any) -> None:
    model = small(form=form, activation=activation, bridge_every="block").eval()
    x = clips()
    frames = x.transpose(1, 2).flatten(0, 1)
    with torch.no_grad():
        expected = model(x)
        assert expected.std() > 1e-3
        fused = model.fuse()
        torch.testing.assert_close(fused(x), expected, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(model.forward_frames(frames, 4), expected, atol=1e-5, rtol=1e-5)
        graph = lower(model, form=form, num_frames=4)
        found = graph(x if form == "volume" else frames)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert not [m for m in fused.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert all(m.gate is None for m in fused.modules() if isinstance(m, Read))
    assert any(m.gate is not None for m in model.modules() if isinstance(m, Read))


def test_forms_and_gradients_agree_and_reach_everything() -> None:
    # In float64: a ReLU whose input changes sign by rounding changes gradients by more than 1e-5.
    model = small(activation="dynamic", drop_path_rate=0.2).eval().double()
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


def test_recomputed_gradients_are_the_same() -> None:
    found = []
    for recompute in (False, True):
        model = small().train()
        model.set_gradient_checkpointing(recompute)
        model(clips()).square().sum().backward()
        norms = [v for k, v in model.state_dict().items() if "running" in k or "tracked" in k]
        found.append(([p.grad for p in model.parameters()], norms))
    for one, other in zip(found[0], found[1], strict=True):
        torch.testing.assert_close(one, other)


def test_gates_open_in_one_step_and_frames_then_mix() -> None:
    torch.manual_seed(0)
    model = MobileFormerLite(**{**SMALL, "num_classes": 7}).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    model(clips(4)).logsumexp(1).sum().backward()
    optimizer.step()
    gates = [m.gate for m in model.modules() if isinstance(m, Read)]
    assert all(gate is not None and gate.abs().sum() > 0 for gate in gates)
    # Without kernels in time only tokens carry anything from one frame to another.
    model = small(temporal_kernel=1).eval()
    x = clips(1)
    other = x.clone()
    other[:, :, 3] = -other[:, :, 3]
    with torch.no_grad():
        one, two = (model.forward_features(value)[0][:, :, 0] for value in (x, other))
    assert (one - two).abs().max() > 1e-3


@pytest.mark.slow
def test_without_tokens_it_is_the_cnn() -> None:
    model = small(num_tokens=0)
    assert model.forward_features(clips())[1] is None
    assert not [name for name, _ in model.named_modules() if "former" in name or "read" in name]
    assert model.no_weight_decay() == set()
    assert small().no_weight_decay() == {"tokens"}
    same = create_model("vmf_lite0_cnn").state_dict().keys()
    assert same == create_model("vmf_lite0", num_tokens=0).state_dict().keys()


def test_bridges_stand_at_the_end_of_stages_or_in_every_block() -> None:
    def bridged(every: Any) -> list[int]:
        return [i for i, b in enumerate(small(bridge_every=every)._rows()) if b.read is not None]

    assert bridged("stage") == [2, 4]
    assert bridged("block") == [1, 2, 3, 4]
    assert any(isinstance(m, DynamicReLU6) for m in small(activation="dynamic").modules())


def test_kernels_in_time_stand_on_stride_one_depthwise_layers() -> None:
    with torch.device("meta"):
        model = create_model("vmf_lite0", temporal_kernel=5)
    for name, module in model.named_modules():
        if isinstance(module, ConvNorm):
            there = name.endswith("depthwise") and module.conv.stride == 1
            assert (module.temporal is not None) == there, name
            if module.temporal is not None:
                assert module.temporal.weight.shape[2] == 5


def test_clip_is_that_of_the_weights() -> None:
    with torch.device("meta"):
        clip = create_model("vmf_lite0").clip
    assert (clip.num_frames, clip.crop_size, clip.sampling) == (8, 160, "uniform")
    pixel = torch.tensor([0.0, 127.0, 255.0]) / 255
    expected = (torch.tensor([0.0, 127.0, 255.0]) - 127) / 128
    torch.testing.assert_close((pixel - clip.mean[0]) / clip.std[0], expected)


def test_features_head_and_new_classifier() -> None:
    model = small().eval()
    x = clips()
    with torch.no_grad():
        features, tokens = model.forward_features(x)
        assert features.shape == (2, 16, 4, 5, 6)
        assert tokens is not None
        assert tokens.shape == (2, 6, 16)
        torch.testing.assert_close(model.forward_head(features, tokens), model(x))
        hidden = model.forward_head(features, tokens, pre_logits=True)
        torch.testing.assert_close(model.classifier(hidden), model(x))
    model.reset_classifier(3)
    assert model(x).shape == (2, 3)


def test_checkpoint_comes_back_the_same(tmp_path: Path) -> None:
    model = small(activation="dynamic").eval()
    model.info = {"origin": {"weights": "of others", "license": "Apache-2.0"}}
    model.save_pretrained(tmp_path / "kept")
    again = load_checkpoint(tmp_path / "kept")
    assert isinstance(again, MobileFormerLite)
    with torch.no_grad():
        torch.testing.assert_close(again(clips()), model(clips()), atol=0, rtol=0)
    assert again.info == model.info
    card = (tmp_path / "kept" / "README.md").read_text()
    assert "Started from" in card
    assert "of others" in card


def test_config_has_bounds(tmp_path: Path) -> None:
    small().save_pretrained(tmp_path / "kept")
    config = tmp_path / "kept" / "config.json"
    config.write_text(config.read_text().replace('"head_dim": 32', '"head_dim": 99999999'))
    with pytest.raises(CheckpointError, match="head_dim"):
        load_checkpoint(tmp_path / "kept")


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("stages", ((6, 3, 24, 2, 2),)),
        ("stages", ((6, 4, 24, 2, 2, True),)),
        ("stages", ((6, 3, 25, 2, 2, True),)),
        ("stages", ((6, 3, 24, 2, 3, True),)),
        ("stages", ((6, 3, 24, 0, 2, True),)),
        ("stages", ()),
        ("num_tokens", -1),
        ("token_dim", 18),
        ("bridge_every", "never"),
        ("activation", "swish"),
        ("temporal_kernel", 2),
        ("drop_rate", 1.0),
        ("crop_size", 16),
    ],
)
def test_wrong_arguments_are_named(argument: str, value: Any) -> None:
    with pytest.raises(UserError, match=argument):
        MobileFormerLite(**{**SMALL, argument: value})
