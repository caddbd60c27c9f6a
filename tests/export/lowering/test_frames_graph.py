"""The frames graph: the logits of its model, and only operators that mobile runtimes run."""

import pytest
import torch
from torch import nn

from video_mobile_former.export.lowering import lower
from video_mobile_former.export.lowering.frames import FramesNet
from video_mobile_former.export.lowering.frames_tokens import TokenNorm, softmax_over_tokens
from video_mobile_former.models import create_model


def settled_model(name: str, **overrides) -> nn.Module:
    """A model whose norms have seen data and whose vectors are not those of a fresh one."""
    torch.manual_seed(0)
    model = create_model(name, num_classes=5, num_frames=4, **overrides)
    with torch.no_grad():
        model(torch.randn(2, 3, 4, 48, 48))
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("vmf_500m", {}),
        ("vmf_500m", {"num_tokens": 0}),
        ("vmf_1g", {"temporal_conv": "2plus1d"}),
        ("vmf_1g", {"temporal_kernel": 1, "stem_temporal_kernel": 1}),
        ("vmf_2g", {"temporal_kernel": 5}),
    ],
    ids=str,
)
def test_logits_are_those_of_the_model(name, overrides, batch):
    model = settled_model(name, **overrides)
    graph = lower(model, form="frames", num_frames=4)
    clips = torch.randn(batch, 3, 4, 45, 50)
    with torch.no_grad():
        expected, found = model(clips), graph(clips.transpose(1, 2).flatten(0, 1))
    assert expected.std() > 1e-3
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_one_frame_is_a_clip():
    model = settled_model("vmf_1g")
    frame = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        found = lower(model, form="frames", num_frames=1)(frame)
        expected = model(frame[:, :, None])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.slow
def test_nothing_but_simple_operators_of_rank_four_is_left():
    graph = lower(settled_model("vmf_500m"), form="frames", num_frames=4)
    assert isinstance(graph, FramesNet)
    program = torch.export.export(graph, (torch.randn(4, 3, 32, 32),))
    nodes = [node for node in program.graph.nodes if node.op == "call_function"]
    used = {str(node.target).removeprefix("aten.").split(".")[0] for node in nodes}
    assert {"conv2d", "linear", "bmm", "softmax"} <= used
    refused = {"conv3d", "layer_norm", "matmul", "einsum", "expand", "select", "index", "repeat"}
    assert not used & refused
    assert max(node.meta["val"].dim() for node in nodes) <= 4
    convolutions = [node for node in nodes if node.target is torch.ops.aten.conv2d.default]
    assert all(conv.args[1].op == "placeholder" for conv in convolutions), "weights are constants"


def test_the_model_is_not_changed():
    model = settled_model("vmf_500m")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    graph = lower(model, form="frames", num_frames=4)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert not any(parameter.requires_grad for parameter in graph.parameters())


def test_softmax_over_tokens_stands_large_scores():
    scores = torch.randn(2, 3, 40) * 200
    torch.testing.assert_close(softmax_over_tokens(scores), scores.softmax(dim=1))


def test_token_norm_is_a_layer_norm():
    norm = nn.LayerNorm(24).requires_grad_(False)
    norm.weight.normal_()
    norm.bias.normal_()
    rows = torch.randn(6, 24) * 3 + 2
    torch.testing.assert_close(TokenNorm(norm)(rows), norm(rows), atol=1e-5, rtol=0)
