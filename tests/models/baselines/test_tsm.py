"""TSM-MobileNetV2: exact counts, the shift, equal forms, fused copy, public weights by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import plain_tsm
from baseline_networks import clips, randomise
from video_mobile_former.errors import CheckpointError, UserError
from video_mobile_former.export.lowering import lower
from video_mobile_former.models import create_model, load_checkpoint, load_tsm
from video_mobile_former.models.baselines.tsm import TSMMobileNetV2, shift_in_time
from video_mobile_former.profiling.cost import count_macs, count_parameters

SMALL = {"stages": ((1, 8, 1, 1), (6, 16, 2, 2), (4, 24, 2, 1)), "stem_channels": 8}


def small(**overrides: Any) -> TSMMobileNetV2:
    torch.manual_seed(0)
    model = create_model("tsm_mobilenetv2", 7, **{**SMALL, "head_channels": 64, **overrides})
    assert isinstance(model, TSMMobileNetV2)
    randomise(model)
    nn.init.normal_(model.classifier.weight)
    return model


@pytest.mark.slow
def test_exact_counts() -> None:
    with torch.device("meta"):
        model = create_model("tsm_mobilenetv2")
    # MobileNetV2 without its classifier has 2,223,872.
    assert count_parameters(model) == 2_223_872 + 1281 * 400
    assert count_macs(model) == 2_396_466_176


def test_native_clips() -> None:
    clip = small().clip
    assert (clip.num_frames, clip.sampling) == (8, "uniform")
    assert (clip.crop_size, clip.resize_size) == (224, 256)
    dense = small(sampling="dense", num_frames=16).clip
    assert (dense.sampling, dense.stride, dense.num_frames) == ("dense", 4, 16)


def test_shift_shows_neighbours_and_zeros_beyond_the_ends() -> None:
    x = torch.arange(2 * 8 * 3, dtype=torch.float32).view(2, 8, 3, 1, 1) + 1
    y = shift_in_time(x, 2, 3)
    assert torch.equal(y[:, :2, :2], x[:, :2, 1:])
    assert torch.equal(y[:, 2:4, 1:], x[:, 2:4, :2])
    assert not y[:, :2, 2].any()
    assert not y[:, 2:4, 0].any()
    assert torch.equal(y[:, 4:], x[:, 4:])
    flat = shift_in_time(x.transpose(1, 2).flatten(0, 1), 2, 3)
    assert torch.equal(flat.unflatten(0, (2, 3)).transpose(1, 2), y)
    one = shift_in_time(x[:, :, :1], 2, 1)
    assert not one[:, :4].any()
    assert torch.equal(one[:, 4:], x[:, 4:, :1])


@pytest.mark.slow
def test_forms_agree_in_values_and_gradients() -> None:
    outcome = {}
    for form in ("volume", "frames"):
        model = small(form=form, drop_path_rate=0.3, drop_rate=0.2).double().train()
        torch.manual_seed(5)
        logits = model(clips(3).double())
        logits.logsumexp(1).sum().backward()
        outcome[form] = (logits.detach(), {k: p.grad for k, p in model.named_parameters()})
    (a, grads_a), (b, grads_b) = outcome["volume"], outcome["frames"]
    torch.testing.assert_close(a, b, atol=1e-9, rtol=0)
    for key, grad in grads_a.items():
        assert grad is not None, key
        assert grad.abs().sum() > 0, key
        torch.testing.assert_close(grads_b[key], grad, atol=1e-7, rtol=1e-7, msg=key)


@pytest.mark.parametrize("form", ["volume", "frames"])
def test_fused_and_lowered_copies_agree(form: Any) -> None:
    model = small(form=form).eval()
    x = clips()
    frames = x.transpose(1, 2).flatten(0, 1)
    with torch.no_grad():
        expected = model(x)
        assert expected.std() > 0.1
        torch.testing.assert_close(model.fuse()(x), expected, atol=1e-5, rtol=0)
        graph = lower(model, form=form, num_frames=4)
        found = graph(x if form == "volume" else frames)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("frames", "size"), [(1, (32, 32)), (5, (33, 63))])
def test_any_size_and_length(frames: int, size: tuple[int, int]) -> None:
    model = small().eval()
    with torch.no_grad():
        assert model(clips(2, frames, *size)).shape == (2, 7)


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


def test_checkpoint_folder_gives_the_same_model(tmp_path: Path) -> None:
    model = small(sampling="dense").eval()
    model.save_pretrained(tmp_path / "folder")
    loaded = load_checkpoint(tmp_path / "folder")
    assert isinstance(loaded, TSMMobileNetV2)
    assert loaded.clip == model.clip
    with torch.no_grad():
        assert torch.equal(loaded(clips()), model(clips()))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"stages": [(1, 8, 1, 3)]}, r"stages\[0\].stride is out of range: 3"),
        ({"shift_divisor": 1}, "shift_divisor must be at least 2"),
        ({"sampling": "sparse"}, "sampling must be one of uniform, dense"),
        ({"head_channels": 0}, "head_channels must be a whole number"),
        ({"frame_stride": 2}, "takes no argument 'frame_stride'"),
    ],
)
def test_bad_arguments_are_named(overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        small(**overrides)


@pytest.fixture(scope="module")
def release() -> dict[str, Tensor]:
    return plain_tsm.random_release(400)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["volume", "frames"])
def test_public_weights_give_the_plainly_written_logits(
    release: dict[str, Tensor], tmp_path: Path, form: str
) -> None:
    assert release["base_model.features.3.conv.0.net.weight"].shape == (144, 24, 1, 1)
    assert release["base_model.features.1.conv.3.weight"].shape == (16, 32, 1, 1)
    wrapped = {"epoch": 100, "state_dict": {f"module.{k}": v for k, v in release.items()}}
    torch.save(wrapped, tmp_path / "tsm.pth")
    model = load_tsm(tmp_path / "tsm.pth", keep_classifier=True, form=form).eval()
    assert (model.clip.sampling, model.clip.stride) == ("dense", 8)
    with torch.no_grad():
        expected = torch.stack([plain_tsm.logits(release, clip) for clip in clips()])
        assert expected.std() > 0.1
        torch.testing.assert_close(model(clips()), expected, atol=1e-4, rtol=0)


def test_a_new_head_for_other_classes(release: dict[str, Tensor], tmp_path: Path) -> None:
    renamed = {k.replace("new_fc", "base_model.classifier"): v for k, v in release.items()}
    save_file(renamed, tmp_path / "tsm.safetensors")
    model = load_tsm(tmp_path / "tsm.safetensors", num_classes=3, sampling="uniform")
    assert (model.num_classes, model.clip.sampling) == (3, "uniform")
    kept = release["base_model.features.18.0.weight"]
    assert torch.equal(model.head_conv.conv.weight, kept)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"base_model.features.3.conv.0.weight": torch.zeros(1)}, "conv.0.weight' is not one of"),
        ({"base_model.features.19.0.weight": torch.zeros(1)}, "features.19.0.weight' is not"),
        ({"surprise": torch.zeros(1)}, "'surprise'"),
        ({"base_model.features.4.conv.7.bias": None}, "missing: blocks.3.project.norm.bias"),
        ({"new_fc.weight": None}, "missing: classifier.weight"),
    ],
)
def test_entries_that_do_not_fit_are_named(
    release: dict[str, Tensor], tmp_path: Path, change: dict[str, Tensor | None], message: str
) -> None:
    changed = {k: v for k, v in {**release, **change}.items() if v is not None}
    save_file(changed, tmp_path / "changed.safetensors")
    with pytest.raises(CheckpointError, match=message) as caught:
        load_tsm(tmp_path / "changed.safetensors", keep_classifier=True)
    assert "changed.safetensors" in str(caught.value)


def test_what_is_asked_for_must_be_clear(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no TSM named 'tsm_resnet50'"):
        load_tsm(tmp_path / "x.pth", "tsm_resnet50", num_classes=2)
    with pytest.raises(CheckpointError, match="no checkpoint file at"):
        load_tsm(tmp_path / "x.pth", num_classes=2)
