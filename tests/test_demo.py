"""The demo from end to end, small; what its clips promise: no frame shows the class."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from video_mobile_former.cli.main import main
from video_mobile_former.demo import CLIPS, SCENES, demo_recipe, run_demo
from video_mobile_former.procedural import ProceduralVideo
from video_mobile_former.procedural.cast import sample_cast
from video_mobile_former.procedural.families import TABLE
from video_mobile_former.procedural.keyed_random import KeyedRandom
from video_mobile_former.training.recipe.read import load_recipe, recipe_differences
from video_mobile_former.training.recipe.shipped import shipped_path

FEW = {"train": 2, "val": 1, "test": 1}
CLASSES = len(CLIPS.classes)


def test_the_recipe_is_the_shipped_one() -> None:
    written = load_recipe(shipped_path("demo"))
    used = demo_recipe(Path("clips.csv"), Path("run"), seed=0)
    assert set(recipe_differences(written, used)) == {"data.path", "out"}


def test_a_wrong_seed_is_refused_before_anything_is_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "--out", str(tmp_path / "demo"), "--seed", "-1"]) == 2
    assert "seed: must be 0 to 4294967295, not '-1'" in capsys.readouterr().err
    assert not (tmp_path / "demo").exists()


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 2])
def test_demo_runs_and_runs_again(tmp_path: Path, times: int) -> None:
    for _ in range(times):
        result = run_demo(tmp_path / "demo", scenes=FEW, epochs=1)
        assert result.num_clips == CLASSES
        assert result.chance == 1 / CLASSES
        assert Path(result.report).is_file()
        assert Path(result.frozen_report).is_file()
        assert max(map(len, result.summary().splitlines())) <= max(80, len(result.report) + 17)
        assert json.loads((tmp_path / "demo" / "demo.json").read_text()) == result.to_dict()


@pytest.mark.slow
def test_an_unfinished_demo_with_other_settings_is_begun_anew(tmp_path: Path) -> None:
    run_demo(tmp_path, scenes=FEW, epochs=1)
    (tmp_path / "demo.json").unlink()  # as if the call had been stopped
    assert run_demo(tmp_path, scenes=FEW, epochs=2).num_clips == CLASSES


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_motion_is_learned_and_nothing_else(
    tmp_path: Path, seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "--out", str(tmp_path / "demo"), "--seed", str(seed), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["num_clips"] == CLASSES * SCENES["test"]
    assert result["top1"] >= 0.95
    # Chance is 1/6; the bound is four standard deviations of a guess above it.
    assert result["frozen_top1"] <= 0.29


# No frame shows the class -------------------------------------------------------------------


@pytest.mark.parametrize("name", CLIPS.classes)
def test_what_moves_has_the_same_distribution_in_every_frame(name: str) -> None:
    """Kolmogorov–Smirnov: places and angles start uniform on a circle, and stay so."""
    count = 600
    random = KeyedRandom.of(0, 0, torch.arange(count))
    still = sample_cast(random.fork("cast"), CLIPS)
    start = still.rows(torch.arange(count))
    family = next(family for family in CLIPS.families if name in TABLE[family])
    TABLE[family][name](still, random.fork(family))
    for same in ("size", "opacity", "glow", "count", "view"):
        assert torch.equal(getattr(still, same), getattr(start, same)), same
    assert still.wraps
    ideal = (torch.arange(count) + 0.5)[:, None, None] / count
    circles = torch.cat([still.xy + 0.5, still.angle[..., None] / (2 * torch.pi)], -1) % 1.0
    for moment in (0, circles.shape[2] // 3, circles.shape[2] - 1):
        found = circles[:, :, moment].sort(dim=0).values  # (N, actors, 3)
        # 1.95/sqrt(N) is exceeded once in a thousand.
        assert (found - ideal).abs().max() < 1.95 / count**0.5


def statistics(frames: Tensor) -> Tensor:
    """What a look at single frames (N, 3, S, S) gives: a coarse picture, contrasts, edges."""
    frames = frames.float() / 255
    coarse = torch.nn.functional.adaptive_avg_pool2d(frames, 4).flatten(1)
    spread = torch.nn.functional.adaptive_avg_pool2d(frames**2, 2).flatten(1)
    across = (frames[..., 1:] - frames[..., :-1]).abs().mean((-2, -1))
    down = (frames[..., 1:, :] - frames[..., :-1, :]).abs().mean((-2, -1))
    skew = (frames[..., 1:, 1:] - frames[..., :-1, :-1]).abs().mean((-2, -1))
    other = (frames[..., 1:, :-1] - frames[..., :-1, 1:]).abs().mean((-2, -1))
    return torch.cat([coarse, spread, across, down, skew, other], 1)


def probe_accuracy(train: Tensor, test: Tensor) -> float:
    """Accuracy of ridge regression from features (N, classes, D) to the class."""
    mean, std = train.mean((0, 1)), train.std((0, 1)) + 1e-6
    classes = train.shape[1]

    def prepared(features: Tensor) -> Tensor:
        z = ((features - mean) / std).flatten(0, 1)
        return torch.cat([z, torch.ones(len(z), 1)], 1)

    x = prepared(train)
    y = torch.eye(classes).repeat(len(train), 1)
    weights = torch.linalg.solve(x.T @ x + 10 * torch.eye(x.shape[1]), x.T @ y)
    predicted = (prepared(test) @ weights).argmax(1)
    return (predicted == torch.arange(classes).repeat(len(test))).float().mean().item()


def different_scenes(number: int) -> Tensor:
    """(number, classes, T, 3, S, S), each of another scene, so that nothing is alike at first."""
    video = ProceduralVideo(dataclasses.replace(CLIPS, num_frames=6, size=32), seed=0)
    labels = torch.arange(CLASSES).repeat(20)
    drawn = [
        video.draw(batch, torch.arange(len(labels)), labels).clips.transpose(1, 2)
        for batch in range(number // 20)
    ]
    return torch.cat(drawn).unflatten(0, (number, CLASSES))


@pytest.mark.slow
@pytest.mark.parametrize("frame", [0, 3, 5])
def test_a_probe_on_one_frame_is_at_chance(frame: int) -> None:
    clips = different_scenes(260)
    features = statistics(clips[:, :, frame].flatten(0, 1)).unflatten(0, (-1, CLASSES))
    accuracy = probe_accuracy(features[:160], features[160:])
    # 600 trials at 1/6: one standard deviation is 0.015.
    assert abs(accuracy - 1 / CLASSES) < 0.06


@pytest.mark.slow
def test_the_same_probe_sees_the_class_in_two_frames() -> None:
    """The probe is no straw man: given the motion, it does better than chance."""
    frames = different_scenes(80).float()
    first, second = frames[:, :, 0], frames[:, :, 1]
    # Products of a frame with its shifted successor: the simplest detector of direction.
    products = [
        (first * second.roll(shift, dims=axis)).mean((-3, -2, -1))
        for axis in (-1, -2)
        for shift in (-5, -3, 3, 5)
    ]
    features = torch.stack(products, -1) / (first * second).mean((-3, -2, -1))[..., None]
    assert probe_accuracy(features[:48], features[48:]) > 0.3
