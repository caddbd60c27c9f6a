"""The model: exact counts, equal forms, gradients everywhere, fused copy, attention, precision."""

from __future__ import annotations

import math
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from video_mobile_former.errors import UserError
from video_mobile_former.models import VideoMobileFormer, create_model, list_models
from video_mobile_former.models.mobile_former_lite import LITES
from video_mobile_former.models.variants import STREAMS, VARIANTS, VariantName
from video_mobile_former.profiling.cost import count_macs, count_parameters

# parameters 3d, MACs 3d, parameters 2plus1d, MACs 2plus1d, parameters of the 2-D parent
COUNTS = {
    "vmf_500m": (2_650_860, 424_582_144, 2_623_320, 322_975_744, 3_232_788),
    "vmf_1g": (2_887_164, 836_426_752, 2_859_624, 734_820_352, 3_469_092),
    "vmf_2g": (3_861_040, 1_544_552_192, 3_824_080, 1_397_034_752, 4_585_252),
    "vmf_3g": (6_895_808, 2_266_310_144, 6_838_688, 2_048_797_184, 7_595_828),
    "vmf_4g": (8_551_972, 3_300_929_280, 8_479_792, 3_020_947_200, 9_425_920),
    "vmf_6g": (10_373_776, 5_754_644_992, 10_287_376, 5_314_350_592, 11_422_648),
    "vmf_9g": (12_958_944, 8_113_538_560, 12_846_864, 7_628_838_400, 13_976_976),
}
BUDGETS = {name: float(name[4:-1]) * (1e6 if name.endswith("m") else 1e9) for name in COUNTS}


def randomise(model: VideoMobileFormer, seed: int = 0) -> VideoMobileFormer:
    """Give norms and dynamic slopes values that a mistake in any of them would show in."""
    torch.manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(std=0.2)
            module.running_var.uniform_(0.5, 1.5)
    return model


def small(name: str = "vmf_500m", **overrides: Any) -> VideoMobileFormer:
    torch.manual_seed(0)
    model = create_model(name, 7, **overrides)
    assert isinstance(model, VideoMobileFormer)
    return randomise(model)


def clips(batch: int = 2, frames: int = 4, height: int = 40, width: int = 48) -> Tensor:
    torch.manual_seed(1)
    return torch.randn(batch, 3, frames, height, width)


def test_every_variant_is_listed() -> None:
    assert list_models("vmf_*", baselines=False) == [*COUNTS, *LITES, *STREAMS]
    assert get_args(VariantName) == tuple(VARIANTS) == tuple(COUNTS)


@pytest.mark.slow
@pytest.mark.parametrize("name", COUNTS)
def test_exact_counts(name: str) -> None:
    params3d, macs3d, params2p1, macs2p1, parent = COUNTS[name]
    with torch.device("meta"):
        full = create_model(name)
        split = create_model(name, temporal_conv="2plus1d")
        flat = create_model(name, 1000, temporal_kernel=1, stem_temporal_kernel=1, num_frames=1)
    assert (count_parameters(full), count_macs(full)) == (params3d, macs3d)
    assert macs3d <= BUDGETS[name]
    assert (count_parameters(split), count_macs(split)) == (params2p1, macs2p1)
    assert count_parameters(flat) == parent


@pytest.mark.slow
@pytest.mark.parametrize("tokens", [0, None])
@pytest.mark.parametrize("temporal_conv", ["3d", "2plus1d"])
@pytest.mark.parametrize("name", ["vmf_500m", "vmf_1g", "vmf_3g"])
def test_forms_agree_in_values_and_gradients(
    name: str, temporal_conv: str, tokens: int | None
) -> None:
    overrides = {} if tokens is None else {"num_tokens": tokens}
    model = small(name, temporal_conv=temporal_conv, **overrides)
    x = clips()
    outcome = {}
    for form in ("volume", "frames"):
        model.set_form(form)
        model.eval()
        logits = model(x)
        model.zero_grad()
        # Gradients in eval mode: with batch statistics over these few places, the rounding of
        # either form is magnified alike and says nothing about their equality.
        logits.square().sum().backward()
        outcome[form] = (
            logits.detach(),
            {k: p.grad.clone() for k, p in model.named_parameters() if p.grad is not None},
        )
    (a, grads_a), (b, grads_b) = outcome["volume"], outcome["frames"]
    assert (a - b).abs().max() <= 1e-5 * max(a.abs().max().item(), 1.0)
    assert grads_a.keys() == grads_b.keys()
    for key, grad in grads_a.items():
        scale = max(grad.abs().max().item(), 1.0)
        assert (grad - grads_b[key]).abs().max() <= 1e-5 * scale, key


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vmf_500m", "vmf_2g"])
def test_forms_agree_in_training_mode(name: str) -> None:
    x = clips(4, 4, 64, 64)
    results = []
    for form in ("volume", "frames"):
        torch.manual_seed(0)
        model = create_model(name, 7, form=form, drop_path_rate=0.2, drop_rate=0.2).double()
        torch.manual_seed(5)
        loss = model(x.double()).logsumexp(1).sum()
        loss.backward()
        results.append((loss.detach(), [p.grad for p in model.parameters()]))
    torch.testing.assert_close(results[0][0], results[1][0], atol=1e-9, rtol=0)
    for a, b in zip(results[0][1], results[1][1], strict=True):
        torch.testing.assert_close(a, b, atol=1e-7, rtol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["volume", "frames"])
@pytest.mark.parametrize("name", COUNTS)
def test_gradient_reaches_every_parameter(name: str, form: str) -> None:
    model = small(name, form=form).train()
    logits = model(clips(2, 3, 33, 47))
    assert logits.shape == (2, 7)
    assert logits.isfinite().all()
    logits.square().sum().backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.abs().sum() > 0, key


@pytest.mark.slow
def test_light_cnn_has_no_token_parameters() -> None:
    model = small("vmf_1g", num_tokens=0)
    names = [k for k, _ in model.named_parameters()]
    assert not [k for k in names if "token" in k or "former" in k or "bridge" in k or "_act" in k]
    model(clips()).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    assert count_macs(model) < count_macs(create_model("vmf_1g"))
    local, tokens = model.forward_features(clips())[:2]
    assert tokens is None
    assert local.shape[1] == 96


@pytest.mark.parametrize("form", ["volume", "frames"])
def test_features_and_attention(form: str) -> None:
    model = small(form=form).eval()
    x = clips(2, 4, 64, 96)
    local, tokens, maps = model.forward_features(x, return_attention=True)
    assert local.shape == (2, 96, 4, 2, 3)
    assert tokens is not None
    assert tokens.shape == (2, 3, 128)
    assert [int(m["block"]) for m in maps] == [1, 2, 3, 4, 5, 6, 7, 8, -1]
    for entry in maps:
        gather = entry["mobile_to_former"]
        assert gather.shape[:4] == (2, 2, 3, 4)
        torch.testing.assert_close(gather.sum((3, 4, 5)), torch.ones(2, 2, 3))
        if int(entry["block"]) >= 0:
            read = entry["former_to_mobile"]
            torch.testing.assert_close(read.sum(2), torch.ones(2, 2, *read.shape[3:]))
    assert maps[1]["mobile_to_former"].shape[4:] == (16, 24)
    assert maps[1]["former_to_mobile"].shape[4:] == (8, 12)
    plain = model.forward_features(x)
    torch.testing.assert_close(plain[0], local)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["volume", "frames"])
@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("vmf_500m", {}),
        ("vmf_500m", {"temporal_conv": "2plus1d"}),
        ("vmf_2g", {"stem_temporal_kernel": 1}),
        ("vmf_1g", {"num_tokens": 0}),
    ],
)
def test_fused_copy_agrees(name: str, overrides: dict[str, Any], form: str) -> None:
    model = small(name, form=form, **overrides).eval()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    fused = model.fuse()
    x = clips()
    with torch.no_grad():
        torch.testing.assert_close(fused(x), model(x), atol=1e-5, rtol=0)
    assert not [m for m in fused.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    with pytest.raises(UserError, match="inference only"):
        fused.train()


@pytest.mark.slow
def test_gradient_checkpointing_changes_nothing_but_memory() -> None:
    x = clips(2, 3, 64, 64)
    results = []
    for enabled in (False, True):
        model = small(drop_path_rate=0.3).train()
        model.set_gradient_checkpointing(enabled)
        torch.manual_seed(3)
        model(x).square().sum().backward()
        results.append(model)
    for (key, a), b in zip(results[0].named_parameters(), results[1].parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, msg=key)
    for (key, a), b in zip(results[0].named_buffers(), results[1].buffers(), strict=True):
        torch.testing.assert_close(a, b, msg=key)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["volume", "frames"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_is_finite(dtype: torch.dtype, form: str) -> None:
    model = small(form=form).train()
    with torch.autocast("cpu", dtype=dtype):
        logits = model(clips(2, 2, 32, 32))
        loss = nn.functional.cross_entropy(logits.float(), torch.tensor([0, 1]))
    loss.backward()
    assert logits.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("size", [(32, 32), (33, 63), (224, 112)])
@pytest.mark.parametrize("frames", [1, 2, 7])
def test_any_size_and_length(size: tuple[int, int], frames: int) -> None:
    model = small().eval()
    with torch.no_grad():
        local = model.forward_features(clips(1, frames, *size))[0]
    assert local.shape[2:] == (frames, math.ceil(size[0] / 32), math.ceil(size[1] / 32))


@pytest.mark.slow
def test_clips_of_a_batch_do_not_mix() -> None:
    model = small().eval()
    x = clips(3)
    with torch.no_grad():
        together = model(x)
        alone = torch.cat([model(c[None]) for c in x])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


@pytest.mark.slow
def test_order_of_frames_matters_only_with_temporal_kernels() -> None:
    x = clips(2, 6)
    flat = small(temporal_kernel=1, stem_temporal_kernel=1).eval()
    full = small().eval()
    with torch.no_grad():
        torch.testing.assert_close(flat(x), flat(x.flip(2)), atol=1e-5, rtol=0)
        assert (full(x) - full(x.flip(2))).abs().max() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("form", ["volume", "frames"])
def test_torch_export_agrees(form: str) -> None:
    model = small(form=form).eval().fuse()
    x = clips(2, 4, 64, 64)
    with torch.no_grad():
        program = torch.export.export(model, (x,))
        torch.testing.assert_close(program.module()(x), model(x), atol=1e-5, rtol=0)
    if form == "frames":
        ranks = [
            node.meta["val"].dim()
            for node in program.graph.nodes
            if node.op == "call_function"
            and isinstance(node.meta.get("val"), Tensor)
            # Kernels are constants that a converter folds; the activations are what counts.
            and node.meta["val"].shape[:1] in ((2,), (8,))
        ]
        assert ranks
        # The input itself has five axes; what follows its first reshaping has four.
        assert max(ranks[3:]) <= 4


def test_at_first_tokens_say_little() -> None:
    torch.manual_seed(0)
    model = create_model("vmf_500m", 5, num_frames=4, crop_size=64).train()
    clips = torch.randn(2, 3, 4, 64, 64)
    with torch.no_grad():
        one, _ = model.forward_features(clips)
        assert model.tokens is not None
        model.tokens.normal_()
        other, _ = model.forward_features(clips)
    # Linear layers as torch starts them come to 1.0, and the convolutions learn later.
    assert (one - other).norm() / one.norm() < 0.3


def test_state_dict_keys_are_a_contract() -> None:
    keys = create_model("vmf_500m").state_dict().keys()
    for key in (
        "tokens",
        "stem.conv.weight",
        "stem.temporal.weight",
        "stem.norm.running_var",
        "blocks.0.mobile.depthwise.conv.weight",
        "blocks.1.mobile_to_former.gate.weight",
        "blocks.1.former.ffn_expand.bias",
        "blocks.1.former_to_mobile.value.weight",
        "blocks.1.mobile.expand_act.slopes.weight",
        "blocks.2.mobile.down.conv.weight",
        "head_bridge.query.weight",
        "head_conv.norm.weight",
        "head_linear.weight",
        "head_norm.weight",
        "classifier.bias",
    ):
        assert key in keys
    assert len(keys) == 461  # the parent's 460 and the stem's temporal kernel


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"temporal_kernel": 2}, "temporal_kernel must be an odd number"),
        ({"form": "cube"}, "form must be one of"),
        ({"drop_rate": 1.0}, "drop_rate must lie in"),
        ({"num_tokens": -1}, "num_tokens must be 0 or more"),
        ({"crop_size": 16}, "crop_size must be at least 32"),
        ({"num_token": 2}, "did you mean 'num_tokens'"),
    ],
)
def test_bad_arguments_are_named(overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        create_model("vmf_500m", 2, **overrides)


@pytest.mark.parametrize("shape", [(1, 3, 4, 31, 64), (3, 4, 64, 64), (1, 1, 4, 64, 64)])
def test_bad_shapes_are_named(shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match=r"a clip must be \(B, 3, T, H, W\)"):
        create_model("vmf_500m", 2)(torch.zeros(shape))


def test_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'vmf_500m'"):
        create_model("vmf_500")
