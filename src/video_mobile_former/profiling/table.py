"""Models and their costs as a table: what ``vmf models`` prints.

Counting all models takes twelve seconds on a server core, and longer on a small board, so the
counts are stored beside this file. ``python tools/count_models.py`` writes them; a test recounts.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ..console import track
from ..errors import UserError
from ..models.baselines import BASELINES
from ..models.mobile_former_lite import LITES, lite_size
from ..models.registry import create_model, get_variant, known_models, list_models
from ..models.runnable import StreamingModel
from ..models.video_model import VideoModel
from .cost import count_macs, count_parameters

NUM_CLASSES = 400
COUNTED = Path(__file__).with_name("costs.json")
"""Result of :func:`count` by model name."""


def cost_rows(filter: str = "", *, recount: bool = False) -> list[dict[str, Any]]:
    """Name, parameters, MACs of one view at the native clip, and input of each model.

    Args:
        filter: As for ``list_models``.
        recount: Recount every model; else only those without stored counts.

    Raises:
        UserError: If no name matches.
    """
    names = list_models(filter)
    if not names:
        raise UserError(f"no model name fits {filter!r}{known_models(filter)}")
    known = {} if recount else _counted()
    counts = {name: known[name] for name in names if name in known}
    missing = [name for name in names if name not in counts]
    if missing:
        counts |= {name: count(name) for name in track(missing, description="counting")}
    return [{"name": name, **_about(name), **_per_frame(counts[name])} for name in names]


def count(name: str) -> dict[str, int]:
    """Parameters and MACs of one view of the native clip, and that clip's size.

    For the family also both with factorised temporal kernels; for streaming models also MACs per
    frame and how many frames they take at once.
    """
    costs = _costs(name)
    if name not in BASELINES and name not in LITES:
        other = _costs(name, temporal_conv="2plus1d")
        costs |= {f"{key}_2plus1d": value for key, value in other.items()}
    return costs | _input(name)


def _per_frame(counts: dict[str, int]) -> dict[str, int]:
    """With MACs per frame where frames are taken one after another."""
    if "frames_per_update" not in counts:
        return counts
    return counts | {"macs_per_frame": round(counts["macs_per_view"] / counts["num_frames"])}


@functools.cache
def _counted() -> dict[str, dict[str, int]]:
    return json.loads(COUNTED.read_text(encoding="utf-8"))


def _about(name: str) -> dict[str, Any]:
    if name in LITES:
        parent = f"efficientnet_{lite_size(name)}"
        tokens = _shapes(name).architecture["num_tokens"]
        about = {"baseline": False, "parent": parent, "num_tokens": tokens}
        return {**about, "num_classes": NUM_CLASSES}
    if name not in BASELINES:
        variant = get_variant(name)
        about = {"baseline": False, "parent": variant.parent, "num_tokens": variant.num_tokens}
        return {**about, "num_classes": NUM_CLASSES}
    baseline = BASELINES[name]
    published = [dataclasses.asdict(found) for found in baseline.published]
    about = {"baseline": True, "source": baseline.source, "published": published}
    return {**about, "num_classes": NUM_CLASSES}


def format_rows(rows: Sequence[dict[str, Any]]) -> str:
    """Tables of 80 columns: the family, on EfficientNet-Lite, its streaming models, the baselines.

    A table without rows is omitted.
    """
    streams = [row for row in rows if "frames_per_update" in row]
    lites = [row for row in rows if row["name"] in LITES]
    family = [row for row in rows if not row["baseline"] and row not in [*streams, *lites]]
    others = [row for row in rows if row["baseline"] and row not in streams]
    tables = [
        _family_lines(family),
        _lite_lines(lites),
        _stream_lines(streams),
        _baseline_lines(others),
    ]
    lines = "\n\n".join("\n".join(table) for table in tables if table).splitlines()
    notes = [
        "",
        f"MACs: multiply-accumulates of one view at its native clip, {NUM_CLASSES} classes; views",
        "multiply them. Any frames and sizes of at least 32 pixels run.",
    ]
    if lites:
        notes += ["Lite: EfficientNet-Lite with tokens; --weights imagenet starts from ImageNet."]
    if streams:
        notes += [
            "Streams: each frame is computed once; tokens are updated every so many frames",
            "('update'), and MACs/frame are those of a stream that never ends.",
        ]
    if any(row["published"] for row in others):
        notes += [
            "Reported: top-1 accuracy in its source, clips × crops of a video; not measured",
            "here.",
        ]
    return "\n".join(lines + notes)


def _costs(name: str, **overrides: Any) -> dict[str, int]:
    model = _shapes(name, **overrides)
    return {"parameters": count_parameters(model), "macs_per_view": count_macs(model)}


def _shapes(name: str, **overrides: Any) -> VideoModel:
    # Counting needs no weights, and initialising them takes longer than counting.
    with torch.device("meta"):
        return create_model(name, NUM_CLASSES, **overrides)


def _input(name: str) -> dict[str, int]:
    model = _shapes(name)
    found = {"num_frames": model.clip.num_frames, "crop_size": model.clip.crop_size}
    if isinstance(model, StreamingModel):
        found["frames_per_update"] = model.frames_per_update
    return found


def _family_lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    if not rows:
        return []
    columns = ("parameters", 12), ("MACs/view", 12), ("MACs 2plus1d", 14), ("frames", 8)
    head = "".join(f"{name:>{width}}" for name, width in columns)
    return [
        f"{'name':<10}{head}{'size':>7}{'tokens':>8}",
        *(
            f"{row['name']:<10}{row['parameters'] / 1e6:>10.2f} M"
            f"{row['macs_per_view'] / 1e9:>10.3f} G{row['macs_per_view_2plus1d'] / 1e9:>12.3f} G"
            f"{row['num_frames']:>8}{row['crop_size']:>6}²{row['num_tokens']:>8}"
            for row in rows
        ),
    ]


def _lite_lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    if not rows:
        return []
    columns = ("parameters", 10), ("MACs/view", 12), ("frames", 8), ("size", 7), ("tokens", 8)
    return [
        f"{'lite':<18}" + "".join(f"{name:>{width}}" for name, width in columns),
        *(
            f"{row['name']:<18}{row['parameters'] / 1e6:>8.2f} M"
            f"{row['macs_per_view'] / 1e9:>10.3f} G{row['num_frames']:>8}{row['crop_size']:>6}²"
            f"{row['num_tokens']:>8}"
            for row in rows
        ),
    ]


def _stream_lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    if not rows:
        return []
    columns = ("parameters", 10), ("MACs/frame", 12), ("MACs/view", 12), ("frames", 8)
    head = "".join(f"{name:>{width}}" for name, width in columns)
    return [
        f"{'stream':<18}{head}{'update':>8}{'size':>7}",
        *(
            f"{row['name']:<18}{row['parameters'] / 1e6:>8.2f} M"
            f"{row['macs_per_frame'] / 1e6:>10.1f} M{row['macs_per_view'] / 1e9:>10.3f} G"
            f"{row['num_frames']:>8}{row['frames_per_update']:>8}{row['crop_size']:>6}²"
            for row in rows
        ),
    ]


def _baseline_lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    if not rows:
        return []
    head = f"{'baseline':<16}{'parameters':>10}{'MACs/view':>12}{'frames':>8}{'size':>7}"
    return [
        f"{head}  reported",
        *(
            f"{row['name']:<16}{row['parameters'] / 1e6:>8.2f} M"
            f"{row['macs_per_view'] / 1e9:>10.3f} G{row['num_frames']:>8}{row['crop_size']:>6}²"
            f"  {_reported(row['published'])}".rstrip()
            for row in rows
        ),
    ]


def _reported(published: Sequence[dict[str, Any]]) -> str:
    """The first figure, for example ``73.1 K400, 10×1``."""
    if not published:
        return ""
    first = published[0]
    data = first["dataset"].replace("Kinetics-", "K")
    return f"{first['top1']:.1f} {data}, {first['num_views']}×{first['num_crops']}"
