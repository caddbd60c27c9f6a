"""What a page says of cost and method whatever was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..result import REPORT_NAME, Cost, Method, giga


def common_content(
    method: Method, cost: Cost, notes: Sequence[str], averaging: Mapping[str, str]
) -> dict[str, Any]:
    """What a page says whatever was measured.

    Args:
        method: How it was measured.
        cost: Of the model.
        notes: What a reader must know.
        averaging: What to say of the two ways to average over views.
    """
    crops = f" × {cost.num_crops} crops" if cost.num_crops > 1 else ""
    return {
        "model": method.model,
        "data": method.data,
        "split": method.split,
        "num_clips": method.num_clips,
        "date": method.date[:10],
        "notes": notes,
        "total_macs": giga(cost.total_macs),
        "views": f"{cost.num_views:.4g} view{'s' if cost.num_views > 1 else ''}{crops}",
        "macs_per_view": giga(cost.macs_per_view),
        "parameters": giga(cost.parameters),
        "method": _method_rows(method, cost.total_views, averaging),
        "json_name": REPORT_NAME,
    }


def _method_rows(
    method: Method, total_views: float, averaging: Mapping[str, str]
) -> list[tuple[str, str]]:
    clip = method.clip
    sampling = clip.sampling_words
    if method.freeze_frames is not None:
        sampling += f"; all replaced by frame {method.freeze_frames} (from 0)"
    averaged = averaging[method.average] if total_views > 1 else "none: one view"
    padded = f", {method.num_padded} of them padded" if method.num_padded else ""
    seed = "none needed: scoring draws nothing at random"
    if method.training_seed is not None:
        seed += f"; training used {method.training_seed}"
    return [
        ("Data", method.data),
        ("Split", method.split or "all clips of the data"),
        ("Clips", str(method.num_clips) + padded),
        ("Frames", sampling),
        ("Views", _views_words(method)),
        ("Size", f"short side {clip.resize_size}, crop {clip.crop_size} × {clip.crop_size} pixels"),
        ("Averaging", averaged),
        *_artefact_rows(method),
        ("Precision", _precision(method)),
        (
            "Class order",
            "the same in data and model: checked"
            if method.class_order_checked
            else "not checked: the model has no class names",
        ),
        ("Device", method.device),
        ("Time", f"{method.seconds:.1f} s, decoding included"),
        ("Versions", ", ".join(f"{name} {version}" for name, version in method.versions.items())),
        ("Seed", seed),
        ("Date", method.date[:16].replace("T", " ") + " UTC"),
    ]


def _views_words(method: Method) -> str:
    words = f"{method.num_views:.4g} in time × {method.num_crops} in space"
    if method.full_views:
        words += "; as many in time as see the whole of each video, on average"
    return words


def _artefact_rows(method: Method) -> list[tuple[str, str]]:
    if method.artefact is None:
        return []
    facts = method.artefact
    return [
        ("Artefact", f"{facts['runtime']}, graph form {facts['form']}"),
        ("SHA-256", str(facts["sha256"] or "not noted")),
    ]


def _precision(method: Method) -> str:
    if method.artefact is None:
        return {"32": "float32", "bf16": "bfloat16 autocast"}[method.precision]
    computed = "" if method.precision == "32" else ", computed in bfloat16"
    return f"{method.artefact['precision']} artefact{computed}"
