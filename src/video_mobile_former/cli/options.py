"""Options that several commands of ``vmf`` share, and what they name.

An option that is a field of a dataclass takes its type, range, default and text from there; see
:func:`add_field`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

from ..data.index.source import DataSource
from ..errors import UserError, nearest_key
from ..files import check_file, check_folder
from ..ranges import (
    FrameRate,
    Frames,
    Pixels,
    Range,
    Workers,
    as_typed,
    docs,
    field_help,
    hints,
    placeholder,
    read_text,
)

if TYPE_CHECKING:
    from ..data.index.source import DataSource
    from ..data.video.backend import Reading
    from ..export.runner import ExportedModel
    from ..models import VideoModel

EXIT_FAILED_FILES = 1
"""Exit status of a command that went on without files that cannot be read."""


class Parser(argparse.ArgumentParser):
    """argparse with errors in the form of all our errors, and no abbreviations."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, allow_abbrev=False, formatter_class=_Formatter, **kwargs)
        self.words: str | None = None
        """Where words that are no options go, wherever among the options they stand."""
        self.fill: Callable[[Parser], None] | None = None
        """Adds the options when they are needed: for the help, or to parse them."""

    def parse_known_args(  # type: ignore[override]  # argparse's own overloads
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """Parse, and refuse options that are unknown to this command."""
        self._filled()
        found, rest = super().parse_known_args(args, namespace)
        unknown = [word.partition("=")[0] for word in rest if word.startswith("-")]
        if unknown:
            known = [name[2:] for name in self._option_string_actions if name.startswith("--")]
            near = nearest_key(unknown[0].lstrip("-"), known)
            hint = f"; did you mean --{near}?" if near else ""
            self.error(f"unknown option {unknown[0]}{hint}")
        if self.words is not None:
            setattr(found, self.words, rest)
            rest = []
        return found, rest

    def format_help(self) -> str:
        """The help, with all options."""
        self._filled()
        return super().format_help()

    def _filled(self) -> None:
        fill, self.fill = self.fill, None
        if fill is not None:
            fill(self)

    def error(self, message: str) -> NoReturn:
        """Turn what argparse does not like into a :class:`UserError`."""
        raise UserError(f"{' '.join(message.split())} (see {self.prog} --help)")


class _Formatter(argparse.HelpFormatter):
    """Lines of at most 80 columns, broken at blanks only."""

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(text, width, break_on_hyphens=False)


def add_command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int], summary: str, more: str = ""
) -> Parser:
    """Add a command.

    Args:
        commands: Sub-parsers to add it to.
        name: What is typed.
        run: Does it, and gives the exit status.
        summary: One phrase, for the list of commands and the help.
        more: Sentences that follow it in the help.
    """
    text = f"{summary[0].upper()}{summary[1:]}."
    parser = commands.add_parser(name, help=summary, description=f"{text} {more}".strip())
    parser.set_defaults(run=run)
    return parser


def typed(hint: Any) -> Callable[[str], Any]:
    """What argparse is to read an option of a type with.

    Args:
        hint: As of a field, such as ``Annotated[int, Range(1, 9)]``.
    """

    def read(text: str) -> Any:
        try:
            return read_text(hint, text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"must be {error}, not {text!r:.200}") from None

    return read


def whole_number(least: int, most: int | None = None) -> Callable[[str], Any]:
    """What argparse is to read whole numbers from ``least`` to ``most`` with."""
    return typed(Annotated[int, Range(least, most)])


def add_field(
    parser: argparse._ActionsContainer, section: type[Any], name: str, *words: str, **more: Any
) -> None:
    """Add an option that is a field of a dataclass.

    Args:
        parser: Of the command, or a group of it.
        section: The dataclass.
        name: The field.
        *words: How the option is written; without them ``--name``.
        **more: What argparse takes, in place of what the field says.
    """
    hint = hints(section)[name]
    (default,) = (field.default for field in dataclasses.fields(section) if field.name == name)
    if hint is bool and "nargs" not in more:
        more = {"action": "store_true", "help": docs(section)[name], **more}
    else:
        more = {"type": typed(hint), "default": default, "metavar": placeholder(hint), **more}
    text = more.pop("help", None) or field_help(section, name)
    parser.add_argument(*(words or (f"--{name}",)), help=text.replace("%", "%%"), **more)


_VIEWS = whole_number(1, 10_000)


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
        type=views_number if several else _VIEWS,
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
    parser.add_argument(
        "--average",
        choices=("probabilities", "logits"),
        default="probabilities",
        help="what is averaged over views (default: probabilities)",
    )


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
    parser.add_argument(
        "--num_workers",
        type=typed(Workers),
        metavar="N",
        help="decoding processes; 0: none but this one (default: by cores)",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    parser.add_argument("--precision", choices=("32", "bf16"), default="32")
    add_json(parser)


def reading_of(args: argparse.Namespace) -> Reading:
    """How videos are read by the options of :func:`add_run_options`."""
    from ..data.video.backend import Reading

    return Reading(backend=args.backend, frame_rate=args.frame_rate, partial=args.partial)


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
    text = "clips to leave out, as `vmf data check` lists them"
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
