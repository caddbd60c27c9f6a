"""Other networks in the ``frames`` form: the same logits in operators that runtimes know."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from video_mobile_former.export.lowering import lower
from video_mobile_former.layers.conv import ConvNorm, SpatiotemporalConv, TemporalConv
from video_mobile_former.models import VideoMobileFormer, VideoModel, create_model
from video_mobile_former.models.baselines import BASELINES

# The first name of each class of networks of clips that has no graph of its own.
NAMES = {
    row.model: name
    for name, row in reversed(BASELINES.items())
    if row.model is not VideoMobileFormer and not name.endswith("_stream")
}.values()


def settled(name: str) -> VideoModel:
    """A network in which every residual and norm counts."""
    torch.manual_seed(0)
    model = create_model(name, 5, num_frames=4)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() <= 1:
                parameter.add_(0.5 + 0.1 * torch.randn_like(parameter))
        model(torch.rand(2, 3, 4, 48, 48))
    return model.eval()


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_logits_are_those_of_the_model(name: str, batch: int) -> None:
    model = settled(name)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    graph = lower(model, form="frames", num_frames=4)
    clips = torch.rand(batch, 3, 4, 45, 50)
    with torch.no_grad():
        expected, found = model(clips), graph(clips.transpose(1, 2).flatten(0, 1))
    scale = max(expected.abs().max().item(), 1.0)
    assert (found - expected).abs().max() <= 1e-5 * scale
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert not [m for m in graph.modules() if isinstance(m, (SpatiotemporalConv, TemporalConv))]
    norms = [[m for m in one.modules() if isinstance(m, ConvNorm)] for one in (model, graph)]
    assert len(norms[0]) == len(norms[1])


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_weights_are_constants_and_nothing_is_above_rank_four(name: str) -> None:
    graph = lower(settled(name), form="frames", num_frames=4)
    program = torch.export.export(graph, (torch.rand(4, 3, 32, 32),))
    nodes = [node for node in program.graph.nodes if node.op == "call_function"]
    convs = [node for node in nodes if "conv" in str(node.target)]
    assert len(convs) > 20
    assert all(node.args[1].op == "placeholder" for node in convs)
    values = [node.meta.get("val") for node in nodes]
    assert max(value.dim() for value in values if isinstance(value, Tensor)) <= 4
    assert isinstance(graph, nn.Module)
