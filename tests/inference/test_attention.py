"""Attention of tokens: against softmax(QKᵀ) computed plainly, and models that have none."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import plain_mobile_former as plain
from exported import small_model
from procedural_files import write_clips
from video_mobile_former.data.transforms import normalize
from video_mobile_former.errors import UserError, VideoError
from video_mobile_former.inference.attention import (
    HEAD,
    attention_of,
    overlap,
    spread,
    token_attention,
)
from video_mobile_former.models import create_model, list_models
from video_mobile_former.models.video_mobile_former import VideoMobileFormer
from video_mobile_former.models.video_model import VideoModel

VARIANTS = [n for n in list_models("vmf_*", baselines=False) if "lite" not in n]


def plainly(
    monkeypatch: pytest.MonkeyPatch, model: VideoMobileFormer, clip: Tensor
) -> dict[str, Tensor]:
    """softmax(QKᵀ) of every bridge, (M, T, h, w) by name, from the weights alone."""
    found: dict[str, Tensor] = {}
    inner = plain.gather

    def gather(state: plain.State, name: str, z: Tensor, x: Tensor) -> Tensor:
        query = z[0] @ state[f"{name}.query.weight"].T + state[f"{name}.query.bias"]
        places = x[0].flatten(1)
        half = len(places) // 2
        heads = []
        for part in (slice(0, half), slice(half, None)):
            scores = np.asarray(query[:, part] @ places[part]) / math.sqrt(half)
            e = np.exp(scores - scores.max(axis=1, keepdims=True))
            heads.append(e / e.sum(axis=1, keepdims=True))
        found[name] = torch.from_numpy(sum(heads) / 2).unflatten(1, x.shape[2:])
        return inner(state, name, z, x)

    monkeypatch.setattr(plain, "gather", gather)
    rows = model.architecture["blocks"]
    with torch.inference_mode():
        plain.logits(model.state_dict(), clip[None], blocks=rows, groups=model.groups)
    return found


def lively(model: VideoModel) -> Any:
    """With attention that is far from even."""
    torch.manual_seed(5)
    for name, weight in model.named_parameters():
        if name.endswith("query.weight"):
            torch.nn.init.normal_(weight, std=0.3)
    return model.eval()


def compare(monkeypatch: pytest.MonkeyPatch, model: VideoMobileFormer, clip: Tensor) -> None:
    expected = plainly(monkeypatch, model, clip)
    by_block = {
        HEAD if name == "head_bridge" else int(name.split(".")[1]): one
        for name, one in expected.items()
    }
    assert len(by_block) > 1
    for block, one in by_block.items():
        found = token_attention(model, clip, block=block)
        torch.testing.assert_close(found, one, atol=2e-5, rtol=1e-3)
        assert found.sum(dim=(1, 2, 3)).numpy() == pytest.approx(1, abs=1e-5)
    # The mean over all, on the finest grid, cell by cell.
    fine = max(one.shape[-1] for one in by_block.values())
    mean = torch.zeros(model.num_tokens, clip.shape[1], fine, fine)
    for one in by_block.values():
        side = one.shape[-1]
        owners = [int((i + 0.5) * side / fine) for i in range(fine)]
        for i in range(fine):
            for j in range(fine):
                shared = owners.count(owners[i]) * owners.count(owners[j])
                mean[:, :, i, j] += one[:, :, owners[i], owners[j]] / shared / len(by_block)
    torch.testing.assert_close(token_attention(model, clip), mean, atol=2e-5, rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["volume", "frames"])
def test_weights_are_softmax_of_queries_and_features(
    monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    model = lively(create_model("vmf_500m", num_classes=4, num_frames=3, crop_size=32, form=form))
    torch.manual_seed(1)
    compare(monkeypatch, model, torch.randn(3, 3, 80, 80))


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in VARIANTS if n != "vmf_500m" and "stream" not in n])
def test_every_variant(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    torch.manual_seed(2)
    model = lively(create_model(name, num_classes=4, num_frames=3, crop_size=32))
    compare(monkeypatch, model, torch.randn(3, 3, 64, 64))


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in VARIANTS if "stream" in n])
def test_streaming_variants_give_each_update_an_equal_share(name: str) -> None:
    model = lively(create_model(name, num_classes=4, num_frames=8, crop_size=32))
    seen: list[tuple[Tensor, Tensor]] = []
    assert model.head_bridge is not None
    model.head_bridge.register_forward_hook(
        lambda module, inputs, output: seen.append((inputs[0].clone(), inputs[1].clone()))
    )
    torch.manual_seed(3)
    found = token_attention(model, torch.randn(3, 8, 64, 64), block=HEAD)
    spans = 8 // model.frames_per_update
    assert len(seen) == spans
    query_of = model.head_bridge.query.requires_grad_(False)
    parts = []
    for tokens, x in seen:  # x: (P, C, h, w)
        query = tokens[0] @ query_of.weight.T + query_of.bias
        rows = x.transpose(0, 1).flatten(1) if x.dim() == 4 else x[0].flatten(1)
        half = len(rows) // 2
        scores = [query[:, s] @ rows[s] / half**0.5 for s in (slice(0, half), slice(half, None))]
        parts.append(sum(one.softmax(-1) for one in scores) / 2)
    size = (8 // spans, *seen[0][1].shape[-2:])
    expected = torch.cat([part.unflatten(1, size) for part in parts], dim=1) / spans
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-3)


def test_tokens_of_each_frame_have_equal_shares() -> None:
    model = lively(
        create_model("vmf_500m", num_classes=4, num_frames=3, crop_size=32, tokens_per="frame")
    )
    weights = token_attention(model, torch.randn(3, 3, 64, 64), block=HEAD)
    assert weights.shape == (model.num_tokens, 3, 2, 2)
    assert weights.sum(dim=(2, 3)).numpy() == pytest.approx(1 / 3, abs=1e-5)


def test_uint8_is_normalised_and_the_model_left_as_it_was() -> None:
    model = lively(create_model("vmf_500m", num_classes=4, num_frames=3, crop_size=32)).train()
    clip = torch.randint(0, 256, (3, 3, 48, 48), dtype=torch.uint8)
    found = token_attention(model, clip)
    assert model.training
    torch.testing.assert_close(
        found, token_attention(model.eval(), normalize(clip[None], model.clip)[0])
    )
    # A fused copy, as predictors hold it, looks at the same places.
    torch.testing.assert_close(found, token_attention(model.fuse(), clip), atol=1e-4, rtol=1e-2)


def test_spread_keeps_the_weight_of_each_place() -> None:
    weights = torch.rand(2, 3, 4, 4)
    fine = spread(weights, 7, 9)  # no multiples of 4
    assert fine.shape == (2, 3, 7, 9)
    torch.testing.assert_close(fine.sum((2, 3)), weights.sum((2, 3)))
    rows = [int((i + 0.5) * 4 / 7) for i in range(7)]
    columns = [int((j + 0.5) * 4 / 9) for j in range(9)]
    chosen = fine[..., [i for i in range(7) if rows[i] == 2], :]
    chosen = chosen[..., [j for j in range(9) if columns[j] == 1]]
    torch.testing.assert_close(chosen.sum((2, 3)), weights[..., 2, 1])


def test_overlap_is_what_two_tokens_have_in_common() -> None:
    one, other = torch.zeros(1, 2, 2, 2), torch.zeros(1, 2, 2, 2)
    one[0, 0, 0] = 0.5  # on two places
    other[0, 0, 0, 0], other[0, 1, 1, 1] = 0.25, 0.75
    assert overlap(torch.cat([one, one])) == 1
    assert overlap(torch.cat([one, other])) == pytest.approx(0.25)
    assert overlap(one) == 1


@pytest.mark.slow
def test_the_clip_is_that_of_the_prediction(tmp_path: Path) -> None:
    clips = write_clips(tmp_path / "clips", {"test": 1}, size=80, num_frames=12)
    video = next(clips.parent.rglob("*.mp4"))
    found = attention_of(small_model(), video)
    assert found.clip.frames.shape == (4, 3, 64, 64)
    assert found.clip.frames.dtype == torch.uint8
    assert (np.diff(found.clip.times) > 0).all()
    expected = token_attention(small_model(), found.clip.frames.transpose(0, 1))
    torch.testing.assert_close(found.weights, expected)
    with pytest.raises(VideoError, match="no frames"):
        attention_of(small_model(), video, start_seconds=100.0)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: create_model("x3d_xs"), "X3D.*no tokens"),
        (lambda: create_model("movinet_a0"), "MoViNet.*no tokens"),
        (lambda: create_model("vmf_lite0"), "MobileFormerLite.*cannot be shown"),
        (lambda: create_model("vmf_500m", num_tokens=0), "num_tokens 0"),
        (lambda: create_model("vmf_500m", bridges="to_features"), "to_features"),
        (lambda: torch.nn.Linear(3, 3), "Linear.*no tokens"),
    ],
)
def test_models_without_tokens_are_refused_by_name(make: object, words: str) -> None:
    assert callable(make)
    with pytest.raises(UserError, match=words):
        token_attention(make(), torch.zeros(3, 4, 64, 64))


def test_wrong_blocks_and_clips_are_refused() -> None:
    with pytest.raises(UserError, match=r"block 0 has no bridge.*-1, 1, 2"):
        token_attention(small_model(), torch.zeros(3, 4, 64, 64), block=0)
    with pytest.raises(UserError, match=r"\(3, T, H, W\)"):
        token_attention(small_model(), torch.zeros(1, 3, 4, 64, 64))
    with pytest.raises(UserError, match="at least 32"):
        token_attention(small_model(), torch.zeros(3, 4, 16, 16))
