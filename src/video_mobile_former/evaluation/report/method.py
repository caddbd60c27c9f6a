"""The method section of a page, and the formatting of numbers."""

from __future__ import annotations

from collections.abc import Mapping

from ..result import Method


def method_rows(
    method: Method, total_views: float, averaging: Mapping[str, str]
) -> list[tuple[str, str]]:
    """Headings and texts that describe a method.

    Args:
        method: The method.
        total_views: Views per video.
        averaging: Descriptions of the two ways to average over views.
    """
    clip = method.clip
    sampling = clip.sampling_words
    if method.freeze_frames is not None:
        sampling += f"; all replaced by frame {method.freeze_frames} (from 0)"
    averaged = averaging[method.average] if total_views > 1 else "none: one view"
    padded = f", {method.num_padded} of them padded" if method.num_padded else ""
    seed = "none needed: scoring is deterministic"
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
        words += "; enough in time to cover each whole video, on average"
    return words


def _artefact_rows(method: Method) -> list[tuple[str, str]]:
    if method.artefact is None:
        return []
    facts = method.artefact
    return [
        ("Artefact", f"{facts['runtime']}, graph form {facts['form']}"),
        ("SHA-256", str(facts["sha256"] or "not recorded")),
    ]


def _precision(method: Method) -> str:
    if method.artefact is None:
        return {"32": "float32", "bf16": "bfloat16 autocast"}[method.precision]
    computed = "" if method.precision == "32" else ", computed in bfloat16"
    return f"{method.artefact['precision']} artefact{computed}"


def span(interval: tuple[float, float]) -> str:
    """An interval of shares as text, for example ``"43.6 – 97.0 %"``."""
    return f"{100 * interval[0]:.1f} – {100 * interval[1]:.1f} %"


def scale(score: float, interval: tuple[float, float] | None, base: float) -> dict[str, str]:
    """Positions on the headline's scale, in percent; no width where there is no interval."""
    low, high = interval or (score, score)
    return {
        "low": f"{100 * low:.2f}",
        "width": "" if interval is None else f"{100 * (high - low):.2f}",
        "point": f"{100 * score:.2f}",
        "base_at": f"{100 * base:.2f}",
    }


def named_part(name: str, start_seconds: float | None, end_seconds: float | None) -> str:
    """The name of a clip, with its part of the file."""
    if start_seconds is None and end_seconds is None:
        return name
    end = "end" if end_seconds is None else f"{end_seconds:g} s"
    return f"{name} ({start_seconds or 0:g} s – {end})"
