"""The command ``vmf``: parse, call, print.

Results go to stdout, progress and messages to stderr. Exit status: 0 done; 1 some of several
files failed; 2 the input is wrong, one line says how; 130 interrupted. Libraries are imported in
the command that needs them, so that ``vmf --help`` is quick.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

from ..console import say
from ..errors import UserError
from ..version import __version__
from .batch import add_batch
from .benchmark import add_benchmark
from .completion import add_completion
from .data import add_data
from .demo import add_demo
from .embed import add_embed
from .evaluate import add_evaluate
from .export import add_export
from .find import add_find
from .info import add_info
from .models import add_models
from .parser import Parser
from .predict import add_predict
from .serve import add_serve
from .train import add_train
from .tune import add_tune
from .watch import add_watch

EXIT_WRONG_INPUT, EXIT_INTERRUPTED = 2, 130
_COMMANDS = (
    add_models,
    add_train,
    add_tune,
    add_evaluate,
    add_predict,
    add_watch,
    add_find,
    add_serve,
    add_batch,
    add_embed,
    add_data,
    add_export,
    add_benchmark,
    add_demo,
    add_info,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``vmf`` with ``argv`` (by default the process's) and return its exit status."""
    for stream in (sys.stdout, sys.stderr):
        # A console that lacks a character of a label or a rule shows another instead of failing.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        args = _parser().parse_args(argv)
        return args.run(args)
    except UserError as error:
        say(f"vmf: error: {error}")
        return EXIT_WRONG_INPUT
    except KeyboardInterrupt as error:
        # A training run has already said that its state is saved.
        if type(error) is KeyboardInterrupt:
            say("vmf: interrupted")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output (head, say) has seen enough; keep Python from complaining too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.filename is None:
            raise
        # What the system says of a path: too long, not to be read, on a disk that is gone.
        say(f"vmf: error: {error.filename}: {error.strerror}")
        return EXIT_WRONG_INPUT


def _parser() -> Parser:
    parser = Parser(prog="vmf", description="Video Mobile-Former: recognise actions in video.")
    parser.add_argument("--version", action="version", version=f"vmf {__version__}")
    add_completion(parser)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in _COMMANDS:
        add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
