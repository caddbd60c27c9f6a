"""The one way from a name, folder, Hub id or artefact to something that runs."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path

import torch

from ..errors import CheckpointError, UserError, check_path
from ..models.locate import WEIGHTS_NAME, checkpoint_folder
from ..models.registry import list_models, resolve_model
from ..models.video_model import VideoModel
from ..untrusted import MAX_JSON, read_bytes
from .artefact import ArtefactInfo, parse_info
from .runner import ExportedModel
from .stream import ExportedStream
from .targets.table import Runner, Target, get_target, known_endings, target_of


def load_model(
    name_or_path: str | Path, threads: int | None = None, *, precision: str = "32"
) -> VideoModel | ExportedModel:
    """Load a model to run it.

    Args:
        name_or_path: An artefact of ``vmf export``; a checkpoint folder, the folder of a training
            run or a repository on the Hub (see :func:`~..models.locate.checkpoint_folder`); or a
            name of :func:`.list_models` (untrained).
        threads: Of an artefact's runtime; None takes as many as torch uses. Other models use
            torch's, whatever is given here.
        precision: ``"32"``, or ``"bf16"`` to let an artefact's runtime compute in bfloat16. Other
            models are loaded in float32 in any case.

    Returns:
        A model in eval mode with ``clip``, ``class_names`` and ``multi_label``.

    Raises:
        UserError: If nothing of that name can be loaded; says why.
    """
    check_path("a model", name_or_path)
    path = Path(name_or_path)
    target = target_of(path)
    if target is not None and (path.exists() or str(name_or_path) not in list_models()):
        return load_artefact(path, threads, precision=precision)
    if path.is_file():
        hint = ""
        if path.suffix == ".json" and target_of(path.with_suffix("")) is not None:
            hint = f"; give {path.with_suffix('')}, which it describes"
        raise CheckpointError(
            f"{path} is neither a checkpoint folder nor an artefact "
            f"(which end in {known_endings()}){hint}"
        )
    return resolve_model(name_or_path)


def model_bytes(name_or_path: str | Path) -> int | None:
    """Bytes of the files that a device would hold: of an artefact all, of a checkpoint the weights.

    Args:
        name_or_path: As for :func:`load_model`.

    Returns:
        None where there are no such files.
    """
    target = target_of(name_or_path)
    try:
        if target is not None and Path(name_or_path).exists():
            return artefact_bytes(target, Path(name_or_path))
        return (checkpoint_folder(name_or_path) / WEIGHTS_NAME).stat().st_size
    except (OSError, UserError):
        return None


def artefact_bytes(target: Target, path: Path) -> int:
    """Bytes of all files of an artefact."""
    files = [
        file
        for part in target.files(path).values()
        for file in ([part] if part.is_file() else part.rglob("*"))
    ]
    return sum(file.stat().st_size for file in files if file.is_file())


def load_artefact(
    path: str | Path, threads: int | None = None, *, precision: str = "32"
) -> ExportedModel:
    """Load an artefact to run it.

    Args:
        path: Written by ``vmf export``.
        threads: Of its runtime, at least 1; None takes as many as torch uses.
        precision: ``"32"``, or ``"bf16"`` to compute in bfloat16 where the runtime can.

    Raises:
        CheckpointError: If it is missing, damaged or of another version.
        UserError: If its runtime is not installed, cannot run here or not in that precision.
    """
    path = Path(path)
    threads = torch.get_num_threads() if threads is None else threads
    if threads < 1:
        raise UserError(f"threads must be at least 1, not {threads}")
    info = read_info(path)
    target = get_target(info.target)
    if not target.runs_here:
        raise UserError(f"{path}: artefacts for {target.title} cannot be run here")
    load: Callable[..., Runner] = target.code.load
    if precision == "bf16":
        if not target.computes_bf16:
            raise UserError(f"{path}: artefacts for {target.title} do not compute in bf16")
        load = functools.partial(load, bf16=True)
    runner = load(path, info, threads)
    kind = ExportedModel if info.stream is None else ExportedStream
    return kind(info, runner, path=path, threads=threads, computes_in=precision)


def read_info(path: str | Path) -> ArtefactInfo:
    """The description of an artefact.

    The JSON beside it is taken where there is one, and must belong to it; otherwise the one inside.

    Raises:
        CheckpointError: If the artefact is missing, damaged, of another version or does not belong
            to the JSON beside it.
    """
    path = Path(path)
    target = target_of(path)
    if target is None:
        raise CheckpointError(
            f"{path} is no artefact: those of `vmf export` end in {known_endings()}"
        )
    for file in target.run_files(path).values():
        if not file.exists():
            raise CheckpointError(
                f"no artefact at {file}" if file == path else f"{file} is missing"
            )
        if not (file.is_dir() if target.is_folder else file.is_file()):
            raise CheckpointError(f"{file} is not a {'folder' if target.is_folder else 'file'}")
    beside = target.info_path(path)
    if not os.path.lexists(beside):
        return _checked(_embedded(path, target), target, path)
    try:
        text = read_bytes(beside, MAX_JSON)
    except UserError as error:
        raise CheckpointError(str(error)) from error
    info = _checked(parse_info(text, beside), target, beside)
    if info.sha256 != target.sha256(path):
        raise CheckpointError(
            f"{path} is not what {beside} describes (SHA-256 differs): it is damaged or was "
            "replaced; export again"
        )
    return info


def _embedded(path: Path, target: Target) -> ArtefactInfo:
    text = target.code.embedded(path)
    if text is None:
        raise CheckpointError(
            f"{path} says nothing of itself and there is no {target.info_path(path).name} beside "
            "it: was it written by `vmf export`?"
        )
    return parse_info(text, f"the metadata in {path}")


def _checked(info: ArtefactInfo, target: Target, where: Path) -> ArtefactInfo:
    if info.target != target.name:
        raise CheckpointError(
            f"{where} speaks of the target {info.target!r}, but the file ends like one for "
            f"{target.name!r}"
        )
    return info
