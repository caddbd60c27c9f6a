"""The source files of this package that a model needs, flat in one folder.

Transformers runs code beside weights (``trust_remote_code=True``) only where every file lies in one
folder and imports the others as ``from .name import …``. So the modules that
:mod:`.transformers_model` needs are copied with their import lines rewritten:
``..data.video.reader`` becomes ``.data_video_reader``. Nothing else in them changes.
"""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path

from ..errors import CheckpointError

_PACKAGE = __name__.split(".")[0]
_ROOT = Path(__file__).parents[1]
_REGISTRY = "models.registry"
_FIRST = "integrations.transformers_model"
MODEL_FILE = _FIRST.replace(".", "_")
"""Module in the folder that holds the classes."""
_HEADER = "# From the package video-mobile-former, file {path}; imports rewritten.\n"
_FROM = re.compile(r"from\s+\.[\w.]*\s+import")


def hub_code(network: type) -> dict[str, str]:
    """Files for a folder on the Hub.

    Args:
        network: Class of the network; only its own file and what that imports are taken.

    Returns:
        Text by file name.

    Raises:
        CheckpointError: If the class is not one of this package.
    """
    home, _, module = network.__module__.partition(".")
    if home != _PACKAGE:
        raise CheckpointError(
            f"{network.__name__} is a class of {network.__module__}, not of this package: its code "
            "cannot be written beside the weights; code=False leaves it out"
        )
    registry = (
        f"from .{_flat(module)} import {network.__name__}\n\n"
        f"ARCHITECTURES = {{{network.__name__!r}: {network.__name__}}}\n"
    )
    files = {_flat(_REGISTRY): registry}
    waiting = [_FIRST, module]
    while waiting:
        name = waiting.pop()
        if _flat(name) in files:
            continue
        path = _path(name)
        text, imported = _rewritten(path.read_text(encoding="utf-8"), name, path)
        header = _HEADER.format(path=path.relative_to(_ROOT).as_posix())
        files[_flat(name)] = header + text
        waiting += imported
    return {f"{name}.py": text for name, text in sorted(files.items())}


def _flat(module: str) -> str:
    return module.replace(".", "_")


def _path(module: str) -> Path:
    plain = _ROOT.joinpath(*module.split("."))
    return plain / "__init__.py" if plain.is_dir() else plain.with_suffix(".py")


def _rewritten(text: str, module: str, path: Path) -> tuple[str, list[str]]:
    """A module's text with flat imports, and the modules that it imports."""
    package = f"{module}.__init__" if path.name == "__init__.py" else module
    parents = package.split(".")[:-1]
    lines = text.splitlines(keepends=True)
    imported = []
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        base = parents[: len(parents) - node.level + 1]
        target = ".".join([*base, *(node.module or "").split(".")]).strip(".")
        inside = [a.name for a in node.names if _is_module(f"{target}.{a.name}".strip("."))]
        if inside or not target:
            raise AssertionError(f"{path}:{node.lineno} imports the module {inside}, not names")
        line = lines[node.lineno - 1]
        lines[node.lineno - 1] = _FROM.sub(f"from .{_flat(target)} import", line, count=1)
        imported.append(target)
    return "".join(lines), imported


def _is_module(name: str) -> bool:
    return importlib.util.find_spec(f"{_PACKAGE}.{name.split('.')[0]}") is not None and (
        _ROOT.joinpath(*name.split(".")).with_suffix(".py").is_file()
    )
