"""Nested Python values with tensors in them, as one safetensors file: no pickle, quick to read.

The tensors are entries of the file; everything else, and where each tensor belongs, is JSON in its
header. So the numbers beside the tensors can be read without reading the tensors.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ...errors import UserError
from ...files import atomic_path

_FORMAT = "vmf-state-2"


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Write a state, all or nothing, and safe from a power cut when this returns.

    Args:
        path: The file.
        state: Dicts, lists, tuples, tensors, text, numbers, booleans and None.

    Raises:
        UserError: If it cannot be written; what stood there before is then unchanged.
    """
    tensors: dict[str, Tensor] = {}
    header = json.dumps(_pack(state, "", tensors))
    data = save(tensors, metadata={"format": _FORMAT, "state": header})
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def read_state(path: Path, *, tensors: bool = True) -> dict[str, Any]:
    """Read what :func:`write_state` wrote.

    Args:
        path: The file.
        tensors: Whether to read the tensors; otherwise each is None.

    Raises:
        UserError: If it is missing, broken or of another kind or version.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != _FORMAT:
                raise UserError(f"{path} was written by another version of this package")
            return _unpack(
                json.loads(metadata["state"]), file.get_tensor if tensors else lambda _: None
            )
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error


def _pack(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """JSON for ``value``; its tensors go to ``tensors`` under the path that leads to them."""
    if isinstance(value, Tensor):
        # A copy if it shares its memory, as safetensors wants each entry to own its bytes.
        tensors[name] = value.detach().cpu().contiguous()
        return {"tensor": name}
    if isinstance(value, dict):
        return {"dict": [[k, _pack(v, f"{name}/{k}", tensors)] for k, v in value.items()]}
    if isinstance(value, (list, tuple)):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [_pack(v, f"{name}/{i}", tensors) for i, v in enumerate(value)]}
    if value is None or isinstance(value, (str, int, float)):
        return value
    raise TypeError(f"{name} cannot be part of a state: {type(value).__name__}")


def _unpack(packed: Any, tensor: Callable[[str], Any]) -> Any:
    if not isinstance(packed, dict):
        return packed
    ((kind, content),) = packed.items()
    if kind == "tensor":
        return tensor(content)
    if kind == "dict":
        return {key: _unpack(value, tensor) for key, value in content}
    values = [_unpack(value, tensor) for value in content]
    return tuple(values) if kind == "tuple" else values
