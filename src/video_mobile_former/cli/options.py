"""Options that several commands of ``vmf`` share, and what they name."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import hashlib
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data.index.source import DataSource
from ..errors import UserError
from ..files import check_file, check_folder
from ..ranges import FrameRate, Frames, Pixels, Workers, as_typed, hints
from .parser import Parser, add_field, typed, whole_number

if TYPE_CHECKING:
    from ..data.index.source import DataSource
    from ..data.video.backend import Reading
    from ..export.runner import ExportedModel
    from ..models import VideoModel

EXIT_FAILED_FILES = 1
"""Exit status of a command that went on without files that cannot be read."""


_VIEWS = whole_number(1, 10_000)


def add_views(
    parser: argparse.ArgumentParser, *, several: bool = False, average: bool = True
) -> None:
    """Add which views of a video are scored and how they become one answer.

    Args:
        parser: Of the command.
        several: The command takes several models, and a value for each.
        average: Whether to add ``--average`` as well, of scores.
    """
    more: dict[str, Any] = {"nargs": "+", "default": [1]} if several else {"default": 1}
    each = "; one for all models or one each" if several else ""
    full = ", or full: as many as see all of it" if several else ""
    parser.add_argument(
        "--num_views",
        type=views_number if several else _few_views,
        metavar="N",
        help=f"clips per video (default: 1){full}{each}",
        **more,
    )
    parser.add_argument(
        "--num_crops",
        type=whole_number(1, 100),
        metavar="N",
        help="crops per clip: 1 is the centre (default), more are spread evenly over the long side "
        f"from end to end{each}",
        **more,
    )
    if average:
        parser.add_argument(
            "--average",
            choices=("probabilities", "logits"),
            default="probabilities",
            help="what is averaged over views (default: probabilities)",
        )


def _few_views(text: str) -> Any:
    """Read a number of views of a command that reads a video at once."""
    if text == "full":
        raise argparse.ArgumentTypeError(
            "must be a number, not 'full', which `vmf evaluate` takes; `vmf find` tells what "
            "happens in a long video"
        )
    return _VIEWS(text)


def views_number(text: str) -> int | str:
    """Read a number of views, or ``full``.

    Raises:
        argparse.ArgumentTypeError: If it is neither.
    """
    try:
        return text if text == "full" else _VIEWS(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error}; or full") from None


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add how videos are read, and on what and how precisely the model runs."""
    add_reading(parser)
    parser.add_argument(
        "--num_workers",
        type=typed(Workers),
        metavar="N",
        help="decoding processes; 0: none but this one (default: by cores)",
    )
    add_device(parser)


def add_reading(parser: argparse.ArgumentParser) -> None:
    """Add how videos are read; see :func:`reading_of`."""
    parser.add_argument(
        "--backend", choices=("pyav", "torchcodec"), default="pyav", help="decoder (default: pyav)"
    )
    parser.add_argument(
        "--frame_rate",
        type=typed(FrameRate),
        default=30.0,
        metavar="NUMBER",
        help="frames per second of clips that are folders of pictures (default: 30)",
    )
    parser.add_argument(
        "--partial", action="store_true", help="take what there is of files that are cut off"
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add on what and how precisely the model runs, and ``--json``."""
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    parser.add_argument("--precision", choices=("32", "bf16"), default="32")
    add_json(parser)


def reading_of(args: argparse.Namespace) -> Reading:
    """How videos are read by the options of :func:`add_reading`."""
    from ..data.video.backend import Reading

    return Reading(backend=args.backend, frame_rate=args.frame_rate, partial=args.partial)


def model_of(args: argparse.Namespace) -> VideoModel | ExportedModel:
    """The checkpoint or artefact ``args.model``, loaded.

    Raises:
        UserError: If there is none, or it cannot run as asked.
    """
    from ..export.loading import load_model

    check_trained(args.model)
    return load_model(args.model, precision=args.precision)


def check_trained(model: str) -> None:
    """Refuse the name of a model whose weights are random.

    Raises:
        UserError: If it is one.
    """
    from ..models import list_models

    if model in list_models() and not Path(model).exists():
        raise UserError(f"{model} is an untrained model; give the folder of a checkpoint")


def add_clip_size(parser: argparse.ArgumentParser) -> None:
    """Add ``--num_frames`` and ``--size`` of the clips that a model takes."""
    parser.add_argument(
        "--num_frames",
        "--frames",
        type=typed(Frames),
        metavar="N",
        help="frames of a clip; default: the model's",
    )
    parser.add_argument(
        "--size", type=typed(Pixels), metavar="N", help="height and width; default: the model's"
    )


def add_quarantine(parser: argparse.ArgumentParser, default: str = "") -> None:
    """Add ``--quarantine``.

    Args:
        parser: Of the command.
        default: What is taken without it, for the help.
    """
    text = "clips to exclude, as `vmf data check` lists them"
    parser.add_argument(
        "--quarantine", metavar="FILE", help=text + (f"; default: {default}" if default else "")
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``."""
    parser.add_argument("--json", action="store_true", help="machine-readable output on stdout")


def print_json(value: Any) -> None:
    """Print a result as ``--json`` wants it."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False, default=str)
    if not _is_unicode(text):  # names of files that are not UTF-8 survive as escapes
        text = json.dumps(value, indent=2, allow_nan=False, default=str)
    print(text)


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def add_out(parser: argparse.ArgumentParser, help: str, **more: Any) -> None:
    """Add ``--out FOLDER``, which is tried before work starts."""
    parser.add_argument("--out", type=out_folder, metavar="FOLDER", help=help, **more)


def add_overwrite(
    parser: argparse.ArgumentParser, help: str = "replace files that vmf did not write"
) -> None:
    """Add ``--overwrite``."""
    parser.add_argument("--overwrite", action="store_true", help=help)


def out_folder(text: str) -> str:
    """What argparse is to read a folder with that will be written in."""
    return _tried(check_folder, text)


def out_file(text: str) -> str:
    """What argparse is to read a file with that will be written."""
    return _tried(check_file, text)


def _tried(check: Callable[[str], None], text: str) -> str:
    try:
        check(text)
    except UserError as error:  # a ValueError, for which argparse has words of its own
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def check_outside(out: str | Path | None, *places: str | None) -> None:
    """Refuse an output that would count as data itself.

    Args:
        out: Where something is to be written.
        places: Folders, lists or URLs of data.

    Raises:
        UserError: If it is, or lies in, one of the folders.
    """
    for place in places:
        data = Path(place) if place else None
        if out is None or data is None or not data.is_dir():
            continue
        if Path(out).resolve().is_relative_to(data.resolve()):
            raise UserError(
                f"--out {out} lies inside of {data}, where it would count as data itself"
            )


def add_data(parser: Parser) -> None:
    """Add ``DATA``, also written ``--data DATA``, for :func:`source_of`."""
    parser.usage = f"{parser.prog} [DATA] [options]"
    parser.words = "places"
    parser.add_argument("--data", metavar="DATA", help="the clips; --data may be left out")


def add_source_options(parser: argparse.ArgumentParser) -> None:
    """Add the fields of :class:`DataSource` but for the path, which each command names itself."""
    for name in hints(DataSource):
        if name != "path":
            add_field(parser, DataSource, name)


def source_of(args: argparse.Namespace) -> DataSource:
    """What ``args.data`` and the options of :func:`add_source_options` name.

    Raises:
        DataError: If they name nothing.
    """
    named = {name: getattr(args, name) for name in hints(DataSource) if name != "path"}
    places = [place for place in (args.data, *getattr(args, "places", ())) if place is not None]
    if len(places) > 1:
        raise UserError(f"one place of data at most, not {len(places)}: {', '.join(places)}")
    source = DataSource(path=places[0] if places else None, **named)
    _ = source.place
    return source


def source_words(data: DataSource) -> str:
    """The options that name data, of a recipe for example, as typed in a shell."""
    words = []
    for field in dataclasses.fields(DataSource):
        value = getattr(data, field.name)
        name = "data" if field.name == "path" else field.name
        if value is True:
            words.append(f"--{name}")
        elif value != field.default:
            text = as_typed(value)
            words += [f"--{name}={text}"] if text.startswith("-") else [f"--{name}", text]
    return shlex.join(words)


def digest(model: str) -> str:
    """Of a file, or of the files of a model, so that a journal is not continued with another."""
    found = hashlib.sha256()
    place = Path(model)
    files = sorted(place.iterdir()) if place.is_dir() else [place]
    for file in files:
        with contextlib.suppress(OSError):
            if file.is_file() and file.suffix != ".md":
                found.update(file.read_bytes())
    return found.hexdigest()[:16]
