"""What the network can leave out: each option is what it says, in both forms, and is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from video_mobile_former.errors import UserError
from video_mobile_former.export.lowering.lower import lower
from video_mobile_former.layers.activation import DynamicReLU
from video_mobile_former.layers.bridge import FormerToMobile, MobileToFormer
from video_mobile_former.models import VideoMobileFormer, create_model
from video_mobile_former.models.registry import load_checkpoint
from video_mobile_former.models.video_mobile_former import unusual_options
from video_mobile_former.profiling.cost import count_macs, count_parameters

OPTIONS: list[dict[str, Any]] = [
    {"bridges": "to_tokens"},
    {"bridges": "to_features"},
    {"activation": "relu6"},
    {"tokens_per": "frame"},
    {"bridges": "to_tokens", "activation": "relu6", "tokens_per": "frame"},
]


def small(**overrides: Any) -> VideoMobileFormer:
    torch.manual_seed(0)
    model = create_model("vmf_1g", 5, num_frames=4, crop_size=32, **overrides)
    assert isinstance(model, VideoMobileFormer)
    for module in model.modules():
        if isinstance(module, DynamicReLU):
            # From the start the slopes are those of a ReLU, whatever the tokens say.
            torch.nn.init.normal_(module.slopes.weight, std=0.5)
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            # A bias of 0 puts features of dead channels right on the kink of an activation.
            torch.nn.init.normal_(module.bias, std=0.1)
    return model


def clips(batch: int = 2, frames: int = 4) -> torch.Tensor:
    return torch.randn(batch, 3, frames, 32, 48, generator=torch.Generator().manual_seed(1))


@pytest.mark.slow
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_both_forms_agree_and_gradients_reach_every_parameter(options: dict[str, Any]) -> None:
    results = []
    for form in ("volume", "frames"):
        # In eval mode and double precision: batch statistics over these few places, and features
        # just beside a kink of an activation, would magnify the rounding.
        model = small(**options, form=form).eval().double()
        logits = model(clips().double())
        logits.square().sum().backward()
        results.append((logits, {k: p.grad for k, p in model.named_parameters()}))
    (volume, grads), (frames, others) = results
    torch.testing.assert_close(volume, frames)
    for key, grad in grads.items():
        assert grad is not None, key
        torch.testing.assert_close(grad, others[key], atol=1e-9, rtol=1e-6, msg=key)


@pytest.mark.slow
def test_the_defaults_are_the_network_of_the_paper() -> None:
    model = create_model("vmf_500m", bridges="two_way", activation="dynamic", tokens_per="clip")
    assert (count_parameters(model), count_macs(model)) == (2_650_860, 424_582_144)
    assert unusual_options(model.architecture) == {}
    before = {k: v for k, v in model.architecture.items() if k in ("num_tokens", "blocks")}
    assert unusual_options(before) == {}, "a checkpoint from before the options"
    assert unusual_options({"num_tokens": 0, "bridges": "to_tokens"}) == {}


@pytest.mark.slow
def test_each_option_leaves_out_what_it_says() -> None:
    def kinds(model: torch.nn.Module, kind: type) -> int:
        return sum(isinstance(module, kind) for module in model.modules())

    full, to_tokens, to_features = small(), small(**OPTIONS[0]), small(**OPTIONS[1])
    plain, frame = small(**OPTIONS[2]), small(**OPTIONS[3])
    assert kinds(full, MobileToFormer) == kinds(full, FormerToMobile) + 1 == 9
    assert (kinds(to_tokens, MobileToFormer), kinds(to_tokens, FormerToMobile)) == (9, 0)
    assert (kinds(to_features, MobileToFormer), kinds(to_features, FormerToMobile)) == (0, 8)
    assert kinds(full, DynamicReLU) > 0 == kinds(plain, DynamicReLU)
    assert frame.state_dict().keys() == full.state_dict().keys()
    for less in (to_tokens, to_features, plain):
        assert count_macs(less) < count_macs(full)
        assert count_parameters(less) < count_parameters(full)
    # The Former runs on four sets of tokens in place of one; the bridges cost the same.
    assert count_macs(frame) > count_macs(full)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["volume", "frames"])
def test_tokens_of_a_frame_see_it_alone(form: str) -> None:
    # Without kernels in time, tokens are all that could carry anything between frames.
    flat = {"temporal_kernel": 1, "stem_temporal_kernel": 1, "form": form}
    x = clips(1)
    y = x.clone()
    y[:, :, 2] += 1.0
    for options, carried in (({"tokens_per": "frame"}, False), ({}, True)):
        model = small(**flat, **options).eval()
        with torch.no_grad():
            one, other = (model.forward_features(z)[0] for z in (x, y))
        assert not torch.allclose(one[:, :, 2], other[:, :, 2])
        rest = [0, 1, 3]
        same = torch.allclose(one[:, :, rest], other[:, :, rest], atol=1e-6)
        assert same is not carried


def test_attention_of_what_is_there() -> None:
    x = clips()
    frame = small(tokens_per="frame").eval()
    maps = frame.forward_features(x, return_attention=True)[2]
    assert maps[0]["mobile_to_former"].shape[:4] == (2, 2, 3, 4)
    # Per frame, not per clip, attention over places sums to one.
    total = maps[0]["mobile_to_former"].sum((4, 5))
    torch.testing.assert_close(total, torch.ones_like(total))
    one_way = small(bridges="to_features").eval()
    maps = one_way.forward_features(x, return_attention=True)[2]
    assert all(set(found) == {"block", "former_to_mobile"} for found in maps)


@pytest.mark.slow
def test_stochastic_depth_and_recomputing_run_with_tokens_per_frame() -> None:
    model = small(tokens_per="frame", drop_path_rate=0.5)
    model.set_gradient_checkpointing()
    model(clips()).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("options", OPTIONS[:4], ids=str)
def test_checkpoints_keep_them_and_export_refuses_them(
    options: dict[str, Any], tmp_path: Path
) -> None:
    model = small(**options).eval()
    model.save_pretrained(tmp_path)
    again = load_checkpoint(tmp_path)
    assert again.architecture == model.architecture
    with torch.no_grad():
        torch.testing.assert_close(again(clips()), model(clips()))
    name, value = next(iter(options.items()))
    with pytest.raises(UserError, match=f"a network with {name} '{value}' cannot be exported"):
        lower(again, form="volume", num_frames=4)


@pytest.mark.parametrize("name", ["bridges", "activation", "tokens_per"])
def test_bad_values_are_named(name: str) -> None:
    with pytest.raises(UserError, match=f"{name} must be one of .*, not 'none'"):
        create_model("vmf_500m", 2, **{name: "none"})
