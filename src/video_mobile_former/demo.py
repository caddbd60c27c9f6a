"""The main road once from end to end, on procedural clips: what ``vmf demo`` runs.

Draws clips whose class is only in their motion (:mod:`.procedural`), trains the smallest model on
them at a small size, evaluates it on scenes it never saw, evaluates it again with every clip frozen
to one frame, and predicts one file: what ``vmf train``, ``evaluate`` and ``predict`` do.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .console import say
from .data.index.index import load_index
from .errors import RecipeError, UserError
from .evaluation import evaluate, write_report
from .files import is_ours, write_json
from .inference import Predictor
from .models.registry import load_checkpoint
from .procedural import ProceduralSpec, write_procedural
from .training.fit import FitResult, fit
from .training.recipe.fields import Recipe
from .training.recipe.read import load_recipe
from .training.recipe.shipped import shipped_path
from .training.run.run_folder import RunFolder

SCENES = {"train": 200, "val": 4, "test": 24}
"""Scenes a split; each is shown once in every class."""

CLIPS = ProceduralSpec(
    families=("motion", "periodic"),
    # A frame shows nothing of these: places start uniform on a torus and stay so. It does show what
    # grows or shrinks, and speeds and spins take longer to learn.
    classes=(
        "move_left",
        "move_right",
        "move_up",
        "move_down",
        "swing_horizontal",
        "swing_vertical",
    ),
    num_frames=8,
    size=64,
    # Easy to see, so that minutes of training will do.
    motion_blur=0.0,
    clutter=0.0,
    occluders=0.0,
    blips=0.0,
    background_motion=0.2,
    illumination=0.0,
    contrast=1.0,
    actor_size=2.0,
    background_contrast=0.2,
)
"""The clips of the demo; the recipe is ``training/recipes/demo.yaml``."""


@dataclass(frozen=True)
class DemoResult:
    """What the demo found."""

    top1: float
    """On held-out scenes, in [0, 1]."""
    frozen_top1: float
    """The same with every clip frozen to one frame."""
    chance: float
    num_clips: int
    """Held-out clips."""
    macs_per_view: int
    """Multiply-accumulates of one clip; one view a video."""
    report: str
    frozen_report: str
    checkpoint: str
    clips: str
    predicted: dict[str, Any]
    """``path``, ``label``, ``score`` of one file."""
    seconds: dict[str, float]
    """Time of each part and in ``total``."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {"format": 1, **dataclasses.asdict(self)}

    def summary(self) -> str:
        """Lines for a terminal."""
        parts = ", ".join(f"{k} {v:.0f} s" for k, v in self.seconds.items() if k != "total")
        kind = Path(self.predicted["path"]).parent.name
        guess = f"{self.predicted['label']} ({self.predicted['score']:.3f})"
        return "\n".join(
            [
                f"held-out top-1   {self.top1:6.1%}   ({self.num_clips} clips, scenes never seen)",
                f"frozen frames    {self.frozen_top1:6.1%}   (chance is {self.chance:.1%})",
                f"cost             {self.macs_per_view / 1e6:.0f} M MACs a video (1 view)",
                f"prediction       a clip of {kind} is taken for {guess}",
                f"time             {self.seconds['total']:.0f} s ({parts})",
                f"report           {self.report}",
                "",
                "Your own clips, one folder a class:",
                "  vmf train --data CLIPS --model vmf_500m --out runs/mine",
                "  vmf evaluate runs/mine/best --data CLIPS",
                "  vmf predict runs/mine/best FILE.mp4",
            ]
        )


def demo_recipe(data: Path, out: Path, seed: int) -> Recipe:
    """The shipped recipe ``demo`` for this data, folder and seed.

    Raises:
        RecipeError: If the seed is out of range.
    """
    recipe = load_recipe(shipped_path("demo"))
    data_recipe = dataclasses.replace(recipe.data, path=str(data))
    try:
        return dataclasses.replace(recipe, data=data_recipe, out=str(out), seed=seed)
    except RecipeError as error:
        raise RecipeError(f"demo: {error}") from error


def run_demo(
    out: str | Path,
    *,
    seed: int = 0,
    scenes: dict[str, int] | None = None,
    epochs: int | None = None,
) -> DemoResult:
    """Draw, train, evaluate, predict.

    An interrupted call goes on where it stopped; after a finished one everything but writing clips
    is done anew.

    Args:
        out: Folder for ``clips``, ``run``, ``report``, ``report-frozen`` and ``demo.json``.
        seed: Of scenes and training.
        scenes: In place of :data:`SCENES`, for quick trials.
        epochs: In place of the recipe's.

    Raises:
        UserError: If the seed is out of range, the folder holds other things or cannot be written.
    """
    out = Path(out)
    clips = out / "clips" / "clips.csv"
    recipe = demo_recipe(
        clips, out / "run", seed
    )  # refuses a wrong seed before anything is written
    done = out / "demo.json"
    if done.exists() and not is_ours(done):
        raise UserError(f"{done} is there and was not written by vmf: name another folder")
    RunFolder(out / "run").check_nothing_is_lost()
    seconds: dict[str, float] = {}
    with _timed(seconds, "total"):
        with _timed(seconds, "clips"):
            say(f"writing {len(CLIPS.classes)} motions into {clips.parent}")
            write_procedural(clips.parent, CLIPS, scenes or SCENES, seed)
        if epochs is not None:
            recipe = dataclasses.replace(
                recipe, train=dataclasses.replace(recipe.train, epochs=epochs)
            )
        with _timed(seconds, "training"):
            trained = _train(recipe, anew=done.exists())
        done.unlink(missing_ok=True)
        model = load_checkpoint(trained.last)
        index = load_index(clips, class_names=model.class_names)
        with _timed(seconds, "evaluation"):
            result = evaluate(model, index, split="test", num_workers=0, model_name="demo")
            frozen = evaluate(
                model,
                index,
                split="test",
                num_workers=0,
                freeze_frames=model.clip.num_frames // 2,
                model_name="demo, frozen frames",
            )
            report = write_report(result, out / "report")
            frozen_report = write_report(frozen, out / "report-frozen")
        example = index.split("test").clips[0].path
        guess = Predictor(model).predict(example, top_k=1)
    found = DemoResult(
        top1=result.metrics.top1,
        frozen_top1=frozen.metrics.top1,
        chance=1 / len(CLIPS.classes),
        num_clips=result.metrics.num_clips,
        macs_per_view=result.cost.macs_per_view,
        report=str(report),
        frozen_report=str(frozen_report),
        checkpoint=str(trained.last),
        clips=str(clips),
        predicted={"path": example, "label": guess.labels[0], "score": guess.scores[0]},
        seconds={name: round(value, 1) for name, value in seconds.items()},
    )
    write_json(done, found.to_dict())
    return found


def _train(recipe: Recipe, *, anew: bool) -> FitResult:
    try:
        return fit(dataclasses.replace(recipe, overwrite=anew))
    except RecipeError:
        if anew:
            raise
        # What lies there is an unfinished demo with other settings; nobody wants it continued.
        return fit(dataclasses.replace(recipe, overwrite=True))


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    began = time.monotonic()
    try:
        yield
    finally:
        seconds[name] = time.monotonic() - began
