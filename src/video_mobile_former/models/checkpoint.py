"""Checkpoint folders: ``config.json``, ``model.safetensors`` and a ``README.md`` card.

A folder rebuilds its model without any other knowledge and without pickle. The same three files
go to and come from the Hugging Face Hub through ``huggingface_hub``'s mixin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from huggingface_hub import ModelCard, PyTorchModelHubMixin
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..clip_spec import ClipSpec
from ..errors import CheckpointError, UserError
from ..files import atomic_files, atomic_folder, check_replaceable, write_json
from ..untrusted import MAX_JSON, check_bounds, parse_json, read_bytes
from ..version import __version__
from .card import render_card
from .locate import CARD_NAME, CONFIG_NAME, WEIGHTS_NAME, checkpoint_folder

if TYPE_CHECKING:
    from typing_extensions import Self

CONFIG_FORMAT = 3
"""Format 2 says whether the model is multi-label; in format 1 none is. Format 3 says what follows
the head's convolution of a Video Mobile-Former; before, it was ReLU without the cap at 6."""
_FORMATS_READ = (1, 2, CONFIG_FORMAT)
_INFO = ("origin", "training", "measured", "license", "events")
MAX_CLIP = {"num_frames": 4096, "crop_size": 8192, "resize_size": 8192}


class CheckpointMixin(PyTorchModelHubMixin):
    """``from_pretrained``, ``save_pretrained`` and ``push_to_hub`` for checkpoint folders.

    A class that uses it keeps its constructor's arguments as plain data in ``architecture``.
    """

    architecture: dict[str, Any]
    """Constructor arguments, JSON data."""
    clip: ClipSpec
    """What the model takes."""
    class_names: tuple[str, ...] | None
    """Names of the logits in order, None where they are not known."""
    multi_label: bool
    """Each logit is a yes or no of its own (sigmoid); otherwise one of all classes (softmax)."""
    info: dict[str, Any]
    """``origin`` (weights of others that it started from), ``training`` (how it was made),
    ``measured`` (accuracy and how it was measured) and ``license`` of the weights; JSON data."""
    method: ClassVar[str]
    """The method and its paper, one line for the card."""
    fused: bool
    num_classes: int

    def save_pretrained(  # pyright: ignore[reportIncompatibleMethodOverride] - fewer options
        self,
        save_directory: str | Path,
        *,
        repo_id: str | None = None,
        push_to_hub: bool = False,
        overwrite: bool = False,
        **push_to_hub_kwargs: Any,
    ) -> str | None:
        """Write a checkpoint folder, all or nothing.

        Args:
            save_directory: The folder; other files in it are left alone.
            repo_id: Repository on the Hub, with ``push_to_hub``.
            push_to_hub: Also upload the folder.
            overwrite: Replace files of a checkpoint's names that this program did not write, such
                as a ``README.md``.
            push_to_hub_kwargs: Passed on to ``push_to_hub``.

        Raises:
            CheckpointError: If the model is fused, or class names and logits disagree.
            UserError: If the files cannot be written, or would replace others than a checkpoint;
                older ones are then unchanged.
        """
        push_to_hub_kwargs.pop("config", None)  # push_to_hub hands its own copy back to us
        push_to_hub_kwargs.pop("model_card_kwargs", None)
        folder = Path(save_directory)
        if self.fused:
            raise CheckpointError(
                f"cannot save {folder}: the model is fused; save the model it came from"
            )
        _check_names(self.class_names, self.num_classes, folder)
        files = [folder / name for name in (WEIGHTS_NAME, CARD_NAME, CONFIG_NAME)]
        check_replaceable(files, folder / CONFIG_NAME, overwrite=overwrite)
        others = folder.is_dir() and set(folder.iterdir()) - set(files)
        with atomic_files(files) if others else atomic_folder(folder) as new:
            for file in files:
                self._write(file.name, new / file.name)
        if push_to_hub:
            return self.push_to_hub(repo_id or folder.name, **push_to_hub_kwargs)
        return None

    @classmethod
    def from_pretrained(  # pyright: ignore[reportIncompatibleMethodOverride] - fewer options
        cls, pretrained_model_name_or_path: str | Path, **kwargs: Any
    ) -> Self:
        """Load a checkpoint folder, or one from the Hub.

        Args:
            pretrained_model_name_or_path: See :func:`~.locate.checkpoint_folder`.
            kwargs: As there.

        Returns:
            The model in eval mode.

        Raises:
            CheckpointError: If a file is missing, broken or does not fit.
        """
        folder = checkpoint_folder(pretrained_model_name_or_path, **kwargs)
        config = read_config(folder)
        if config["architecture"]["class"] != cls.__name__:
            raise CheckpointError(
                f"{folder / CONFIG_NAME} describes a {config['architecture']['class']}, "
                f"not a {cls.__name__}"
            )
        return cls.from_config(config, folder)

    @classmethod
    def from_config(cls, config: Mapping[str, Any], folder: Path) -> Self:
        """Rebuild the model of a configuration that :func:`read_config` returned."""
        where = folder / CONFIG_NAME
        arguments = config["architecture"]["arguments"]
        state = read_weights(folder / WEIGHTS_NAME)
        try:
            clip = ClipSpec.from_dict(config["clip"])
            with torch.device("meta"):  # costs no memory, whatever the numbers are
                sketch = cls(**arguments)
            assert isinstance(sketch, nn.Module)
            _check_fit(sketch, state, folder / WEIGHTS_NAME)
            model = cls(**arguments)
            model.clip = clip
        except CheckpointError:
            raise
        except (TypeError, ValueError, ArithmeticError, RuntimeError, UserError) as error:
            raise CheckpointError(f"{where}: {str(error).partition(chr(10))[0]}") from error
        names = config["class_names"]
        model.class_names = None if names is None else tuple(names)
        _check_names(model.class_names, model.num_classes, folder)
        model.multi_label = config["multi_label"]
        model.info = {k: config[k] for k in _INFO if k in config}
        assert isinstance(model, nn.Module)
        load_weights(model, state, folder / WEIGHTS_NAME)
        model.eval()
        return model

    def to_config(self) -> dict[str, Any]:
        """What ``config.json`` holds."""
        return {
            "format": CONFIG_FORMAT,
            "library": f"video-mobile-former {__version__}",
            "architecture": {"class": type(self).__name__, "arguments": self.architecture},
            "class_names": None if self.class_names is None else list(self.class_names),
            "multi_label": self.multi_label,
            "clip": self.clip.to_dict(),
            **self.info,
        }

    def generate_model_card(self, *args: Any, **kwargs: Any) -> ModelCard:
        """The ``README.md`` of the folder."""
        return ModelCard(self._card(), ignore_metadata_errors=True)

    def _card(self) -> str:
        return render_card(self.to_config(), self.method)

    def _write(self, name: str, path: Path) -> None:
        if name == CONFIG_NAME:
            write_json(path, self.to_config())
        elif name == CARD_NAME:
            path.write_text(self._card(), encoding="utf-8")
        else:
            assert isinstance(self, nn.Module)
            state = {k: v.detach().cpu().contiguous() for k, v in self.state_dict().items()}
            try:
                save_file(state, path, metadata={"format": "pt"})
            except SafetensorError as error:  # how safetensors reports a full disk
                raise OSError(None, str(error)) from error


def read_config(folder: str | Path) -> dict[str, Any]:
    """Read and check ``config.json`` of a checkpoint folder, as if written in the newest format.

    Raises:
        CheckpointError: If the folder or file is missing, is not JSON or lacks a key.
    """
    folder = Path(folder)
    path = folder / CONFIG_NAME
    if not folder.is_dir():
        raise CheckpointError(f"no checkpoint folder at {folder}")
    if not path.is_file():
        raise CheckpointError(
            f"{folder} is not a checkpoint folder: it has no {CONFIG_NAME} "
            f"(a training run keeps its checkpoints in 'best' and 'last')"
        )
    try:
        config = parse_json(read_bytes(path, MAX_JSON), path)
    except UserError as error:
        raise CheckpointError(f"{error}: no configuration") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{path} holds no configuration")
    missing = [
        key for key in ("format", "architecture", "class_names", "clip") if key not in config
    ]
    if missing:
        raise CheckpointError(f"{path} lacks {', '.join(missing)}: not written by this package?")
    if config["format"] not in _FORMATS_READ:
        raise CheckpointError(
            f"{path} has format {config['format']!r}; this version reads "
            + ", ".join(map(str, _FORMATS_READ))
        )
    if config["format"] == 1:
        config["multi_label"] = False
    if not isinstance(config.get("multi_label"), bool):
        raise CheckpointError(f"{path}: 'multi_label' must be true or false")
    architecture, names = config["architecture"], config["class_names"]
    if (
        not isinstance(architecture, dict)
        or not isinstance(architecture.get("class"), str)
        or not isinstance(architecture.get("arguments"), dict)
    ):
        raise CheckpointError(
            f"{path}: 'architecture' must hold 'class', a name, and 'arguments', an object"
        )
    try:
        check_bounds(architecture["arguments"], f"{path}: architecture.arguments")
        check_bounds(config["clip"], f"{path}: clip", MAX_CLIP)
    except UserError as error:
        raise CheckpointError(str(error)) from error
    if config["format"] < 3 and architecture["class"] == "VideoMobileFormer":
        architecture["arguments"].setdefault("head_activation", "relu")
    if names is not None and not (
        isinstance(names, list) and all(isinstance(name, str) for name in names)
    ):
        raise CheckpointError(f"{path}: 'class_names' must be a list of names or null")
    return config


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file.

    Raises:
        CheckpointError: If it is missing, truncated or no safetensors file.
    """
    if not path.is_file():
        raise CheckpointError(f"{path.parent} has no {path.name}")
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} cannot be read: truncated or no safetensors file ({error})"
        ) from error


def load_weights(model: nn.Module, state: Mapping[str, Tensor], source: str | Path) -> None:
    """Copy ``state`` into ``model``, refusing anything that does not fit exactly.

    Raises:
        CheckpointError: Names the first missing, unknown or misshapen entries.
    """
    _check_fit(model, state, source)
    model.load_state_dict(state)


def _check_fit(model: nn.Module, state: Mapping[str, Tensor], source: str | Path) -> None:
    own = model.state_dict()
    missing, unknown = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    misshapen = [
        f"{k} {tuple(state[k].shape)} instead of {tuple(own[k].shape)}"
        for k in sorted(own.keys() & state.keys())
        if state[k].shape != own[k].shape
    ]
    problems = [
        f"{what}: {_first(entries)}"
        for what, entries in (
            ("missing", missing),
            ("unknown", unknown),
            ("of another shape", misshapen),
        )
        if entries
    ]
    if problems:
        raise CheckpointError(f"{source} does not fit the model; {'; '.join(problems)}")


def _first(entries: Sequence[str], count: int = 3) -> str:
    more = len(entries) - count
    return ", ".join(entries[:count]) + (f" and {more} more" if more > 0 else "")


def _check_names(names: Sequence[str] | None, num_classes: int, folder: Path) -> None:
    if names is not None and len(names) != num_classes:
        raise CheckpointError(
            f"{folder}: {len(names)} class names but the head has {num_classes} classes"
        )
    if names is not None and len(set(names)) != len(names):
        twice = next(name for name in names if list(names).count(name) > 1)
        raise CheckpointError(f"{folder}: class name {twice!r} stands twice")
