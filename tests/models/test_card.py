"""Cards as the Hub reads them."""

from __future__ import annotations

from typing import Any

import pytest

from video_mobile_former.models import create_model
from video_mobile_former.models.card import render_card

MEASURED = {"top1": 0.81234567, "top5": 0.97, "mean_class": 0.8, "loss": 0.5, "clips": 40}


def card_of(**more: Any) -> str:
    model = create_model("vmf_500m", 3, num_frames=4, crop_size=32)
    model.class_names = ("a", "b", "c")
    return render_card({**model.to_config(), **more}, model.method)


def trained(path: str | None, **data: Any) -> dict[str, Any]:
    recipe = {"data": {"path": path, "val_split": "val", **data}}
    return {"training": {"recipe": recipe}, "measured": {"validation": MEASURED}}


@pytest.mark.parametrize(
    ("path", "name"), [("clips", "clips"), ("/home/me/My Clips/list.csv", "My Clips")]
)
def test_what_validation_measured_is_in_the_model_index(path: str, name: str) -> None:
    hub = pytest.importorskip("huggingface_hub")
    card = hub.ModelCard(card_of(license="apache-2.0", **trained(path)))
    assert card.data.pipeline_tag == "video-classification"
    assert card.data.license == "apache-2.0"
    found = {one.metric_type: one for one in card.data.eval_results}
    assert {kind: one.metric_value for kind, one in found.items()} == {
        "accuracy": 0.8123,
        "top_5_accuracy": 0.97,
        "mean_class_accuracy": 0.8,
    }
    one = found["accuracy"]
    assert (one.task_type, one.dataset_name, one.dataset_split) == (
        "video-classification",
        name,
        "val",
    )
    assert one.dataset_type == name.lower().replace(" ", "-")
    assert "/home/me" not in str(card.data)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"measured": {"validation": MEASURED}},
        {"measured": "81 % by hand", "training": {"recipe": {"data": {"path": "x"}}}},
        {"measured": {"validation": {"loss": 0.5}}, "training": trained("x")["training"]},
        trained(None),
    ],
)
def test_nothing_is_claimed_without_a_run(more: dict[str, Any]) -> None:
    hub = pytest.importorskip("huggingface_hub")
    assert hub.ModelCard(card_of(**more)).data.eval_results is None
