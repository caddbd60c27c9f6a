"""From a recipe to the things it names: the clips to train and validate on, and the model."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..clip_spec import ClipSpec
from ..console import say
from ..data.index.division import split_index
from ..data.index.formats.prepared import is_prepared
from ..data.index.formats.shards import is_shards
from ..data.index.index import ClipIndex, load_index
from ..data.index.listing import SPLIT_NAMES
from ..data.index.quarantine import list_of, read_quarantine, without
from ..data.index.same_file import in_files
from ..data.index.source import DataSource, WithLabels
from ..data.index.windows import event_windows
from ..data.video.backend import Reading
from ..errors import CheckpointError, DataError, RecipeError, UserError
from ..models.baselines import BASELINES
from ..models.checkpoint import CONFIG_NAME, load_weights, read_config
from ..models.imagenet_weights import IMAGENET, check_imagenet, load_efficientnet_lite
from ..models.locate import checkpoint_folder
from ..models.mobile_former import load_mobile_former
from ..models.mobile_former_lite import lite_size
from ..models.registry import create_model, get_variant, list_models, load_checkpoint
from ..models.shipped_weights import HEAD, check_shipped
from ..models.streaming import stream_of
from ..models.variants import STREAMS
from ..models.video_mobile_former import VideoMobileFormer
from ..models.video_model import VideoModel
from .objectives.choose import TASKS, task_of
from .recipe.fields import ClipRecipe, DataRecipe, ModelRecipe, Recipe

UNIFORM_SECONDS = 2.0
"""Window of a model with uniform sampling."""


def windows_of(recipe: Recipe) -> dict[str, Any]:
    """How windows are taken of data with times of events: arguments of
    :func:`~..data.index.windows.event_windows`."""
    data = recipe.data
    seconds = data.window_seconds
    if seconds is None:
        seconds = window_seconds_of(_clip_of(recipe))
    return {"seconds": seconds, "place": data.window_place, "background": data.background}


def window_seconds_of(clip: ClipSpec) -> float:
    """Length of the windows in which a model sees long video, unless another is asked for."""
    return clip.num_frames * clip.stride_seconds if clip.sampling == "dense" else UNIFORM_SECONDS


def _clip_of(recipe: Recipe) -> ClipSpec:
    """What the model of a recipe takes, without building it."""
    start = start_folder(recipe.model)
    if start is not None:
        clip = ClipSpec.from_dict(read_config(start)["clip"])
    else:
        with torch.device("meta"):
            clip = create_model(recipe.model.name, 2).clip
    return adapt_clip(clip, recipe.clip)


def build_indexes(
    recipe: Recipe, *, excluded: Path | None = None
) -> tuple[ClipIndex, ClipIndex | None]:
    """Find the clips to train and to validate on.

    Args:
        recipe: Where they are.
        excluded: List of the clips that a run to be continued has left out, in place of those that
            the recipe and ``vmf data check`` name; it need not exist.

    Returns:
        The training clips and, unless the recipe wants none, the validation clips. The order of
        classes is that of the checkpoint to fine-tune from where the names are the same ones.

    Raises:
        DataError: If the data cannot be read or divided as asked.
        RecipeError: If no data is named.
    """
    data = source = recipe.data
    if not task_of(recipe).labels and _any_videos(source):
        source = dataclasses.replace(source, format="unlabelled")
    faults = WithLabels() if _in_one_list(recipe) else None
    index = load_index(source, faults=faults)
    start = start_folder(recipe.model)
    if start is not None:
        names = tuple(read_config(start)["class_names"] or ())
        if names != index.class_names and set(names) == set(index.class_names):
            # Refused where the data tells an order of its own.
            of = f"checkpoint {start}"
            index = load_index(source, class_names=names, class_names_of=of, faults=faults)
    train, val = _divide(_without(index, data, source.place, excluded), data, recipe.seed, excluded)
    if train.intervals:
        windows = windows_of(recipe)
        train = event_windows(train, **windows)
        if val is not None:
            val = event_windows(val, **windows)
            if val.class_names != train.class_names:
                raise DataError(f"{val.source}: its classes are not those of {train.source}")
        say(f"{index.source}: windows of {windows['seconds']:g} s from the events of its files")
    if val is not None and val.multi_label != train.multi_label:
        raise DataError(
            f"{val.source}: {'multi-label' if val.multi_label else 'one class a clip'}, which the "
            f"training clips of {train.source} are not"
        )
    absent = [name for name, n in zip(train.class_names, train.counts(), strict=True) if not n]
    if absent:
        say(f"{train.source}: no clip to train on for {', '.join(absent)}")
    if len(train) < 2:
        raise DataError(f"{train.source}: {len(train)} clip to train on; at least 2 are needed")
    return train, val


def _in_one_list(recipe: Recipe) -> bool:
    """Whether clips with and without labels stand in one list."""
    data = recipe.data
    return recipe.pretrain.task == "svformer" and data.unlabelled in (None, data.path)


def build_unlabelled(recipe: Recipe, train: ClipIndex, val: ClipIndex | None) -> ClipIndex | None:
    """Find the clips without labels to learn from; None where the recipe wants none.

    Clips that are validated on, or that stand in another split than the training clips, are
    excluded, under any name and as copies: what a model is measured on it may not learn from, not
    even without labels.

    Args:
        recipe: Where they are.
        train: The labelled clips.
        val: The validation clips.

    Raises:
        DataError: If there are none, or none is left.
        RecipeError: If ``pretrain.task`` wants others.
    """
    data = recipe.data
    if task_of(recipe) is not TASKS["svformer"]:
        if data.unlabelled is not None:
            raise RecipeError(
                f"data.unlabelled: pretrain.task {recipe.pretrain.task} takes no clips without "
                "labels beside the others"
            )
        return None
    place = data.unlabelled or data.place
    if data.unlabelled is None and not data.listing.is_file():
        raise RecipeError(
            "pretrain.task svformer: say where the clips without labels are, --unlabelled FOLDER; "
            "only in a list may they be the rows without a label"
        )
    root = data.root if place == data.path else None
    found = load_index(DataSource(path=place, format="unlabelled", root=root))
    own = {None, SPLIT_NAMES.get(data.train_split, data.train_split)}
    measured = set() if val is None else {clip.path for clip in val.clips}
    present = train.splits()
    if present or place == data.path:
        whole = load_index(data, faults=WithLabels() if _in_one_list(recipe) else None)
        measured |= {clip.path for clip in whole.clips if clip.split not in own}
    left_out = set(in_files([clip.path for clip in found.clips], measured))
    left_out |= {i for i, clip in enumerate(found.clips) if clip.split not in own}
    kept = [i for i in range(len(found)) if i not in left_out]
    if left_out:
        first = min(left_out)
        say(
            f"{place}: {len(found) - len(kept)} clips are measured on and not learned from, "
            f"such as {found.clips[first].name}"
        )
    if not kept:
        raise DataError(f"{place}: no clip without a label that is not measured on")
    return dataclasses.replace(found, clips=found.table.take(np.array(kept, dtype=np.int64)))


def _any_videos(source: DataSource) -> bool:
    """Whether data that needs no labels is a mere folder of videos."""
    folder = source.listing
    if source.format != "auto" or is_shards(source.shown) or not folder.is_dir():
        return False
    return not is_prepared(folder)


def reading_of(recipe: Recipe) -> Reading:
    """How the videos of a recipe are read."""
    decode = recipe.decode
    return Reading(
        decode.backend,
        decode.device,
        recipe.data.frame_rate,
        decode.damaged_share,
        decode.partial,
    )


def excluded_by(data: DataRecipe) -> dict[str, str]:
    """The clips that a new run leaves out, with the reasons."""
    paths = (data.place, data.val_path)
    files = {list_of(data.quarantine, path) for path in paths if path is not None}
    found: dict[str, str] = {}
    for file in files:
        if file is not None:
            found |= read_quarantine(file)
    return found


def _without(index: ClipIndex, data: DataRecipe, path: str, excluded: Path | None) -> ClipIndex:
    if excluded is not None:
        return without(index, excluded, of_run=True) if excluded.exists() else index
    file = list_of(data.quarantine, path)
    return index if file is None else without(index, file, of_run=False)


def _divide(
    index: ClipIndex, data: DataRecipe, seed: int, excluded: Path | None
) -> tuple[ClipIndex, ClipIndex | None]:
    present = index.splits()
    train = index.split(data.train_split) if present else index
    if data.val_path is not None:
        source = dataclasses.replace(
            data, path=data.val_path, annotations=None, multi_label=index.multi_label
        )
        other = load_index(
            source, class_names=index.class_names, class_names_of="the training data"
        )
        other = _without(other, data, data.val_path, excluded)
        return train, other.split(data.val_split) if data.val_split in other.splits() else other
    if data.val_split in present:
        return train, index.split(data.val_split)
    if data.val_fraction == 0:
        return train, None
    rest, held = split_index(train, data.val_fraction, seed)
    say(
        f"{index.source}: no split {data.val_split!r}; {len(held)} of {len(train)} clips are held "
        "out for validation"
    )
    return rest, held


def build_model(
    recipe: Recipe, class_names: tuple[str, ...], *, multi_label: bool = False
) -> VideoModel:
    """Make the model a recipe starts from, in training mode, with the clip it asks for.

    Args:
        recipe: Its ``seed`` decides the fresh weights, whatever torch's random state is.
        class_names: Names of the logits in order.
        multi_label: Whether each logit is to be a yes or no of its own.

    Raises:
        UserError: If the name, the checkpoint or an override does not fit.
    """
    clip = recipe.clip
    overrides = {
        field.name: getattr(recipe.model, field.name)
        for field in dataclasses.fields(ModelRecipe)
        if field.name not in ("name", "weights") and getattr(recipe.model, field.name) is not None
    }
    overrides |= {
        name: value
        for name, value in (("num_frames", clip.num_frames), ("crop_size", clip.crop_size))
        if value is not None
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = _start(recipe.model, class_names, overrides)
    model.clip = adapt_clip(model.clip, clip)
    model.class_names, model.multi_label = class_names, multi_label
    model.info = {key: value for key, value in model.info.items() if key == "origin"}
    return model.train()


def adapt_clip(clip: ClipSpec, recipe: ClipRecipe) -> ClipSpec:
    """The model's clip with what the recipe sets in its place.

    Raises:
        UserError: If the result makes no sense; the message names the field.
    """
    changes = {k: v for k, v in dataclasses.asdict(recipe).items() if v is not None}
    if "crop_size" in changes and "resize_size" not in changes:
        changes["resize_size"] = max(changes["crop_size"], round(changes["crop_size"] * 8 / 7))
    return dataclasses.replace(clip, **changes)


def _start(
    recipe: ModelRecipe, class_names: tuple[str, ...], overrides: dict[str, Any]
) -> VideoModel:
    folder = start_folder(recipe)
    if folder is not None:
        if recipe.weights is not None:
            text = f"{recipe.weights} goes with a variant's name; {folder} has weights of its own"
            raise RecipeError(f"model.weights {text}: --model.weights null")
        return _start_from_folder(folder, class_names, overrides)
    if recipe.weights is not None and _is_kind(recipe.weights):
        return _start_from_shipped(recipe.name, recipe.weights, class_names, overrides)
    if recipe.weights is not None:
        kept = checkpoint_folder(Path(recipe.weights))
        if Path(kept, CONFIG_NAME).exists():
            return _start_stream(recipe.name, kept, class_names, overrides)
    if recipe.weights is not None:
        load = load_mobile_former
        if lite_size(recipe.name) is not None:
            load = load_efficientnet_lite
        elif recipe.name in BASELINES:
            load = BASELINES[recipe.name].load_public
        if load is None:
            raise RecipeError(f"model.weights: no public weights are known for {recipe.name}")
        model = load(recipe.weights, recipe.name, num_classes=len(class_names), **overrides)
        say(f"{recipe.weights}: weights taken over, with a new head for {len(class_names)} classes")
        return model
    return create_model(recipe.name, len(class_names), **overrides)


def _is_kind(weights: str) -> bool:
    """Whether this names weights of the package, and no file."""
    return not (Path(weights).suffix or Path(weights).exists() or len(Path(weights).parts) > 1)


def _start_from_shipped(
    name: str, weights: str, class_names: tuple[str, ...], overrides: dict[str, Any]
) -> VideoModel:
    try:
        if weights == IMAGENET:
            check_imagenet(name)
        else:
            check_shipped(name, weights)
    except CheckpointError:
        raise
    except UserError as error:
        raise RecipeError(f"{error} (--model.weights null starts at random)") from error
    model = create_model(name, len(class_names), weights=weights, **overrides)
    say(f"{weights} weights of {name}, with a new head for {len(class_names)} classes")
    return model


def _start_stream(
    name: str, folder: Path, class_names: tuple[str, ...], overrides: dict[str, Any]
) -> VideoModel:
    """A streaming model with the weights of a clip model's checkpoint."""
    clip_model = load_checkpoint(folder)
    if name not in STREAMS or not _is_variant(clip_model, name):
        raise RecipeError(
            f"model.weights {folder}: a checkpoint folder goes with the streaming model of its "
            f"variant, which {name} is not; a folder to fine-tune as it is goes into --model.name"
        )
    assert isinstance(clip_model, VideoMobileFormer)
    same = clip_model.class_names == class_names
    if not same:
        clip_model.reset_classifier(len(class_names))
    model = stream_of(clip_model, **overrides)
    head = "" if same else f", with a new head for {len(class_names)} classes"
    say(f"{folder}: weights of the clip model taken over{head}")
    return model


def _is_variant(model: VideoModel, name: str) -> bool:
    """Whether the blocks and widths of a clip model are those that a name stands for."""
    wanted = get_variant(name).arguments() | {"blocks": [list(r) for r in get_variant(name).blocks]}
    # A clip may have any length, and tokens may be left out.
    for free in ("num_frames", "num_tokens"):
        del wanted[free]
    return isinstance(model, VideoMobileFormer) and wanted.items() <= model.architecture.items()


def start_folder(recipe: ModelRecipe) -> Path | None:
    """The checkpoint folder to fine-tune from, if ``model.name`` is one."""
    if recipe.name in list_models() and not Path(recipe.name, "config.json").exists():
        return None
    if Path(recipe.name).exists() or "/" in recipe.name:
        return checkpoint_folder(Path(recipe.name))  # of a run, the one that it stands for
    return None


def _start_from_folder(
    folder: Path, class_names: tuple[str, ...], overrides: dict[str, Any]
) -> VideoModel:
    old = load_checkpoint(folder)
    arguments = {**old.architecture, **overrides, "num_classes": len(class_names)}
    strange = sorted(set(overrides) - set(old.architecture))
    if strange:
        raise RecipeError(f"model.{strange[0]}: the model in {folder} has no such argument")
    model = type(old)(**arguments)
    state = dict(old.state_dict())
    if old.class_names == class_names:
        say(f"{folder}: all weights taken over; the classes are the same")
    else:
        own = model.state_dict()
        state |= {key: own[key] for key in own if key.startswith(HEAD)}
        before = "unnamed" if old.class_names is None else f"{len(old.class_names)} other"
        say(
            f"{folder}: weights taken over but for the head, which is new: "
            f"its classes are {before}, the data has {len(class_names)}"
        )
    try:
        load_weights(model, state, folder)
    except CheckpointError as error:
        raise RecipeError(f"model: the checkpoint cannot take these overrides: {error}") from error
    model.clip, model.info = dataclasses.replace(old.clip), old.info
    return model
