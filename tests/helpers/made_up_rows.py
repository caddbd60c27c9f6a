"""Rows as `measure` returns them, made up."""

from __future__ import annotations

from typing import Any


def row(model: str, latency_ms: float, **changes: Any) -> dict[str, Any]:
    """A row of one model with one thread and batch 1."""
    values = {
        "model": model,
        "runtime": "eager",
        "runtime_version": "2.13.0",
        "form": "frames",
        "precision": "fp32",
        "fused": True,
        "threads": 1,
        "batch": 1,
        "num_frames": 16,
        "size": 224,
        "streams": False,
        "ms_per_frame": latency_ms / 16,
        "latency_ms": latency_ms,
        "latency_ms_quartiles": [0.9 * latency_ms, 1.1 * latency_ms],
        "clock": "processor",
        "wall_ms": latency_ms,
        "processor_ms": latency_ms,
        "rounds": 15,
        "ms_per_clip": latency_ms,
        "clips_per_second": 1e3 / latency_ms,
        "macs": 1_000_000_000,
        "ms_per_gmac": latency_ms,
        "size_mb": None,
        "max_difference": None,
        "peak_memory_mb": 123.4,
        "loaded_memory_mb": 100.0,
        "busy": 1.0,
        "other_load": 0.1,
        "machine": "a processor, 2 cores",
    }
    return {**values, **changes}
