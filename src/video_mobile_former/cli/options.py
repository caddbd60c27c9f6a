"""Options that several commands of ``vmf`` share, and what they name.

Most are of the commands that run a model on videos, ``evaluate`` and ``predict``.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ..errors import UserError

if TYPE_CHECKING:
    from ..data.index.source import DataSource
    from ..data.video.backend import Reading
    from ..export.runner import ExportedModel
    from ..models import VideoModel
    from ..training.recipe.fields import DataRecipe

EXIT_FAILED_FILES = 1
"""Exit status of a command that went on without files that cannot be read."""


def add_views(parser: argparse.ArgumentParser, *, several: bool = False) -> None:
    """Add which views of a video are scored and how they become one answer.

    Args:
        parser: Of the command.
        several: The command takes several models, and a value for each.
    """
    more: dict[str, Any] = {"nargs": "+", "default": [1]} if several else {"default": 1}
    each = "; one for all models or one each" if several else ""
    full = ", or full: as many as see all of it" if several else ""
    parser.add_argument(
        "--num_views",
        type=views_number if several else int,
        metavar="N",
        help=f"clips per video (default: 1){full}{each}",
        **more,
    )
    parser.add_argument(
        "--num_crops",
        type=int,
        metavar="N",
        help="crops per clip: 1 is the centre (default), more are spread evenly over the long side "
        f"from end to end{each}",
        **more,
    )
    parser.add_argument(
        "--average",
        choices=("probabilities", "logits"),
        default="probabilities",
        help="what is averaged over views (default: probabilities)",
    )


def whole_number(least: int) -> Callable[[str], int]:
    """What argparse is to read whole numbers with that may not be below ``least``."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            message = f"must be a whole number, not {text!r}"
            raise argparse.ArgumentTypeError(message) from None
        if value < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}, not {value}")
        return value

    return read


def views_number(text: str) -> int | str:
    """Read a number of views, or ``full``.

    Raises:
        argparse.ArgumentTypeError: If it is neither.
    """
    if text == "full":
        return text
    try:
        return int(text)
    except ValueError:
        message = f"takes a whole number or 'full', not {text!r}"
        raise argparse.ArgumentTypeError(message) from None


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add how videos are read, and on what and how precisely the model runs."""
    parser.add_argument(
        "--backend", choices=("pyav", "torchcodec"), default="pyav", help="decoder (default: pyav)"
    )
    parser.add_argument(
        "--frame_rate",
        type=float,
        default=30.0,
        help="frames per second of clips that are folders of pictures (default: 30)",
    )
    parser.add_argument(
        "--num_workers",
        type=whole_number(0),
        metavar="N",
        help="decoding processes; 0: none but this one (default: by cores)",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    parser.add_argument("--precision", choices=("32", "bf16"), default="32")
    add_json(parser)


def reading_of(args: argparse.Namespace) -> Reading:
    """How videos are read by the options of :func:`add_run_options`."""
    from ..data.video.backend import Reading

    return Reading(backend=args.backend, frame_rate=args.frame_rate)


def model_of(args: argparse.Namespace) -> VideoModel | ExportedModel:
    """The checkpoint or artefact ``args.model``, loaded.

    Raises:
        UserError: If there is none, or it cannot run as asked.
    """
    from ..export.loading import load_model
    from ..models import list_models

    if args.model in list_models() and not Path(args.model).exists():
        raise UserError(f"{args.model} is an untrained model; give the folder of a checkpoint")
    return load_model(args.model, precision=args.precision)


def add_clip_size(parser: argparse.ArgumentParser) -> None:
    """Add ``--num_frames`` and ``--size`` of the clips that a model takes."""
    parser.add_argument(
        "--num_frames",
        type=whole_number(1),
        metavar="N",
        help="frames of a clip; default: the model's",
    )
    parser.add_argument(
        "--size", type=whole_number(1), metavar="N", help="height and width; default: the model's"
    )


def add_quarantine(parser: argparse.ArgumentParser, default: str = "") -> None:
    """Add ``--quarantine``.

    Args:
        parser: Of the command.
        default: What is taken without it, for the help.
    """
    text = "clips to leave out, as `vmf data check` lists them"
    parser.add_argument(
        "--quarantine", metavar="FILE", help=text + (f"; default: {default}" if default else "")
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``."""
    parser.add_argument("--json", action="store_true", help="machine-readable output on stdout")


def print_json(value: Any) -> None:
    """Print a result as ``--json`` wants it."""
    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False, default=str))


class Parser(argparse.ArgumentParser):
    """argparse with errors in the form of all our errors, and no abbreviations."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, allow_abbrev=False, **kwargs)

    def error(self, message: str) -> NoReturn:
        """Turn what argparse does not like into a :class:`UserError`."""
        raise UserError(f"{message} (see {self.prog} --help)")


_SOURCE_FIELDS = ("format", "annotations", "root", "fold", "label_file", "multi_label")


def add_source_options(parser: argparse.ArgumentParser) -> None:
    """Add what a recipe's ``data`` section says of the form of the data; ``data`` is the path."""
    from ..data.index.formats import FORMATS

    parser.add_argument(
        "--format",
        default="auto",
        help=f"form of the data: {', '.join(FORMATS)}; default: auto, one of the first four",
    )
    parser.add_argument("--annotations", help="list file of the format, or folder of its lists")
    parser.add_argument("--root", help="folder that the paths of a list are relative to")
    parser.add_argument("--fold", type=int, default=1, help="official division (ucf101, hmdb51)")
    parser.add_argument(
        "--label_file", help="class names in order, one per line, or a known set as kinetics400"
    )
    parser.add_argument(
        "--multi_label",
        action="store_true",
        help="a clip may have several classes, divided by | in the label column, or none",
    )


def source_of(args: argparse.Namespace) -> DataSource:
    """What the options of :func:`add_source_options` name."""
    from ..data.index.source import DataSource

    if not (args.data or args.annotations or args.root):
        raise UserError("no data is named; give --data, or --annotations and --root")
    return DataSource(
        args.data or "",
        format=args.format,
        annotations=args.annotations,
        root=args.root,
        label_file=args.label_file,
        multi_label=args.multi_label,
        fold=args.fold,
    )


def source_words(data: DataRecipe) -> str:
    """The options of :func:`add_source_options` that name a recipe's data, as typed in a shell."""
    words = ["--data", data.path] if data.path else []
    for field in dataclasses.fields(data):
        value = getattr(data, field.name)
        if field.name in _SOURCE_FIELDS and value != field.default:
            words += [f"--{field.name}"] + ([] if value is True else [str(value)])
    return shlex.join(words)
