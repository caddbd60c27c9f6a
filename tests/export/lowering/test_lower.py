"""Lowered graphs: the same logits, whatever the form."""

import pytest
import torch

from video_mobile_former.errors import UserError
from video_mobile_former.export.lowering import lower
from video_mobile_former.models import create_model


def settled_model(name: str, **overrides) -> torch.nn.Module:
    """A small model whose BatchNorms have seen data, so that folding them is no identity."""
    torch.manual_seed(0)
    model = create_model(name, num_classes=5, **overrides)
    with torch.no_grad():
        for _ in range(2):
            model(torch.randn(2, 3, 4, 64, 64))
    return model.eval()


@pytest.mark.slow
@pytest.mark.parametrize("form", ["volume", "frames"])
@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("vmf_500m", {}),
        ("vmf_500m", {"num_tokens": 0, "temporal_conv": "2plus1d"}),
        ("vmf_500m", {"temporal_kernel": 1, "stem_temporal_kernel": 1}),
        ("vmf_1g", {"temporal_conv": "2plus1d"}),
        ("vmf_1g", {"num_tokens": 0}),
        ("vmf_2g", {"temporal_kernel": 5}),
    ],
)
def test_lowered_graphs_give_the_logits_of_the_model(name, overrides, form):
    model = settled_model(name, **overrides)
    clips = torch.randn(2, 3, 4, 68, 50)
    graph = lower(model, form=form, num_frames=4)
    inputs = clips if form == "volume" else clips.transpose(1, 2).flatten(0, 1)
    with torch.no_grad():
        difference = (graph(inputs) - model(clips)).abs().max()
    assert difference < 1e-5


def test_an_unknown_form_is_named():
    with pytest.raises(UserError, match="'rows'"):
        lower(settled_model("vmf_1g"), form="rows", num_frames=4)  # pyright: ignore[reportArgumentType]


def test_a_model_without_frames_form_is_named():
    with pytest.raises(UserError, match="Linear has no 'frames' form"):
        lower(torch.nn.Linear(2, 2), form="frames", num_frames=4)
