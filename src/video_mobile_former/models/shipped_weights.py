"""Weights that come with the package: half precision, without a head, each with a card beside it.

They are made by a command of this repository and of nobody's data; ``tools/ship_weights.py`` turns
a training run into the two files.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from ..errors import CheckpointError, UserError, known_names
from .checkpoint import load_weights
from .streaming import clip_weights, with_memory
from .variants import STREAMS
from .video_model import VideoModel

FOLDER = Path(__file__).parents[1] / "weights"
HEAD = "classifier."
"""Begin of the names of what is not shipped: the layer that tells the classes."""


_KINDS = ("procedural",)


def shipped_weights(folder: Path | None = None) -> dict[str, tuple[str, ...]]:
    """The kinds of weights that come along, each with the models that have them.

    Args:
        folder: In place of that of the package.
    """
    found: dict[str, list[str]] = {}
    for entry in (folder or FOLDER).iterdir():
        model, dash, kind = entry.name.removesuffix(".safetensors").partition("-")
        if dash and entry.name.endswith(".safetensors"):
            found.setdefault(kind, []).append(model)
    return {kind: tuple(sorted(models)) for kind, models in sorted(found.items())}


def weights_card(name: str, weights: str) -> dict[str, Any]:
    """How shipped weights were made, measured and licensed, as JSON data.

    Args:
        name: The model, for example ``"vmf_500m"``.
        weights: The kind, for example ``"procedural"``.

    Raises:
        UserError: If there are none; says which there are.
    """
    name = check_shipped(name, weights)
    return json.loads((FOLDER / f"{name}-{weights}.json").read_text(encoding="utf-8"))


def shipped_arguments(name: str, weights: str) -> dict[str, Any]:
    """Constructor arguments that change no weight's shape, as shipped weights were trained with.

    Raises:
        UserError: If there are none; says which there are.
    """
    return weights_card(name, weights)["arguments"]


def load_shipped(model: VideoModel, name: str, weights: str, folder: Path | None = None) -> None:
    """Put shipped weights into a model, all but its head, which stays as it is.

    A streaming model without weights of its own takes those of its variant, see
    :func:`.streaming.clip_weights`.

    Args:
        model: Built from the name ``name``; frames, size and number of classes may be any.
        name: The model's name.
        weights: The kind, for example ``"procedural"``.
        folder: In place of that of the package.

    Raises:
        UserError: If there are none for this name; says which there are.
        CheckpointError: If the model was built with other layers than the weights are of.
    """
    found = check_shipped(name, weights, folder)
    file = f"{found}-{weights}.safetensors"
    try:
        state = load(((folder or FOLDER) / file).read_bytes())
    except SafetensorError as error:
        raise CheckpointError(f"{file} of this installation is broken: {error}") from error
    own: dict[str, Tensor] = model.state_dict()
    state |= {key: value for key, value in own.items() if key.startswith(HEAD)}
    state = with_memory(model, state) if found == name else clip_weights(model, state)
    load_weights(model, state, f"the {weights} weights of {found}")


def check_shipped(name: str, weights: str, folder: Path | None = None) -> str:
    """Refuse weights that did not come along.

    Returns:
        The name that they are under: of a streaming model, that of its variant where it has none.

    Raises:
        UserError: It says which did.
    """
    found = shipped_weights(folder)
    if weights not in found:
        hint = known_names(weights, found)
        if not found:
            hint = (
                "; this version has none; vmf train procedural_500m makes some, for --model FOLDER"
            )
        raise UserError(f"no weights called {weights!r} come with the package{hint}")
    for one in (name, STREAMS.get(name)):
        if one in found[weights]:
            return one
    raise UserError(
        f"no {weights} weights come with the package for {name}; "
        f"these have them: {', '.join(found[weights])}"
    )
