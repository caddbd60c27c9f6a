"""The family as a table: what ``vmf models`` prints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import UserError
from ..models.registry import create_model, get_variant, list_models
from .cost import count_macs, count_parameters

NUM_CLASSES = 400


def cost_rows(filter: str = "") -> list[dict[str, Any]]:
    """Name, parameters, MACs of one view at the native clip, and input of each model.

    Args:
        filter: As for ``list_models``.

    Raises:
        UserError: If no name fits.
    """
    names = list_models(filter)
    if not names:
        raise UserError(f"no model name fits {filter!r}; known: {', '.join(list_models())}")
    rows = []
    for name in names:
        row: dict[str, Any] = {"name": name, "parent": get_variant(name).parent}
        for kind in ("3d", "2plus1d"):
            model = create_model(name, NUM_CLASSES, temporal_conv=kind)
            suffix = "" if kind == "3d" else "_2plus1d"
            row[f"parameters{suffix}"] = count_parameters(model)
            row[f"macs_per_view{suffix}"] = count_macs(model)
        row.update(
            num_frames=model.clip.num_frames,
            crop_size=model.clip.crop_size,
            num_tokens=model.num_tokens,
            num_classes=NUM_CLASSES,
        )
        rows.append(row)
    return rows


def format_rows(rows: Sequence[dict[str, Any]]) -> str:
    """A table of 80 columns."""
    columns = ("parameters", 12), ("MACs/view", 12), ("MACs 2plus1d", 14), ("frames", 8)
    head = "".join(f"{name:>{width}}" for name, width in columns)
    lines = [
        f"{'name':<10}{head}{'size':>7}{'tokens':>8}",
        *(
            f"{row['name']:<10}{row['parameters'] / 1e6:>10.2f} M"
            f"{row['macs_per_view'] / 1e9:>10.3f} G{row['macs_per_view_2plus1d'] / 1e9:>12.3f} G"
            f"{row['num_frames']:>8}{row['crop_size']:>6}²{row['num_tokens']:>8}"
            for row in rows
        ),
        "",
        f"MACs: multiply-accumulates of one view at its native clip, {NUM_CLASSES} classes; views",
        "multiply them. Any frames and sizes of at least 32 pixels run.",
    ]
    return "\n".join(lines)
