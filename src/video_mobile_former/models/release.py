"""Weights that others published: reading their files without running what is in them."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import CheckpointError
from .checkpoint import load_weights, read_weights


def read_release(path: str | Path) -> dict[str, Tensor]:
    """Read the state dict of a released checkpoint without running code from it.

    Args:
        path: ``.safetensors``, or a file of ``torch.save``. The weights may stand at the top or
            under ``state_dict``, ``model``, ``model_state`` or ``state_dict_ema``, with or without
            ``module.`` before every name.

    Raises:
        CheckpointError: If the file is missing, broken or holds no state dict.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"no checkpoint file at {path}")
    if path.suffix == ".safetensors":
        return read_weights(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} cannot be read safely: it is truncated, no torch checkpoint, or holds objects "
            "other than tensors and plain values. If you trust it, load it yourself and save its "
            "state dict as .safetensors"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path} cannot be read: no torch checkpoint ({error})") from error
    for key in ("state_dict", "model", "model_state", "state_dict_ema"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not isinstance(content, Mapping) or not all(isinstance(v, Tensor) for v in content.values()):
        raise CheckpointError(f"{path} holds no state dict (names to tensors)")
    return {str(k).removeprefix("module."): v for k, v in content.items()}


def swap_start(key: str, table: Mapping[str, str]) -> str | None:
    """Put another start of a name in the place of the first of ``table`` that fits.

    Args:
        key: The name.
        table: New starts by old ones.

    Returns:
        The new name, None where no start fits.
    """
    for old, new in table.items():
        if key.startswith(old):
            return new + key[len(old) :]
    return None


def without_single_axes(value: Tensor, like: Tensor) -> Tensor:
    """(O, I, 1, k, k) as (O, I, k, k), or (O, I, 1, 1, 1) as (O, I), where that gives the shape."""
    single = [i for i in range(2, value.dim()) if value.shape[i] == 1]
    dropped = single[: value.dim() - like.dim()]
    return value.squeeze(dropped) if dropped else value


def load_release(
    model: nn.Module,
    release: Mapping[str, Tensor],
    rename: Callable[[str], str | None],
    source: str | Path,
    *,
    of: str,
    keep_classifier: bool,
    then: Callable[[dict[str, Tensor], Mapping[str, Tensor]], None] | None = None,
) -> None:
    """Load released weights into a model whose last layer is ``classifier``.

    Args:
        model: The model; weights that differ only in axes of length 1 fit it.
        release: The weights under the names of the release.
        rename: Gives the model's name of an entry, None where it has none.
        source: The file, for messages.
        of: Name of the network, for messages.
        keep_classifier: Load the last layer as well; otherwise the model keeps its own.
        then: Changes the renamed weights before they are loaded; also gets those of the model.

    Raises:
        CheckpointError: If an entry is missing, unknown or of another shape; it is named.
    """
    own = model.state_dict()
    state: dict[str, Tensor] = {}
    for key, value in release.items():
        new = rename(key)
        if new is None:
            raise CheckpointError(f"{source}: entry {key!r} is not one of {of}")
        state[new] = without_single_axes(value, own[new]) if new in own else value
    if then is not None:
        then(state, own)
    if not keep_classifier:
        state |= {key: own[key] for key in own if key.startswith("classifier.")}
    load_weights(model, state, source)


def head_classes(
    last: Tensor | None,
    num_classes: int | None,
    *,
    keep_classifier: bool,
    source: str | Path,
    caller: str,
) -> int:
    """Number of classes of a model that takes over released weights.

    Args:
        last: The file's last linear layer, (K, D); None where it lacks one.
        num_classes: As asked for.
        keep_classifier: Whether the file's last layer is kept.
        source: The file, for messages.
        caller: The function that loads, for messages.

    Raises:
        CheckpointError: If the number is not given or is another than the file's.
    """
    if not keep_classifier:
        if num_classes is None:
            raise CheckpointError(
                f"{caller} needs num_classes for a new head, or keep_classifier=True"
            )
        return num_classes
    if last is None:
        return num_classes or 1  # any will do: the weights are refused by name later
    if num_classes not in (None, last.shape[0]):
        raise CheckpointError(
            f"{source} has {last.shape[0]} classes, not {num_classes}; leave num_classes out to "
            "keep its classifier, or drop the classifier"
        )
    return last.shape[0]
