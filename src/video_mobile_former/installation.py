"""What is installed here and what it can do: the first thing to send with a question."""

from __future__ import annotations

import importlib.metadata
import platform
import re
from typing import Any

import av
import torch

from .data.processes import usable_cores
from .data.video.torchcodec_backend import check_torchcodec
from .errors import UserError
from .export.targets.table import TARGETS
from .models.shipped_weights import shipped_weights
from .profiling.machine import library_version, processor_name
from .text import wrap
from .version import __version__

DISTRIBUTION = "video-mobile-former"
_LIBRARIES = ("torch", "numpy", "av", "safetensors", "huggingface_hub")
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_EXTRA = re.compile(r"""extra\s*==\s*['"]([^'"]+)['"]""")


def describe_installation() -> dict[str, Any]:
    """Versions, devices, decoders, runtimes, extras and weights, as JSON data.

    Returns:
        ``version``, ``python``, ``system``, ``processor``, ``cores``; ``libraries`` (name to
        version); ``devices``, each with ``name`` and ``title``; ``decoders``, ``runtimes`` and
        ``extras``, by name, each with ``version`` or ``why_not``, a phrase; ``weights``, the models
        that have some of a kind.
    """
    return {
        "version": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor_name(),
        "cores": usable_cores(),
        "libraries": {name: library_version(name) for name in _LIBRARIES},
        "devices": _devices(),
        "decoders": _decoders(),
        "runtimes": _runtimes(),
        "extras": _extras(),
        "weights": {kind: list(models) for kind, models in shipped_weights().items()},
    }


def format_installation(found: dict[str, Any]) -> str:
    """The same for people, in lines of a terminal."""
    lines = [
        f"vmf {found['version']}, Python {found['python']}, {found['system']}",
        f"{found['processor']}, {found['cores']} cores",
    ]
    libraries = (f"{name} {version or '–'}" for name, version in found["libraries"].items())
    tables = {
        "libraries": [", ".join(libraries)],
        "devices": [f"{each['name']:<12}{each['title']}" for each in found["devices"]],
    }
    for name in ("decoders", "runtimes", "extras"):
        tables[name] = [
            f"{key if number == 0 else '':<14}{part}"
            for key, value in found[name].items()
            for number, part in enumerate(wrap(value["version"] or value["why_not"], 62))
        ]
    tables["weights"] = [f"{kind:<12}{', '.join(m)}" for kind, m in found["weights"].items()]
    for name, rows in tables.items():
        lines += ["", name, *(f"  {row}" for row in rows)]
    return "\n".join(lines)


def _devices() -> list[dict[str, str]]:
    found = [{"name": "cpu", "title": processor_name()}]
    for number in range(torch.cuda.device_count()):
        title = torch.cuda.get_device_name(number)
        found.append({"name": f"cuda:{number}", "title": title})
    if torch.backends.mps.is_available():
        found.append({"name": "mps", "title": processor_name()})
    return found


def _decoders() -> dict[str, dict[str, str | None]]:
    codec = ".".join(map(str, av.library_versions["libavcodec"]))
    found = {"pyav": _usable(f"{library_version('av')}, libavcodec {codec}")}
    try:
        check_torchcodec()
    except UserError as error:
        found["torchcodec"] = _absent(" ".join(str(error).split()))
    else:
        found["torchcodec"] = _usable(library_version("torchcodec"))
    return found


def _runtimes() -> dict[str, dict[str, str | None]]:
    found = {}
    for target in TARGETS.values():
        version = library_version(target.runtime_package)
        if version is None:
            found[target.name] = _absent(f"pip install '{DISTRIBUTION}[{target.extra}]'")
        elif not target.runs_here:
            found[target.name] = _absent(f"{target.runtime_package} {version} writes only")
        else:
            found[target.name] = _usable(f"{target.runtime_package} {version}")
    return found


def _extras() -> dict[str, dict[str, str | None]]:
    """Which extras are complete, by what the installed package asks for."""
    try:
        asked = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        return {}
    wanted: dict[str, list[str]] = {}
    for line in asked:
        name, extra = _NAME.match(line), _EXTRA.search(line)
        if name is not None and extra is not None and name[0] != DISTRIBUTION:
            wanted.setdefault(extra[1], []).append(name[0])
    found = {}
    for extra, names in wanted.items():
        versions = {name: library_version(name) for name in names}
        missing = [name for name, version in versions.items() if version is None]
        present = ", ".join(f"{name} {version}" for name, version in versions.items())
        found[extra] = _absent(f"without {', '.join(missing)}") if missing else _usable(present)
    found.pop("dev", None)
    return found


def _usable(version: str | None) -> dict[str, str | None]:
    return {"version": version, "why_not": None}


def _absent(why_not: str) -> dict[str, str | None]:
    return {"version": None, "why_not": why_not}
