"""The commands ``vmf data …``, and the options that say what data is meant.

Parse, call, print, as in :mod:`.cli`.
"""

from __future__ import annotations

import argparse
import dataclasses
import shlex
from typing import TYPE_CHECKING, Any

from . import check_command, draw_command, prepare_commands
from .console import say
from .errors import UserError

if TYPE_CHECKING:
    from .data.source import DataSource
    from .training.data_fields import DataRecipe

_SOURCE_FIELDS = ("format", "annotations", "root", "fold", "label_file", "multi_label")


def add_source_options(parser: argparse.ArgumentParser) -> None:
    """Add what a recipe's ``data`` section says of the form of the data; ``data`` is the path."""
    from .data.formats import FORMATS

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
    from .data.source import DataSource

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


def warn_of_fold(info: Any, args: argparse.Namespace) -> None:
    """Say where the divisions into splits differ: test clips of one are training clips of another.

    Args:
        info: ``model.info`` of the checkpoint that is measured.
        args: Options of :func:`add_source_options` and ``model``.
    """
    for key in ("training", "recipe", "data"):
        info = (info.get(key) if isinstance(info, dict) else None) or {}
    trained = info.get("fold", args.fold)
    if info.get("format") == args.format and trained != args.fold:
        say(
            f"{args.model} was trained on fold {trained} of {args.format} and is measured on fold "
            f"{args.fold}: clips it was trained on may be among them (--fold {trained})"
        )


def add_data_commands(commands: Any) -> None:
    """Add ``check``, ``prepare``, ``shard`` and ``draw`` to the parser of ``vmf data``."""
    check_command.add_check(commands, add_source_options, source_of)
    prepare_commands.add_prepare(commands, add_source_options, source_of)
    prepare_commands.add_shard(commands, add_source_options, source_of)
    draw_command.add_draw(commands)
