"""Caps of the networks: fixtures that pass every bound, compared with plain formulas.

A golden value that stays within a cap cannot show that it is missing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import caps
import plain_mobile_former
import plain_movinet
import plain_tsm
import plain_x3d
from video_mobile_former.models import VideoMobileFormer, load_movinet, load_tsm, load_x3d
from video_mobile_former.models.baselines.movinet_tables import MOVINETS
from video_mobile_former.models.baselines.tsm import TSMMobileNetV2
from video_mobile_former.models.variants import down, lite, mobile

ROWS = (lite(2, 8, stride=2), down(2, 8), mobile(2, 8), mobile(3, 12))
FORMS = ("volume", "frames")
# Means of what has passed a ReLU are not negative, so the hard swish behind the head's pooling
# meets no value below its lower bound.
UNREACHABLE = "hardswish low"


def clips(frames: int = 3, height: int = 40, width: int = 47) -> Tensor:
    return 2 * torch.randn(2, 3, frames, height, width, generator=torch.Generator().manual_seed(1))


def driven(frames: int = 3, **arguments: Any) -> VideoMobileFormer:
    torch.manual_seed(0)
    chosen: dict[str, Any] = {
        "blocks": ROWS,
        "stem_channels": 4,
        "num_tokens": 2,
        "token_dim": 16,
        "groups": 2,
        "head_dim": 24,
        "num_classes": 5,
    }
    model = VideoMobileFormer(**{**chosen, **arguments}).double()
    caps.drive(model, clips(frames).double())
    return model


def plain(model: VideoMobileFormer, x: Tensor) -> Tensor:
    return plain_mobile_former.logits(
        model.state_dict(),
        x,
        blocks=model.architecture["blocks"],
        groups=model.groups,
        head_limit={"relu6": 6.0, "relu": float("inf")}[model.architecture["head_activation"]],
    )


VARIANTS: list[dict[str, Any]] = [
    {},
    {"head_activation": "relu"},
    {"num_tokens": 0},
    {"groups": 1, "temporal_conv": "2plus1d"},
    {"temporal_kernel": 5, "stem_temporal_kernel": 5},
]


@pytest.mark.slow
@pytest.mark.parametrize("frames", [1, 2, 3])
@pytest.mark.parametrize("arguments", VARIANTS, ids=str)
def test_both_forms_cap_as_the_formulas_do(arguments: dict[str, Any], frames: int) -> None:
    model, x = driven(frames, **arguments), clips(frames).double()
    wanted = plain(model, x)
    assert wanted.std() > 0.01
    for form in FORMS:
        model.set_form(form)
        with torch.no_grad():
            torch.testing.assert_close(model(x), wanted, atol=1e-9, rtol=1e-9)
            torch.testing.assert_close(model.fuse()(x), wanted, atol=1e-8, rtol=1e-8)
        torch.testing.assert_close(model(x), wanted, atol=1e-9, rtol=1e-9)  # with gradients


@pytest.mark.slow
@pytest.mark.parametrize("arguments", VARIANTS[:3], ids=str)
@pytest.mark.parametrize("form", FORMS)
def test_every_bound_is_passed_and_shows(arguments: dict[str, Any], form: Any) -> None:
    model, x = driven(**arguments, form=form), clips().double()
    missed = caps.not_reached(caps.watched(lambda: model(x)))
    assert [name.split(" ", 1)[1] for name in missed] == [UNREACHABLE], missed
    hidden = caps.hidden_bounds(lambda: model(x), 1e-6)
    assert [name.split(" ", 1)[1] for name in hidden] == [UNREACHABLE], hidden


def test_the_network_has_the_caps_that_are_known() -> None:
    model, x = driven(), clips().double()
    found = [seen.name for seen in caps.watched(lambda: model(x))]
    # Gate, then slopes and their ReLU, then the ReLU inside the dynamic ReLU, twice a block.
    block = ["hardsigmoid", *["relu", "hardsigmoid", "relu"] * 2]
    head = ["hardsigmoid", "relu6", "hardswish", "hardswish"]
    assert found == ["relu6", "relu6", *block * 3, *head]


def test_the_head_follows_its_argument() -> None:
    x = clips().double()
    one, other = driven(), driven(head_activation="relu")
    other.load_state_dict(one.state_dict())
    assert (one(x) - other(x)).abs().max() > 0.1


def release(tmp_path: Path, state: dict[str, Tensor]) -> Path:
    path = tmp_path / "release.safetensors"
    save_file({k: v.float() if v.is_floating_point() else v for k, v in state.items()}, path)
    return path


def double(state: Any) -> dict[str, Tensor]:
    return {k: v.float().double() if v.is_floating_point() else v for k, v in state.items()}


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_tsm_caps_as_the_release_does(tmp_path: Path, form: Any) -> None:
    state = plain_tsm.random_release(5)
    for name, value in state.items():
        # What a norm before an activation gives lies on both sides of 0 and beyond 6.
        last = name.split(".")[-2] in ("4", "7") and ".conv." in name
        if name.endswith("weight") and value.dim() == 1 and not last:
            state[name] = value * 5
    model = load_tsm(release(tmp_path, state), "tsm_mobilenetv2", keep_classifier=True, form=form)
    model, x = model.double().eval(), clips(2, 40, 40).double()
    wanted = torch.stack([plain_tsm.logits(double(state), clip) for clip in x])
    with torch.no_grad():
        torch.testing.assert_close(model(x), wanted, atol=1e-8, rtol=1e-8)
    seen = caps.watched(lambda: model(x))
    assert {one.name for one in seen} == {"relu6"}
    assert len(seen) == 1 + 1 + 2 * 16 + 1
    assert not caps.not_reached(seen)
    small = TSMMobileNetV2(stages=((1, 8, 1, 1), (2, 8, 2, 2)), stem_channels=8, form=form)
    caps.drive(small, clips())
    assert not caps.hidden_bounds(lambda: small(clips()), 1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_x3d_and_movinet_saturate_as_their_releases_do(tmp_path: Path, form: Any) -> None:
    x = clips(2, 40, 40).double()
    state: Any = plain_x3d.random_release(5)
    widen(state, ("bn.weight", "se.fc1.bias", "se.fc2.bias"))
    path = release(tmp_path, state)
    model: Any = load_x3d(path, "x3d_s", keep_classifier=True, form=form).double().eval()
    compare(model, x, plain_x3d.logits(double(state), x), {"relu", "silu", "sigmoid"})
    table = MOVINETS["movinet_a0"]
    state = plain_movinet.random_release(table, 5)
    widen(state, ("norm.weight", "fc1.conv_1.conv3d.bias", "fc2.conv_1.conv3d.bias"))
    path = release(tmp_path, state)
    model = load_movinet(path, "movinet_a0", keep_classifier=True, form=form).double().eval()
    compare(model, x, plain_movinet.logits(double(state), table, x), {"silu", "sigmoid"})


def widen(state: dict[str, Tensor], endings: tuple[str, ...]) -> None:
    for name, value in state.items():
        if name.endswith(endings):
            state[name] = value * (4 if name.endswith("weight") else 40)


def compare(model: Any, x: Tensor, wanted: Tensor, names: set[str]) -> None:
    with torch.no_grad():
        found = model(x)
    torch.testing.assert_close(found, wanted, atol=0, rtol=1e-7)
    seen = caps.watched(lambda: model(x))
    assert {one.name for one in seen} == names
    assert not caps.not_reached(seen)
