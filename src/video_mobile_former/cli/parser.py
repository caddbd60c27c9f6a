"""The parser of ``vmf``: commands, options with types and ranges, and errors in one line.

An option that is a field of a dataclass takes its type, range, default and text from there; see
:func:`add_field`.
"""

from __future__ import annotations

import argparse
import dataclasses
import textwrap
from collections.abc import Callable, Sequence
from typing import Annotated, Any, NoReturn

from ..errors import UserError, nearest_key
from ..ranges import Range, docs, field_help, hints, placeholder, read_text


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
