"""Learning streams: the loss by its equation, any source of clips, resuming, what is refused."""

from __future__ import annotations

import csv
import math
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from video_mobile_former.clip_spec import ClipSpec
from video_mobile_former.errors import RecipeError
from video_mobile_former.models import create_model, load_checkpoint
from video_mobile_former.training.clips.procedural_clips import ProceduralBatches, ProceduralClips
from video_mobile_former.training.clips.splicing import splice
from video_mobile_former.training.fit import fit
from video_mobile_former.training.objectives.choose import Known, make_objective
from video_mobile_former.training.objectives.streams import StreamLabels, rising
from video_mobile_former.training.recipe.fields import Recipe
from video_mobile_former.training.recipe.read import recipe_from_dict

Make = Callable[..., Recipe]
TINY: dict[str, Any] = {
    "model__name": "vmf_500m_stream",
    "model__frames_per_update": 2,
    "pretrain__task": "streams",
    "stream__clips": 2,
    "clip__num_frames": 4,
}
PROCEDURAL = {
    "data.format": "procedural",
    "data.num_workers": 0,
    "model.name": "vmf_500m_stream",
    "model.frames_per_update": 4,
    "pretrain.task": "streams",
    "pretrain.families": ["motion"],
    "pretrain.epoch_clips": 16,
    "pretrain.val_clips": 6,
    "stream.clips": 2,
    "stream.background": 0.5,
    "clip.num_frames": 8,
    "clip.crop_size": 32,
    "augment.horizontal_flip": False,
    "train.epochs": 2,
    "train.batch_size": 8,
    "train.device": "cpu",
    "train.log_every_n_steps": 1,
    "train.checkpoint_every_n_steps": 1,
}


class Plain(nn.Module):
    """Logits that are a function of the frames of each update alone."""

    def __init__(self, classes: int = 3):
        super().__init__()
        self.clip = ClipSpec(num_frames=4, crop_size=32, resize_size=32)
        self.multi_label, self.num_classes, self.frames_per_update = False, classes, 2
        self.weight = nn.Parameter(torch.randn(3, classes))

    def forward_steps(self, clip: Tensor) -> Tensor:
        means = clip.mean((3, 4)).unflatten(2, (-1, 2)).mean(3)
        return means.transpose(1, 2) @ self.weight


def made(recipe: Recipe, weights: Tensor | None = None) -> StreamLabels:
    """The objective of a streaming model of three classes."""
    return StreamLabels(recipe, create_model("vmf_500m_stream", 3, num_frames=4), weights)


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("views", [1, 2])
def test_the_loss_follows_its_equation(number: int, views: int) -> None:
    recipe = recipe_from_dict(
        {
            "pretrain.task": "streams",
            "stream.clips": number,
            "stream.first_weight": 0.25,
            "optim.label_smoothing": 0.0,
        }
    )
    torch.manual_seed(0)
    model, weights = Plain(), torch.tensor([0.5, 1.0, 1.5])
    clips = torch.randint(0, 255, (6, views, 3, 4, 32, 32), dtype=torch.uint8)
    batch: Any = {"clips": clips, "labels": torch.tensor([0, 2, 1, 1, 0, 2])}
    place = [0, 1, 2, 0]
    loss, figures = made(recipe, weights).step(model, batch, place)

    # Views of one video never meet in a stream: all first views, then all second ones.
    normal = (clips.float() / 255 - torch.tensor(model.clip.mean).view(3, 1, 1, 1)) / torch.tensor(
        model.clip.std
    ).view(3, 1, 1, 1)
    rows = torch.cat([normal[:, v] for v in range(views)])
    streams = splice(rows, batch["labels"].repeat(views), number, place)
    total = weight_sum = right = 0.0
    log_p = model.forward_steps(streams.frames).log_softmax(2).detach()
    for s in range(len(log_p)):
        for n in range(log_p.shape[1]):
            label, since = int(streams.targets[s, 2 * n + 1]), int(streams.since[s, 2 * n + 1])
            weight = 0.25 + 0.75 * since / 3
            total -= weight * float(weights[label]) * float(log_p[s, n, label])
            weight_sum += weight
            right += float(log_p[s, n].argmax() == label)
    assert loss.item() == pytest.approx(total / weight_sum, rel=1e-5)
    assert float(figures["top1"]) == pytest.approx(right / log_p[..., 0].numel() * 6 * views)


def test_weights_rise_with_the_time_a_clip_was_seen() -> None:
    found = rising(torch.tensor([0, 5, 10, 40]), 11, 0.2)
    torch.testing.assert_close(found, torch.tensor([0.2, 0.6, 1.0, 1.0]))


@pytest.mark.slow
def test_a_run_on_class_folders_or_a_list_from_clip_weights(make_recipe: Make, tmp_path: Path):
    clip = fit(make_recipe(out=str(tmp_path / "clip"), model__name="vmf_500m", train__epochs=1))
    recipe = make_recipe(out=str(tmp_path / "stream"), **{**TINY, "model__weights": str(clip.last)})
    result = fit(recipe)
    model: Any = load_checkpoint(result.last)
    assert model.frames_per_update == 2
    with torch.no_grad():
        assert model.forward_steps(torch.rand(1, 3, 4, 32, 32)).shape[:2] == (1, 2)
    rows = metrics(result.out)
    losses = [float(row["loss"]) for row in rows if row["row"] == "step"]
    assert len(losses) == 6
    assert all(map(math.isfinite, losses))
    started, trained = load_checkpoint(clip.last), model.state_dict()
    for key, value in started.state_dict().items():
        assert trained[key].shape == value.shape, key


@pytest.mark.slow
def test_a_resumed_run_computes_what_the_unbroken_one_would(tmp_path: Path):
    whole = fit(recipe_from_dict(PROCEDURAL | {"out": str(tmp_path / "whole")}))

    class BrokenOffError(Exception):
        pass

    recipe = recipe_from_dict(PROCEDURAL | {"out": str(tmp_path / "broken")})
    steps = 0
    plain = StreamLabels.step

    def breaking(self: StreamLabels, *args: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps == 4:
            raise BrokenOffError
        return plain(self, *args)

    StreamLabels.step = breaking  # type: ignore[method-assign]
    try:
        with pytest.raises(BrokenOffError):
            fit(recipe)
        steps = 100
        broken = fit(recipe)
    finally:
        StreamLabels.step = plain  # type: ignore[method-assign]
    first, second = (load_checkpoint(run.last).state_dict() for run in (whole, broken))
    assert first.keys() == second.keys()
    for key, value in first.items():
        assert torch.equal(value, second[key]), key


@pytest.mark.slow
def test_background_has_its_share_of_training_clips_and_its_turn_in_validation():
    recipe = recipe_from_dict(PROCEDURAL | {"stream.background": 0.4})
    clips = ProceduralClips(recipe)
    clips.spec = create_model("vmf_500m_stream", 3, num_frames=8, crop_size=32).clip
    assert clips.class_names[-1] == "nothing"
    count = len(clips.class_names)
    for part, share in ((0, 0.4 + 0.6 / count), (1, 1 / count)):
        batches = ProceduralBatches(
            clips, part=part, sizes=[90], augment=None, device=torch.device("cpu")
        )
        found = (batches[(0, 0)]["labels"] == count - 1).float().mean()
        assert abs(float(found) - share) < 0.15


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"model.name": "vmf_500m", "model.frames_per_update": None}, "streaming model"),
        ({"stream.clips": 16}, "stream.clips 16"),
        ({"clip.num_frames": 10}, "frames_per_update"),
        ({"data.format": "auto", "data.path": "some"}, "stream.background"),
        ({"pretrain.masked_weight": 0.5}, "pretrain.masked_weight"),
        ({"optim.temporal_smoothness": 0.5}, "optim.temporal_smoothness"),
    ],
)
def test_what_does_not_go_with_streams_is_named(changes: dict[str, Any], named: str):
    recipe = recipe_from_dict({**PROCEDURAL, **changes})
    name = recipe.model.name
    own: dict[str, Any] = {"frames_per_update": 4} if name.endswith("stream") else {}
    frames = recipe.clip.num_frames or 8
    model: Any = create_model(name, 3, num_frames=8, crop_size=32, **own)
    model.clip = types.SimpleNamespace(num_frames=frames)
    with pytest.raises(RecipeError, match=named):
        make_objective(Known(recipe, model))


@pytest.mark.slow
def test_a_checkpoint_folder_goes_with_its_own_variant_alone(make_recipe: Make, tmp_path: Path):
    create_model("vmf_500m", 8, num_frames=4, crop_size=32).save_pretrained(tmp_path / "clip")
    for name in ("vmf_1g_stream", "movinet_a0_stream", "vmf_500m"):
        changes = {**TINY, "model__name": name, "model__weights": str(tmp_path / "clip")}
        changes["model__frames_per_update"] = None
        with pytest.raises(RecipeError, match=rf"which {name} is not"):
            fit(make_recipe(out=str(tmp_path / "run"), **changes))


def metrics(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))
