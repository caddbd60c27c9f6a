"""``torch.export`` programs (``.pt2``), run by PyTorch itself without the code of this package.

``torch.export.load`` unpickles parts of an archive, evaluates expressions and calls functions that
it names, so a file from a stranger could run code. Ours hold none of that: weights are raw bytes,
the graph is JSON of tensor operators, sizes are plain arithmetic. Whatever has anything else is
refused before torch sees it.
"""

from __future__ import annotations

import ast
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...errors import CheckpointError
from ..artefact import METADATA_KEY, ArtefactInfo
from ..graph import ExportGraph
from ..tracing import first_line, quiet, trace
from .table import Runner, WriteOptions

_EXTRA = f"{METADATA_KEY}.json"
_OPERATOR = re.compile(
    r"torch\.ops\.aten\.\w+(\.\w+)?"
    r"|_?operator\.(getitem|add|sub|mul|neg|floordiv|mod|pow|eq|ne|ge|gt|le|lt)"
)
"""What a node may call."""
_SIZE_CALLS = {"Symbol", "Integer", "Add", "Mul", "Pow", "Max", "Min", "Mod", "PythonMod"} | {
    "FloorDiv", "CleanDiv", "Equality", "Unequality", "GreaterThan", "StrictGreaterThan"
} | {"LessThan", "StrictLessThan"}  # fmt: skip
"""What the expression for a size may call."""
_SIZE_NODES = (ast.Expression, ast.Call, ast.Name, ast.Load, ast.Constant, ast.keyword)
_SIZE_NODES += (ast.UnaryOp, ast.USub)
_MAX_JSON = 64 << 20


def write(
    graph: ExportGraph, info: ArtefactInfo, path: Path, options: WriteOptions
) -> dict[str, Any]:
    """Write one ``.pt2`` file; see :class:`..TargetModule`."""
    program = trace(graph, info)
    # Example inputs would be pickled; nothing here needs them.
    program._example_inputs = None
    # Conditions on sizes would be run as Python; ExportedModel checks the shape of every input.
    program._guards_code = []
    with quiet():
        torch.export.save(program, path, extra_files={_EXTRA: info.to_json()})
    _check_safe(path)
    return {}


def load(path: Path, info: ArtefactInfo, threads: int) -> Runner:
    """Load for the CPU; see :class:`..TargetModule`."""
    _check_safe(path)
    try:
        with quiet():
            module = torch.export.load(path).module()
    except Exception as error:
        raise CheckpointError(f"{path} cannot be loaded: {first_line(error)}") from error

    def run(clip: np.ndarray) -> np.ndarray:
        # Threads are a setting of the process, which is given back after each call.
        before = torch.get_num_threads()
        if before != threads:
            torch.set_num_threads(threads)
        try:
            with torch.no_grad():
                given = torch.from_numpy(clip)
                if info.input.layout == "(BT)CHW":  # 2-D convolutions are faster channels-last
                    given = given.contiguous(memory_format=torch.channels_last)
                return module(given).numpy()
        finally:
            if before != threads:
                torch.set_num_threads(before)

    return run


def embedded(path: Path) -> str | None:
    """The JSON in the archive; see :class:`..TargetModule`."""
    for name, content in _members(path, f"/extra/{_EXTRA}"):
        try:
            return content.decode("utf-8")
        except UnicodeDecodeError as error:
            raise CheckpointError(f"{path} is damaged: {name} is no text") from error
    return None


def _check_safe(path: Path) -> None:
    """Refuse an archive that would make torch unpickle or evaluate something.

    Raises:
        CheckpointError: If it does, or is no such archive.
    """
    kinds = (".json", "/archive_format", ".pt")
    members = dict(_members(path, *kinds))
    names = [name.split("/", 1)[-1] for name in members]
    if "archive_format" not in names:
        raise CheckpointError(f"{path} is no torch.export archive")
    for name, content in members.items():
        inner = name.split("/", 1)[-1]
        if inner.startswith("extra/"):
            continue
        if name.endswith(".pt"):
            if content:
                raise _unsafe(path, f"{inner} is a pickle")
        elif name.endswith(".json"):
            try:
                values = json.loads(content)
            except ValueError as error:
                raise CheckpointError(f"{path} is damaged: {inner} is no JSON") from error
            _check_values(values, path, inner)
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if "/aotinductor/" in name or name.endswith((".so", ".o", ".py", ".cpp")):
                raise _unsafe(path, f"{name} is code")


def _check_values(values: Any, path: Path, where: str) -> None:
    waiting = [values]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        if not isinstance(value, dict):
            continue
        waiting += value.values()
        if value.get("use_pickle"):
            raise _unsafe(path, f"{where} names a pickle")
        if value.get("guards_code"):
            raise _unsafe(path, f"{where} has conditions in Python")
        target = value.get("target")
        if isinstance(target, str) and "inputs" in value and not _OPERATOR.fullmatch(target):
            raise _unsafe(path, f"{where} calls {target[:60]!r}")
        size = value.get("expr_str")
        if size is not None and not _is_size(size):
            raise _unsafe(path, f"{where} has the expression {str(size)[:60]!r}")


def _is_size(text: Any) -> bool:
    """Whether an expression is arithmetic of sizes and nothing more."""
    try:
        nodes = list(ast.walk(ast.parse(text, mode="eval")))
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return False
    return all(
        isinstance(node, _SIZE_NODES)
        and not (isinstance(node, ast.Name) and node.id not in _SIZE_CALLS)
        and not (isinstance(node, ast.Call) and not isinstance(node.func, ast.Name))
        and not (isinstance(node, ast.Constant) and not _is_plain(node.value))
        for node in nodes
    )


def _is_plain(value: object) -> bool:
    return isinstance(value, (bool, int)) or (
        isinstance(value, str) and re.fullmatch(r"[a-z]\d+", value) is not None
    )


def _members(path: Path, *endings: str) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the members of an archive with such endings."""
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if member.filename.endswith(endings):
                    if member.file_size > _MAX_JSON:
                        raise CheckpointError(f"{path} is damaged: {member.filename} is too large")
                    yield member.filename, archive.read(member)
    except (zipfile.BadZipFile, OSError, NotImplementedError, EOFError) as error:
        raise CheckpointError(f"{path} is no torch.export archive: {error}") from error


def _unsafe(path: Path, what: str) -> CheckpointError:
    return CheckpointError(
        f"{path} is refused: {what}, which could run code; `vmf export` writes no such thing"
    )
