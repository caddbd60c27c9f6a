"""Weights of the package: written from a run, loaded by name, refused in one clear line."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from video_mobile_former import UserError, create_model
from video_mobile_former.cli.train import recipe_from_words
from video_mobile_former.data.transforms import normalize
from video_mobile_former.errors import CheckpointError
from video_mobile_former.models import shipped_weights
from video_mobile_former.models.shipped_weights import load_shipped, weights_card
from video_mobile_former.procedural import ProceduralSpec, ProceduralVideo
from video_mobile_former.training.build import build_model
from video_mobile_former.training.recipe.read import recipe_to_dict
from video_mobile_former.training.run.run_folder import RunFolder

TOOL = Path(__file__).parents[2] / "tools" / "ship_weights.py"


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """A model as a run leaves it, and the folder that the tool made of it."""
    folder = tmp_path_factory.mktemp("run")
    recipe = recipe_from_words(["procedural_500m", "--out", str(folder)])
    torch.manual_seed(3)
    model = create_model("vmf_500m", 5, num_frames=4, crop_size=64)
    model.train()(torch.randn(4, 3, 4, 64, 64))  # statistics that are not those of the begin
    training = {"recipe": recipe_to_dict(recipe), "epoch": 2, "clips": 64, "seconds": 7200}
    model.info = {"training": {**training, "device": "x86_64", "versions": {}}}
    model.save_pretrained(folder / "last")
    RunFolder(folder).save_state({"finished": False})
    spec = importlib.util.spec_from_file_location("ship_weights", TOOL)
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    weights = folder / "weights"
    assert tool.main([str(folder), "--folder", str(weights)]) == 0
    assert tool.main([str(folder / "none"), "--folder", str(weights)]) == 2
    before = {path.name: path.read_bytes() for path in weights.iterdir()}
    for limit in ("MAX_BYTES", "MAX_DIFFERENCE"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tool, limit, 0)
            assert tool.main([str(folder), "--folder", str(weights)]) == 2
        # What stood there stays, and nothing beside it.
        assert {path.name: path.read_bytes() for path in weights.iterdir()} == before
    return model.eval(), weights


@pytest.fixture
def installed(shipped: tuple[Any, Path], monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(shipped_weights, "FOLDER", shipped[1])
    return shipped[0]


@pytest.mark.slow
def test_features_are_those_of_the_run(installed: Any) -> None:
    for overrides in ({}, {"num_frames": 8, "crop_size": 96}):
        model = create_model("vmf_500m", 3, weights="procedural", **overrides)
        assert model.training
        assert model.num_classes == 3
        assert model.clip.num_frames == overrides.get("num_frames", 16)
        clips = torch.randn(2, 3, 4, 64, 64)
        with torch.no_grad():
            mine, _ = model.eval().forward_features(clips)
            theirs, _ = installed.forward_features(clips)
        torch.testing.assert_close(mine, theirs, atol=0.02 * float(theirs.abs().max()), rtol=0.02)
    fresh = create_model("vmf_500m", 3)
    assert not torch.equal(fresh.stem.conv.weight, model.stem.conv.weight)


@pytest.mark.slow
def test_training_starts_from_them(installed: Any, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = recipe_from_words(["--model", "vmf_500m", "--weights", "procedural"])
    assert recipe.model.weights == "procedural"
    model = build_model(recipe, ("a", "b"))
    assert (
        "procedural weights of vmf_500m, with a new head for 2 classes" in capsys.readouterr().err
    )
    expected = installed.state_dict()
    for key, value in model.state_dict().items():
        if not key.startswith("classifier."):
            torch.testing.assert_close(value.float(), expected[key].half().float())
    assert model.classifier.out_features == 2


def test_the_card_says_how_they_were_made(installed: Any) -> None:
    card = weights_card("vmf_500m", "procedural")
    assert (card["license"], card["seed"], card["hours"]) == ("Apache-2.0", 0, 2.0)
    assert (card["clips_seen"], card["finished"]) == (128, False)
    assert card["recipe"]["data"]["format"] == "procedural"
    assert "out" not in card["recipe"], "a folder of somebody's machine is nobody's business"
    assert card["limits"]


def test_what_is_not_there_is_said_in_a_line(installed: Any) -> None:
    with pytest.raises(UserError, match=r"no procedural weights .* vmf_3g; .*: vmf_500m$"):
        create_model("vmf_3g", 2, weights="procedural")
    with pytest.raises(UserError, match=r"called 'procedurl'.*did you mean 'procedural'"):
        create_model("vmf_500m", 2, weights="procedurl")
    with pytest.raises(UserError, match=r"no procedural weights .*--model\.weights null starts"):
        build_model(recipe_from_words(["--model", "x3d_xs", "--weights", "procedural"]), ("a", "b"))
    with pytest.raises(CheckpointError, match="the procedural weights of vmf_500m does not fit"):
        create_model("vmf_500m", 2, weights="procedural", num_tokens=0)


def test_without_any_weights_too(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match="this version has none; vmf train procedural_500m makes some"
    ):
        load_shipped(create_model("vmf_500m", 2), "vmf_500m", "procedural", tmp_path)


def test_what_the_package_holds_is_small_and_whole() -> None:
    total = sum(path.stat().st_size for path in shipped_weights.FOLDER.glob("*.safetensors"))
    assert total <= 12_000_000
    for kind, names in shipped_weights.shipped_weights().items():
        for name in names:
            create_model(name, 2, weights=kind)
            assert json.dumps(weights_card(name, kind))


@pytest.mark.parametrize("name", ["vmf_500m", "vmf_1g"])
def test_those_of_the_package_keep_the_head_they_were_trained_with(name: str) -> None:
    assert weights_card(name, "procedural")["arguments"] == {"head_activation": "relu"}
    arguments: dict[str, Any] = {"num_frames": 4, "crop_size": 64}
    models: list[Any] = [
        create_model(name, 3, weights="procedural", **arguments, **chosen).eval()
        for chosen in ({}, {"head_activation": "relu6"})
    ]
    models[1].classifier.load_state_dict(models[0].classifier.state_dict())
    for model in models:
        model.head_conv.norm.bias.data.add_(4)  # random clips alone do not reach the cap
    x = 8 * torch.randn(2, 3, 4, 64, 64, generator=torch.Generator().manual_seed(0))
    seen: list[torch.Tensor] = []
    models[0].head_conv.register_forward_hook(lambda _, inputs, out: seen.append(out))
    with torch.no_grad():
        logits, capped = (model(x) for model in models)
    assert seen[0].max() > 6, "the clip must show the difference"
    # The head again, from what its convolution gave: the first form of this network had no cap.
    model: Any = models[0]
    with torch.no_grad():
        frames = seen[0].clamp_min(0).mean((2, 3)).unflatten(0, (2, 4)).mean(1)
        tokens = model.forward_features(x)[1][:, 0]
        pooled = torch.cat([torch.nn.functional.hardswish(frames), tokens], 1)
        hidden = torch.nn.functional.hardswish(model.head_norm(model.head_linear(pooled)))
        wanted = model.classifier(hidden)
    torch.testing.assert_close(logits, wanted, atol=1e-6, rtol=0)
    assert (logits - capped).abs().max() > 1e-4


def test_the_package_has_them_for_two_models() -> None:
    assert shipped_weights.shipped_weights() == {"procedural": ("vmf_1g", "vmf_500m")}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vmf_500m", pytest.param("vmf_1g", marks=pytest.mark.slow)])
def test_those_of_the_package_tell_motions_apart_with_a_line_through_their_features(
    name: str,
) -> None:
    card = weights_card(name, "procedural")
    assert card["license"] == "Apache-2.0"
    spec = ProceduralSpec(families=("order",), num_frames=8, size=64)
    # A seed of neither the training nor the validation of the run.
    batches = [ProceduralVideo(spec, seed=77).batch(i, 64) for i in range(4)]
    right = {}
    for weights in ("procedural", None):
        torch.manual_seed(0)
        model: Any = create_model(name, 2, weights=weights, num_frames=8, crop_size=64).eval()
        seen: list[torch.Tensor] = []
        model.classifier.register_forward_pre_hook(lambda _, x, seen=seen: seen.append(x[0]))
        with torch.no_grad():
            for batch in batches:
                model(normalize(batch.clips, model.clip))
        x = torch.cat(seen)
        x = (x - x[:192].mean(0)) / x[:192].std(0).clamp_min(1e-6)
        y = torch.cat([batch.labels for batch in batches])
        hot = torch.nn.functional.one_hot(y[:192]).float()
        kernel = x[:192] @ x[:192].T + 100 * torch.eye(192)
        found = (x[192:] @ x[:192].T @ torch.linalg.solve(kernel, hot)).argmax(1)
        right[weights] = (found == y[192:]).float().mean().item()
    assert right["procedural"] > 0.8, right
    assert right[None] < 0.5, right
