"""``vmf --completion SHELL``: a script that completes commands, options and values."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any, NoReturn

from ..optional import require
from .parser import Parser

SHELLS = ("bash", "zsh", "tcsh")


def add_completion(parser: Parser) -> None:
    """Add ``--completion`` to ``vmf``."""
    parser.add_argument(
        "--completion",
        action=_Print,
        dest=argparse.SUPPRESS,
        default=argparse.SUPPRESS,
        choices=SHELLS,
        metavar="SHELL",
        help="print a script that completes commands and options in bash, zsh or tcsh",
    )


def completion_script(parser: Parser, shell: str) -> str:
    """The script for a shell.

    Args:
        parser: Of ``vmf``, with all commands.
        shell: One of :data:`SHELLS`.

    Raises:
        UserError: If shtab is not installed.
    """
    shtab: Any = require("shtab", extra="completion", purpose="--completion")
    for each in _parsers(parser):
        each.format_help()  # some add their options late
        if each.words is not None:
            # Recipes, clips: words that the parser takes wherever they stand.
            each.add_argument("words", nargs="*", help="files")
        for action in each._actions:
            shown = action.metavar
            if isinstance(shown, str) and shown[:1] == "{":
                action.choices = shown.strip("{}").split(",")  # of a field with few values
            if action.nargs != 0 and action.choices is None:
                action.complete = shtab.FILE  # pyright: ignore[reportAttributeAccessIssue]
    return shtab.complete(parser, shell=shell)


def _parsers(parser: Parser) -> Iterator[Parser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for each in dict.fromkeys(action.choices.values()):
                yield from _parsers(each)


class _Print(argparse.Action):
    """Prints the script and ends, as ``--version`` does."""

    def __call__(
        self, parser: Any, namespace: Any, values: Any, option_string: str | None = None
    ) -> NoReturn:
        print(completion_script(parser, values))
        raise SystemExit(0)
