"""The README.md card of a checkpoint folder, made from its configuration."""

from __future__ import annotations

from collections.abc import Mapping
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
    front = {
        "library_name": "video-mobile-former",
        "pipeline_tag": "video-classification",
        "tags": ["video-mobile-former", "action-recognition", "model_hub_mixin"],
    }
    license_ = config.get("license")
    if license_:
        front["license"] = license_
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


def _numbers(values: list[float]) -> str:
    return "(" + ", ".join(f"{v:g}" for v in values) + ")"
