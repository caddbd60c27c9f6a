"""The command ``vmf serve``: parse, call, print."""

from __future__ import annotations

import argparse
import json
import os
import re
from typing import Any

from ..console import say
from ..errors import UserError
from .options import add_device, model_of
from .parser import Parser, add_command, add_field, typed, whole_number

_MORE = (
    "Open its address in a browser for the page; programs ask /v1/predict, /v1/events and "
    "/v1/stream, which /openapi.json describes. Ends with Ctrl-C or SIGTERM, when what runs is "
    "done. See docs/serve.md."
)
_TOKEN_VARIABLE = "VMF_SERVE_TOKEN"
_TOKEN = re.compile(r"[A-Za-z0-9._~-]{8,256}")


def add_serve(commands: Any) -> None:
    """Add ``serve`` to the commands of ``vmf``."""
    parser = add_command(commands, "serve", run, "answer over HTTP, with a page to try", _MORE)
    parser.add_argument(
        "models",
        nargs="+",
        metavar="MODEL",
        help="checkpoint folder, as runs/x/best, or artefact of export; NAME=MODEL names it",
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)"
    )
    parser.add_argument(
        "--port",
        type=whole_number(0, 65535),
        default=8000,
        metavar="N",
        help="0 takes a free one (default: 8000)",
    )
    parser.fill = _fill


def _fill(parser: Parser) -> None:
    import dataclasses

    from ..ranges import Positive
    from ..web.settings import ServeSettings

    parser.add_argument(
        "--token",
        help="what callers must send as Authorization: Bearer TOKEN; better in the variable "
        f"{_TOKEN_VARIABLE}, as arguments stand in the list of processes",
    )
    parser.add_argument(
        "--host_name",
        action="append",
        metavar="NAME",
        help="name by which the service may be called; may stand several times (default: "
        "localhost where it listens on this machine only, else any)",
    )
    parser.add_argument(
        "--url_host",
        action="append",
        default=[],
        metavar="HOST[:PORT]",
        help="host from which callers may have videos fetched; may stand several times (default: "
        "none)",
    )
    parser.add_argument(
        "--folder", metavar="FOLDER", help="where uploads are kept while they are read"
    )
    parser.add_argument(
        "--threads", type=whole_number(1, 1024), metavar="N", help="of the models on a CPU"
    )
    for name in ("window_seconds", "stride_seconds"):
        parser.add_argument(
            f"--{name}",
            type=typed(Positive),
            metavar="NUMBER",
            help="of windows in events and streams, as of `vmf find`",
        )
    limits = parser.add_argument_group("limits")
    for field in dataclasses.fields(ServeSettings):
        add_field(limits, ServeSettings, field.name)
    add_device(parser)


def run(args: argparse.Namespace) -> int:
    """Serve until the end is asked for."""
    from ..optional import require

    for module in ("fastapi", "uvicorn", "python_multipart", "websockets", "prometheus_client"):
        require(module, extra="serve", purpose="vmf serve")
    import dataclasses

    import torch

    from ..web.fetching import read_hosts
    from ..web.folder import default_place
    from ..web.guards import is_loopback
    from ..web.served import serve_model, split_names
    from ..web.server import bind
    from ..web.server import run as run_server
    from ..web.service import Service
    from ..web.settings import ServeSettings
    from ..web.workers import prepare

    token = _token(args)
    fields = [field.name for field in dataclasses.fields(ServeSettings)]
    settings = ServeSettings(**{name: getattr(args, name) for name in fields})
    named = split_names(args.models)
    hosts = read_hosts(args.url_host)
    listening = bind(args.host, args.port)
    with listening:
        prepare()
        if args.threads is not None:
            torch.set_num_threads(args.threads)
        models = []
        for name, place in named:
            model = model_of(argparse.Namespace(model=place, precision=args.precision))
            models.append(
                serve_model(
                    name,
                    model,
                    device=args.device,
                    precision=args.precision,
                    window_seconds=args.window_seconds,
                    stride_seconds=args.stride_seconds,
                    batch_size=settings.batch_size or None,
                )
            )
        loopback = is_loopback(args.host)
        names = args.host_name or (["localhost"] if loopback else None)
        address = _address(args.host, listening.getsockname()[1])
        if not loopback and token is None:
            say(
                f"warning: everybody who reaches {args.host} may use this service; --token keeps "
                "others out"
            )
        folder = args.folder or default_place()
        with Service(models, settings, folder, url_hosts=hosts) as service:

            def started() -> None:
                if args.json:
                    told = {"url": address, "models": [model.name for model in models]}
                    print(json.dumps(told), flush=True)
                else:
                    say(f"{address} answers; Ctrl-C ends it")

            def signalled(count: int) -> None:
                if count == 1:
                    say("ending when what runs is done; once more ends it now")

            run_server(
                service,
                listening,
                token=token,
                host_names=names,
                on_start=started,
                on_signal=signalled,
            )
    return 0


def _token(args: argparse.Namespace) -> str | None:
    token = args.token if args.token is not None else os.environ.get(_TOKEN_VARIABLE)
    if token is not None and not _TOKEN.fullmatch(token):
        raise UserError(
            "--token must be 8 to 256 letters, digits and signs of . _ ~ - (it is also sent as a "
            "name of a WebSocket protocol)"
        )
    return token


def _address(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
