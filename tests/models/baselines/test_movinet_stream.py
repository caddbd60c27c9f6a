"""MoViNet stream: counts, steps against one forward, a plain second computation, its weights."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import plain_movinet
import plain_movinet_stream
from baseline_networks import randomise
from video_mobile_former.errors import CheckpointError, UserError
from video_mobile_former.models import create_model, list_models, load_checkpoint
from video_mobile_former.models.baselines import BASELINES
from video_mobile_former.models.baselines.movinet_release import load_movinet, load_movinet_stream
from video_mobile_former.models.baselines.movinet_stream import MoViNetStream, StreamBottleneck
from video_mobile_former.models.baselines.movinet_tables import MOVINETS
from video_mobile_former.models.runnable import StreamingModel
from video_mobile_former.profiling.cost import count_macs, count_parameters

# Parameters at 600 classes, MACs of the native clip and of 16 frames at 224².
COUNTS = {
    "movinet_a0_stream": (3_748_031, 2_534_825_200, 1_242_556_544),
    "movinet_a1_stream": (6_447_352, 5_660_747_600, 2_770_856_704),
    "movinet_a2_stream": (7_326_962, 10_824_889_600, 3_463_964_672),
}
KEEP = math.exp(-0.2 / 1.5)


def build(name: str = "movinet_a0_stream", **overrides: Any) -> MoViNetStream:
    torch.manual_seed(0)
    model = create_model(name, 7, **overrides)
    assert isinstance(model, MoViNetStream)
    randomise(model)
    for block in model.blocks:
        assert isinstance(block, StreamBottleneck)
        assert block.scale is not None
        nn.init.normal_(block.scale, 1.0, 0.2)
    return model.eval()


def clips(frames: int = 7, height: int = 40, width: int = 47) -> Tensor:
    torch.manual_seed(1)
    return torch.rand(2, 3, frames, height, width)


@pytest.mark.slow
@pytest.mark.parametrize("name", COUNTS)
def test_exact_counts(name: str) -> None:
    parameters, macs, macs_16 = COUNTS[name]
    model = create_model(name, 600)
    assert count_parameters(model) == parameters
    assert count_macs(model) == macs
    assert count_macs(create_model(name, 600, num_frames=16, crop_size=224)) == macs_16
    # Cost is per frame: nothing is computed twice and nothing once a clip.
    assert count_macs(create_model(name, 600, num_frames=1)) * 50 == macs


def test_they_are_baselines_with_published_accuracy() -> None:
    assert list_models("movinet_*_stream") == list(COUNTS)
    published = [BASELINES[name].published[0] for name in COUNTS]
    assert [p.top1 for p in published] == [72.05, 76.45, 78.40]
    for name, found in zip(COUNTS, published, strict=True):
        assert COUNTS[name][1] / 1e9 == pytest.approx(found.gmacs_per_view, rel=0.09)


@pytest.mark.slow
@pytest.mark.parametrize("pool", ["mean", "ema"])
@pytest.mark.parametrize("cut", [(1,) * 7, (7,), (3, 1, 3), (2, 5)])
def test_steps_equal_one_forward_however_a_stream_is_cut(pool: str, cut: tuple[int, ...]) -> None:
    model = build(pool=pool).double()
    x = clips().double().requires_grad_()
    whole = model.forward_steps(x)
    state, found, at = model.init_state(2, (40, 47)), [], -1
    for part in x.split(cut, dim=2):
        logits, state = model.step(part, state)
        at += part.shape[2]
        torch.testing.assert_close(logits, whole[:, at], atol=1e-10, rtol=0)
        found.append(logits)
    torch.testing.assert_close(model(x), whole[:, -1])
    wanted = torch.autograd.grad(whole[:, -1].square().sum(), x)[0]
    given = torch.autograd.grad(found[-1].square().sum(), x)[0]
    torch.testing.assert_close(given, wanted, atol=1e-10, rtol=0)
    assert wanted[:, :, 0].abs().sum() > 0


@pytest.mark.slow
def test_the_state_is_flat_constant_and_of_rank_four_at_most() -> None:
    model = build("movinet_a1_stream")
    assert isinstance(model, StreamingModel)
    state = model.init_state(2, (40, 47))
    sizes = {name: value.shape for name, value in state.items()}
    assert all(value.dim() <= 4 and len(value) == 2 for value in state.values())
    with torch.no_grad():
        for _ in range(3):
            _, state = model.step(clips(2), state)
            assert {name: value.shape for name, value in state.items()} == sizes


@pytest.mark.slow
def test_reset_of_one_stream_leaves_the_others_alone() -> None:
    model, x = build(), clips()
    with torch.no_grad():
        _, state = model.step(x, model.init_state(2, (40, 47)))
        _, kept = model.step(x, state)
        after, reset = model.step(x, model.reset(state, [1]))
        fresh, anew = model.step(x, model.init_state(2, (40, 47)))
    torch.testing.assert_close(after[1], fresh[1])
    for name, value in reset.items():
        torch.testing.assert_close(value[0], kept[name][0])
        torch.testing.assert_close(value[1], anew[name][1])


def test_what_does_not_fit_is_named() -> None:
    model = build()
    state = model.init_state(2, 40)
    with pytest.raises(UserError, match=r"time\.past1.*init_state"):
        model.step(clips(), state)
    del state["pooled"]
    with pytest.raises(UserError, match="'pooled' is missing"):
        model.step(clips(2, 40, 40), state)
    bad: dict[str, Any]
    for bad in ({"pool": "max"}, {"pool_seconds": 0.0}, {"num_frames": 0}):
        with pytest.raises(UserError, match=next(iter(bad))):
            build(**bad)


@pytest.mark.slow
def test_fused_copy_and_parts_agree(tmp_path: Path) -> None:
    model, x = build(), clips()
    with torch.no_grad():
        torch.testing.assert_close(model.fuse()(x), model(x), atol=1e-5, rtol=0)
        features = model.forward_features(x)
        assert features.shape == (2, 104, 7, 2, 2)
        torch.testing.assert_close(model.forward_head(features), model(x))
        model.save_pretrained(tmp_path / "kept")
        torch.testing.assert_close(load_checkpoint(tmp_path / "kept")(x), model(x))


@pytest.mark.slow
def test_gradient_checkpointing_changes_nothing() -> None:
    model, x = build().train(), clips()
    found = []
    for enabled in (False, True):
        model.set_gradient_checkpointing(enabled)
        model.zero_grad()
        model.forward_steps(x).square().sum().backward()
        found.append({k: p.grad.clone() for k, p in model.named_parameters() if p.grad is not None})
    assert len(found[0]) == len(list(model.parameters()))
    for key, grad in found[0].items():
        torch.testing.assert_close(found[1][key], grad)


@pytest.mark.slow
@pytest.mark.parametrize("name", COUNTS)
def test_loaded_weights_give_the_plainly_written_logits(tmp_path: Path, name: str) -> None:
    variant = MOVINETS[name.removesuffix("_stream")]
    release = plain_movinet_stream.random_release(variant, 5)
    save_file(release, tmp_path / "stream.safetensors")
    for pool, keep in (("mean", 1.0), ("ema", KEEP)):
        model = load_movinet_stream(
            tmp_path / "stream.safetensors", name, keep_classifier=True, pool=pool, pool_seconds=1.5
        ).eval()
        assert len(model.state_dict()) == len(release)
        with torch.no_grad():
            expected = plain_movinet_stream.logits(release, variant, clips(6), keep)
            assert expected.std() > 0.02
            found = model.forward_steps(clips(6))
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


@pytest.mark.slow
def test_files_of_the_other_kind_are_refused_by_name(tmp_path: Path) -> None:
    variant = MOVINETS["movinet_a0"]
    save_file(plain_movinet_stream.random_release(variant, 5), tmp_path / "stream.safetensors")
    save_file(plain_movinet.random_release(variant, 5), tmp_path / "base.safetensors")
    with pytest.raises(CheckpointError, match="take movinet_a0_stream"):
        load_movinet(tmp_path / "stream.safetensors", "movinet_a0", num_classes=2)
    with pytest.raises(CheckpointError, match=r"take movinet_a0$"):
        load_movinet_stream(tmp_path / "base.safetensors", "movinet_a0_stream", num_classes=2)
    with pytest.raises(UserError, match="no MoViNet stream named 'movinet_a0'"):
        load_movinet_stream(tmp_path / "stream.safetensors", "movinet_a0", num_classes=2)
    release = plain_movinet_stream.random_release(variant, 5)
    release["blocks.b1_l0.deep.conv_2.bonus"] = torch.zeros(1)
    save_file(release, tmp_path / "odd.safetensors")
    with pytest.raises(CheckpointError, match=r"conv_2\.bonus' is not one of movinet_a0_stream"):
        load_movinet_stream(tmp_path / "odd.safetensors", "movinet_a0_stream", num_classes=2)
