"""What every network of the package offers: features, head, another classifier."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from video_mobile_former.errors import UserError
from video_mobile_former.models import create_model

NAMES = (
    "vmf_500m",
    "vmf_500m_cnn",
    "x3d_xs",
    "movinet_a0",
    "tsm_mobilenetv2",
    "video_focalnet_n16",
)


def make(name: str, **arguments: Any) -> Any:
    torch.manual_seed(0)
    return create_model(name, 5, num_frames=3, crop_size=48, **arguments)


def clips() -> torch.Tensor:
    return torch.randn(2, 3, 3, 48, 40, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("form", ["volume", "frames"])
@pytest.mark.parametrize(
    ("name", "arguments"),
    [*((name, {}) for name in NAMES), ("vmf_500m", {"tokens_per": "frame"})],
    ids=str,
)
def test_features_and_head_are_the_whole_network(
    name: str, arguments: dict[str, Any], form: str
) -> None:
    model, x = make(name, form=form, **arguments).eval(), clips()
    with torch.no_grad():
        features = model.forward_features(x)
        features = features if isinstance(features, tuple) else (features,)
        assert features[0].shape[:3:2] == (2, 3)
        logits = model.forward_head(*features)
        torch.testing.assert_close(logits, model(x), atol=1e-5, rtol=1e-4)
        hidden = model.forward_head(*features, pre_logits=True)
        assert hidden.shape == (2, model.classifier.in_features)
        torch.testing.assert_close(model.classifier(hidden), logits)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_another_classifier_leaves_the_rest_alone(name: str, tmp_path: Any) -> None:
    model = make(name).double().eval()
    model.class_names = tuple("abcde")
    before = {k: v.clone() for k, v in model.state_dict().items()}
    model.reset_classifier(9)
    after = model.state_dict()
    changed = {k for k, v in after.items() if v.shape != before[k].shape or (v != before[k]).any()}
    assert changed == {"classifier.weight", "classifier.bias"}
    assert model(clips().double()).shape == (2, 9)
    assert (model.num_classes, model.architecture["num_classes"], model.class_names) == (9, 9, None)
    assert model.classifier.weight.dtype == torch.float64
    # As a new model starts: the spread of its weights, biases at nothing.
    fresh = make(name).classifier
    assert model.classifier.weight.std().item() == pytest.approx(fresh.weight.std().item(), rel=0.1)
    assert not model.classifier.bias.any()
    model.float().save_pretrained(tmp_path / "c")
    assert type(model).from_pretrained(tmp_path / "c").num_classes == 9


def test_a_classifier_of_nothing_is_refused() -> None:
    model = make("vmf_500m")
    with pytest.raises(UserError, match="num_classes must be"):
        model.reset_classifier(0)
    with pytest.raises(UserError, match="fused"):
        model.fuse().reset_classifier(3)
