"""Which parts of the network run in INT8.

Found by measurement, see ``docs/lab-notes.md``. The rules go by kind of operator and not by name,
so that graphs may be rewritten.
"""

from __future__ import annotations

import importlib.metadata
from typing import Any

QUANTIZED = {
    "openvino": "stem and pointwise convolutions",
    "onnx": "pointwise convolutions",
    "litert": "pointwise convolutions",
    "executorch": "pointwise convolutions",
}
"""By target, what runs in INT8."""
KEPT = (
    "depthwise convolutions",
    "bridges and their softmax",
    "tokens' path",
    "dynamic ReLU and its slopes",
    "mean over places",
    "linear layers of the head",
)
"""What stays in floating point for every target; that is cheap, or loses most, or both."""


def describe_parts(tool: str, target: str) -> dict[str, Any]:
    """What an artefact says of its quantisation.

    Args:
        tool: Distribution that did it.
        target: A key of :data:`QUANTIZED`.
    """
    return {
        "tool": tool_version(tool),
        "int8": QUANTIZED[target],
        "kept": list(KEPT),
    }


def tool_version(tool: str) -> str:
    """Name and version of an installed distribution."""
    return f"{tool} {importlib.metadata.version(tool)}"
