"""The README.md card of a checkpoint folder, made from its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any


def render_card(config: Mapping[str, Any], method: str) -> str:
    """Write the card for a configuration as :meth:`CheckpointMixin.to_config` returns it.

    Args:
        config: The configuration.
        method: One line: the method and its paper.
    """
    import yaml  # only needed where a checkpoint is written

    arguments, clip = config["architecture"]["arguments"], config["clip"]
    names, size = config["class_names"], clip["crop_size"]
    front: dict[str, Any] = {
        "library_name": "video-mobile-former",
        "pipeline_tag": "video-classification",
        "tags": ["video-mobile-former", "action-recognition", "model_hub_mixin"],
    }
    license_ = config.get("license")
    if license_:
        front["license"] = license_
    results = _results(config)
    if results:
        front["model-index"] = [{"name": config["architecture"]["class"], "results": results}]
    # A card is also made of configurations that are not read from a file.
    kind = ", several of them at once" if config.get("multi_label") else ""
    sampling = clip["sampling"]
    if sampling == "dense":
        sampling += f", stride {clip['stride']} at {clip['stride_fps']:g} frames per second"
    lines = [
        "---",
        yaml.safe_dump(front, sort_keys=False).strip(),
        "---",
        "",
        f"# {config['architecture']['class']}, {arguments['num_classes']} classes{kind}",
        "",
        f"Action recognition in video. {method}",
        "",
        "```python",
        "from video_mobile_former import load_model",
        "",
        'model = load_model("path/to/this/folder")',
        "```",
        "",
        "or `vmf predict path/to/this/folder clip.mp4`.",
        "",
        "## Input",
        "",
        f"- {clip['num_frames']} RGB frames, sampling {sampling}",
        f"- short side resized to {clip['resize_size']}, centre crop of {size}×{size}",
        f"- values in [0, 1], mean {_numbers(clip['mean'])}, std {_numbers(clip['std'])}",
        "",
        "## Licence of the weights",
        "",
        license_ or "Not stated. It depends on the data they were trained on.",
        "",
    ]
    if names:
        lines += ["## Classes", "", *[f"{i}. {name}" for i, name in enumerate(names)], ""]
    for title, key in (
        ("Started from", "origin"),
        ("Training", "training"),
        ("Measured", "measured"),
    ):
        values = config.get(key)
        if values:
            body = yaml.safe_dump(values, sort_keys=False, allow_unicode=True).rstrip()
            lines += [f"## {title}", "", "```yaml", body, "```", ""]
    return "\n".join(lines)


_METRICS = {
    "top1": ("accuracy", "top-1"),
    "top5": ("top_5_accuracy", "top-5"),
    "mean_class": ("mean_class_accuracy", "mean over the classes"),
    "map": ("mean_average_precision", "mAP"),
}
"""Type and name, for the Hub, of what validation measures."""


def _results(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What was measured, as the Hub's ``model-index``: of the data only the last part of its path.

    Only what a training run wrote itself is told so; what a person has put into ``measured`` may be
    of any shape and stands below.
    """
    found: list[Any] = [config.get("measured"), config.get("training")]
    if not all(isinstance(one, Mapping) for one in found):
        return []
    measured, recipe = found[0].get("validation"), found[1].get("recipe")
    if not isinstance(measured, Mapping) or not isinstance(recipe, Mapping):
        return []
    data = recipe.get("data") or {}
    place = str(data.get("path") or data.get("annotations") or data.get("format") or "")
    name = PurePath(place).parent.name if PurePath(place).suffix else PurePath(place).name
    if not name:
        return []
    metrics = [
        {"type": kind, "name": title, "value": round(float(measured[key]), 4)}
        for key, (kind, title) in _METRICS.items()
        if isinstance(measured.get(key), int | float)
    ]
    if not metrics:
        return []
    split = str(data.get("val_split") or "validation")
    dataset = {"type": name.lower().replace(" ", "-"), "name": name, "split": split}
    task = {"type": "video-classification", "name": "Video classification"}
    return [{"task": task, "dataset": dataset, "metrics": metrics}]


def _numbers(values: list[float]) -> str:
    return "(" + ", ".join(f"{v:g}" for v in values) + ")"
