"""From models, runtimes and forms to contestants, exporting models where needed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ..clip_spec import ClipSpec
from ..console import say
from ..errors import CheckpointError, UserError
from ..export.artefact import ArtefactInfo, Channels
from ..export.exporting import export_model
from ..export.loading import artefact_bytes, read_info
from ..export.lowering import GraphForm
from ..export.request import ExportRequest
from ..export.targets.table import TARGETS, Target, get_target
from ..files import write_text
from ..models.registry import ARCHITECTURES
from ..models.runnable import StreamingModel
from ..models.video_model import VideoModel
from ..profiling.cost import count_macs, count_parameters
from ..profiling.machine import library_version
from .contestants import EAGER, Contestant, FormChoice, ModelChoice

ALL = "all"


def prepare(
    choices: Sequence[ModelChoice],
    *,
    runtimes: Sequence[str] = (EAGER,),
    form: FormChoice = "auto",
    batches: Sequence[int] = (1,),
    channels: Channels | None = None,
    folder: Path,
) -> list[Contestant]:
    """Make the contestants, exporting models to the requested runtimes.

    Args:
        choices: Models and artefacts; artefacts run in their own runtime and form.
        runtimes: ``eager``, names of export targets, or ``all`` for eager and every target that
            is installed and takes the model; the others are named on stderr.
        form: Graph form. ``auto`` takes the one that a runtime prefers, ``all`` all it has.
        batches: Batch sizes.
        channels: Position of the channels in the inputs of new artefacts; None for the faster
            one of each runtime.
        folder: Where artefacts are written. Artefacts of an earlier call with the same names,
            weights and code are reused.

    Raises:
        UserError: If a model, runtime or form is unknown, or an export fails.
    """
    for batch in batches:
        if batch < 1:
            raise UserError(f"batch must be at least 1, not {batch}")
    # Report misspelt names now, not after minutes of exporting the models before them.
    named = _named(runtimes)
    for choice in choices:
        choice.check()
    contestants = []
    for choice in choices:
        if choice.is_artefact:
            contestants += [_of_artefact(choice, batch) for batch in batches]
            continue
        model = choice.open()
        macs = count_macs(model)
        for runtime in named:
            try:
                contestants += _of_model(
                    choice, model, macs, runtime, form, batches, channels, folder
                )
            except UserError as error:
                if ALL not in runtimes or runtime in runtimes:
                    raise
                say(f"{choice.label} is skipped in {runtime}: {error}")
    return contestants


def _named(runtimes: Sequence[str]) -> list[str]:
    """Names without repetitions; ``all`` is expanded to what can run here."""
    names: list[str] = []
    for runtime in runtimes:
        if runtime == ALL:
            here = [t for t in TARGETS.values() if t.runs_here and t.own_runtime]
            names += [EAGER, *(target.name for target in here if installed(target))]
        elif runtime == EAGER:
            names.append(runtime)
        else:
            if not (get_target(runtime).runs_here and get_target(runtime).own_runtime):
                raise UserError(f"artefacts for {runtime} cannot be run here")
            names.append(runtime)
    return list(dict.fromkeys(names))


def installed(target: Target) -> bool:
    """Whether the libraries of a target are installed; missing ones are named on stderr."""
    missing = [name for name in target.packages if library_version(name) is None]
    if missing:
        say(
            f"{target.name} is skipped: {', '.join(missing)} is not installed "
            f"(pip install 'video-mobile-former[{target.extra}]')"
        )
    return not missing


def written_only(choice: ModelChoice, target: Target, folder: Path) -> dict[str, Any]:
    """Export an artefact that does not run here, and return its row, without times.

    Raises:
        UserError: If the target refuses the model.
    """
    model = choice.open()
    path = written(choice, model, target, target.forms[0], 1, folder)
    row = _of_info(choice, path, 1)
    return {
        "model": choice.label,
        "runtime": target.name,
        "form": row.form,
        "precision": row.precision,
        "macs": row.macs,
        "size_mb": round((row.size_bytes or 0) / 1e6, 3),
        "max_difference": None,
        "latency_ms": None,
        "ms_per_gmac": None,
    }


def _of_model(
    choice: ModelChoice,
    model: VideoModel,
    macs: int,
    runtime: str,
    form: FormChoice,
    batches: Sequence[int],
    channels: Channels | None,
    folder: Path,
) -> list[Contestant]:
    if runtime == EAGER:
        streams, frames = isinstance(model, StreamingModel), model.clip.num_frames
        clip = _clip(model)
        if isinstance(model, StreamingModel):  # a step is measured
            clip = (model.frames_per_update, clip[1])
            macs = round(macs * clip[0] / frames)
        return [
            Contestant(choice, EAGER, each, batch, clip, macs, streams=streams)
            for each in eager_forms(model, form)
            for batch in batches
        ]
    target = get_target(runtime)
    return [
        _of_info(choice, written(choice, model, target, each, batch, folder, channels), batch)
        for each in target_forms(target, form)
        for batch in batches
    ]


def eager_forms(model: VideoModel, form: FormChoice) -> list[GraphForm]:
    """Graph forms of eager PyTorch that ``form`` stands for."""
    if form == ALL:
        return ["frames", "volume"]
    chosen = model.form if form == "auto" else form
    return ["volume" if chosen == "volume" else "frames"]  # frames is what "auto" stands for


def target_forms(target: Target, form: FormChoice) -> list[GraphForm]:
    """Graph forms of a target that ``form`` stands for.

    Raises:
        UserError: If it does not run that form.
    """
    if form == ALL:
        return list(target.forms)
    if form == "auto":
        return [target.forms[0]]
    if form not in target.forms:
        raise UserError(f"{target.name} runs the form {' or '.join(target.forms)}, not {form}")
    return [form]


def _of_artefact(choice: ModelChoice, batch: int) -> Contestant:
    return _of_info(choice, Path(choice.name), batch)


def _of_info(choice: ModelChoice, path: Path, batch: int) -> Contestant:
    info = read_info(path)
    clip = choice.clip_of(info.clip)
    frames, macs = clip.num_frames, 0
    if info.stream is None:
        macs = _macs(info, clip, path)
    else:
        frames = info.stream.frames_per_update
        macs = info.stream.macs_per_frame * frames
        clip = info.clip
    return Contestant(
        choice,
        info.target,
        info.form,
        batch,
        (frames, clip.crop_size),
        macs,
        streams=info.stream is not None,
        path=str(path),
        precision=info.precision,
        layout=info.input.layout,
        size_bytes=artefact_bytes(get_target(info.target), path),
        max_difference=(info.parity or {}).get("max_difference"),
    )


def written(
    choice: ModelChoice,
    model: VideoModel,
    target: Target,
    form: GraphForm,
    batch: int,
    folder: Path,
    channels: Channels | None = None,
) -> Path:
    """The artefact of a model, compared with the model; exported now if it does not exist yet.

    Its shape is fixed, so that the runtime can plan for it.

    Raises:
        UserError: If the target refuses the model, or the outputs differ.
    """
    name = choice.label.replace("/", "_").strip("._")
    order = "" if channels is None else f"-channels_{channels}"
    path = folder / f"{name}-{form}{order}-batch{batch}{target.suffix}"
    key_file = path.with_name(path.name + ".key")
    key = _key(model, target)
    if path.exists() and key_file.is_file() and key_file.read_text(encoding="utf-8") == key:
        return path
    say(f"exporting {choice.label} for {target.title} ({form}, batch {batch})")
    request = ExportRequest(
        target.name,
        form=form,
        batch=batch,
        channels=channels,
        streaming=isinstance(model, StreamingModel),
    )
    export_model(model, path, request)
    write_text(key_file, key)
    return path


def _key(model: VideoModel, target: Target) -> str:
    """Key that changes with the weights, the clip, the export code and its libraries."""
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().contiguous().view(-1).numpy().tobytes())
    package = Path(__file__).parents[1]
    for part in ("layers", "models", "export"):
        for file in sorted((package / part).rglob("*.py")):
            digest.update(file.read_bytes())
    versions = [library_version(name) for name in (*target.packages, "torch")]
    digest.update(repr((model.clip, versions)).encode())
    return digest.hexdigest()


def _clip(model: VideoModel) -> tuple[int, int]:
    return model.clip.num_frames, model.clip.crop_size


def _macs(info: ArtefactInfo, clip: ClipSpec, path: Path) -> int:
    """Multiply-accumulates of one clip, which may differ from the artefact's own."""
    if (clip.num_frames, clip.crop_size) == (info.clip.num_frames, info.clip.crop_size):
        return info.macs_per_view
    kind = ARCHITECTURES.get(info.architecture["class"])
    if kind is None:
        raise UserError(f"this version does not know a {info.architecture['class']}")
    shape = (1, 3, clip.num_frames, clip.crop_size, clip.crop_size)
    try:
        with torch.device("meta"):  # costs no memory, whatever the numbers are
            model = kind(**info.architecture["arguments"])
        if count_parameters(model) != info.parameters:
            raise UserError(
                f"it has {count_parameters(model):,} parameters, not {info.parameters:,}"
            )
        return count_macs(model, shape)
    except (TypeError, ValueError, ArithmeticError, RuntimeError, UserError) as error:
        reason = str(error).partition("\n")[0]
        raise CheckpointError(f"the {kind.__name__} that {path} describes: {reason}") from error
