"""Graphs of one step: the logits and states of the model, in both forms, whatever the memory."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from small_streams import small_stream
from video_mobile_former import UserError, create_model
from video_mobile_former.export.lowering import GraphForm, lower, lower_step
from video_mobile_former.export.lowering.steps import OwnStep, StepNet
from video_mobile_former.models.streaming import MemoryKind


def frames(batch: int) -> Tensor:
    torch.manual_seed(1)
    return torch.randn(batch, 3, 8, 32, 32)


def in_steps(net: StepNet | OwnStep, model: Any, x: Tensor, form: str) -> Tensor:
    states, found = tuple(model.init_state(len(x), 32).values()), []
    with torch.no_grad():
        for part in x.split(model.frames_per_update, dim=2):
            given = part if form == "volume" else part.transpose(1, 2).flatten(0, 1)
            logits, *states = net(given.contiguous(), *states)
            found.append(logits)
    return torch.stack(found, dim=1)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("form", get_args(GraphForm))
@pytest.mark.parametrize(
    "overrides",
    [
        *({"memory": kind} for kind in get_args(MemoryKind)),
        {"name": "vmf_1g", "frames_per_update": 1, "temporal_conv": "2plus1d"},
        {"frames_per_update": 4, "pool": "ema", "pool_seconds": 0.4},
        {"num_tokens": 0},
    ],
    ids=str,
)
def test_steps_give_the_logits_of_the_model(
    overrides: dict[str, Any], form: GraphForm, batch: int
) -> None:
    model, x = small_stream(**overrides), frames(batch)
    net = lower_step(model, form=form)
    assert isinstance(net, StepNet)
    with torch.no_grad():
        whole = model.forward_steps(x)
    torch.testing.assert_close(in_steps(net, model, x, form), whole, atol=1e-4, rtol=0)
    assert not any(parameter.requires_grad for parameter in net.parameters())


@pytest.mark.parametrize("form", get_args(GraphForm))
def test_any_other_streaming_model_runs_its_own_steps(form: GraphForm) -> None:
    model, x = small_stream(), frames(2)
    with torch.no_grad():
        whole = model.forward_steps(x)
    torch.testing.assert_close(in_steps(OwnStep(model, form), model, x, form), whole)


def test_a_clip_graph_is_refused_and_so_are_steps_of_a_clip_model() -> None:
    with pytest.raises(UserError, match="add --streaming"):
        lower(small_stream(), form="frames", num_frames=8)
    with pytest.raises(UserError, match="VideoMobileFormer is no streaming model"):
        lower_step(create_model("vmf_500m", 2), form="frames")
    with pytest.raises(UserError, match="bridges"):
        lower_step(small_stream(bridges="to_tokens"), form="frames")
