"""The page of a training run: ``training.html`` in its folder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..evaluation.metrics.single_label import wilson_interval
from ..files import write_text
from ..page import chart_of, render
from .progress import in_words
from .recipe.fields import Recipe
from .recipe.read import recipe_differences
from .run.curves import curves_figure, read_curves
from .run.run_folder import RunFolder
from .samples import Sample
from .tally import BEST_NAMES, BestBy


def write_page(
    run: RunFolder,
    recipe: Recipe,
    *,
    by: BestBy,
    newest: bool = False,
    info: dict[str, Any],
    samples: Sequence[Sample] = (),
) -> None:
    """Write ``training.html`` of a run whose state is saved, all or nothing.

    Args:
        run: The folder.
        recipe: Its recipe.
        by: What decided which checkpoint is the best.
        newest: Whether nothing did, and ``best`` is the newest.
        info: What the checkpoints say of their training.
        samples: Validation clips with what the best checkpoint says of them.

    Raises:
        UserError: If a file cannot be written, or matplotlib or jinja2 is not installed.
    """
    write_text(run.page, render_page(run, recipe, by=by, newest=newest, info=info, samples=samples))


def render_page(
    run: RunFolder,
    recipe: Recipe,
    *,
    by: BestBy,
    newest: bool = False,
    info: dict[str, Any],
    samples: Sequence[Sample] = (),
) -> str:
    """The page, see :func:`write_page`; names may be any text, they are escaped."""
    state = run.load_state(tensors=False)
    best, latest, at = state["best"], state["latest"], state["position"]
    curves = read_curves(run.metrics)
    figure = curves_figure(curves, best["epoch"] if best else None)
    early = at["epoch"] < recipe.train.epochs
    return render(
        "training/training.html.jinja",
        name=run.path.name or str(run.path),
        model=recipe.model.name,
        data=recipe.data.path or "",
        clips=info["clips"],
        date=info["date"],
        headline=_headline(best, latest, by, newest=newest),
        chosen=not newest,
        epochs=at["epoch"],
        planned=recipe.train.epochs,
        early=early,
        patience=recipe.train.patience,
        finished=bool(state["finished"]),
        steps=at["step"],
        seconds=in_words(at["seconds"]),
        a_epoch=in_words(at["seconds"] / max(1, at["epoch"])),
        train_loss=f"{curves.train_loss[-1][1]:.3f}" if curves.train_loss else "–",
        latest=None if latest is None else _words(latest, by),
        chart_urls=chart_of(figure),
        num_points=curves.epochs,
        samples=[_row(one) for one in samples],
        num_right=sum(one.right for one in samples),
        recipe=_recipe_rows(recipe),
        device=info["device"],
        versions=", ".join(f"{name} {value}" for name, value in info["versions"].items()),
        checkpoint="best" if best else "last",
    )


def _headline(
    best: dict[str, Any] | None, latest: dict[str, Any] | None, by: BestBy, *, newest: bool
) -> dict[str, str] | None:
    if best is None:
        return None
    clips = best["clips"]
    text = f"{clips} validation clips"
    interval = ""
    if by == "top1" and clips:
        low, high = wilson_interval(round(best["top1"] * clips), clips)
        interval = f"95 % interval {100 * low:.1f} – {100 * high:.1f} % (Wilson)"
    return {
        "label": f"{'Last' if newest else 'Best'} validation {BEST_NAMES[by]}",
        "value": _words(best, by),
        "of": text,
        "interval": interval,
        "epoch": str(best["epoch"]),
    }


def _words(measured: dict[str, Any], by: BestBy) -> str:
    value = measured[by]
    return f"{value:.3f}" if by == "loss" else f"{100 * value:.1f} %"


def _row(one: Sample) -> dict[str, Any]:
    return {
        "name": one.name,
        "preview": one.preview,
        "true": ", ".join(one.true) or "none",
        "predicted": [(name, f"{score:.2f}") for name, score in one.predicted],
        "right": one.right,
    }


def _recipe_rows(recipe: Recipe) -> list[tuple[str, str]]:
    """What differs from the defaults, in the order of the fields."""
    return [(key, str(now)) for key, (_, now) in recipe_differences(Recipe(), recipe).items()]
