"""``torch.export`` programs (``.pt2``), run by PyTorch itself without the code of this package.

``torch.export.load`` unpickles parts of an archive, evaluates expressions and calls functions that
it names, so a file from a stranger could run code. Ours hold none of that: weights are raw bytes,
the graph is JSON of tensor operators, sizes are plain arithmetic. Whatever has anything else is
refused before torch sees it.

Torch reads archives with a reader of its own, which may find another directory in the same bytes
than Python's. So a file is read once, what Python's reader finds is judged, and torch is given a
fresh archive of just that.
"""

from __future__ import annotations

import ast
import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...console import quiet
from ...errors import CheckpointError, UserError
from ...untrusted import read_bytes
from ..artefact import METADATA_KEY, ArtefactInfo
from ..graph import ExportGraph
from ..tracing import first_line, trace
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
_WRITTEN = re.compile(
    r"archive_format|archive_version|byteorder|\.data/(version|serialization_id)"
    r"|models/model\.json|data/(weights/model_weights|constants/model_constants)_config\.json"
    r"|data/weights/weight_\d+|data/constants/tensor_\d+|data/sample_inputs/model\.pt"
    rf"|extra/{re.escape(_EXTRA)}"
)
"""Members of what ``vmf export`` writes, without the folder that all are in. Others, such as
``opaque_obj_0`` among the constants, torch would unpickle because of their names."""
_END, _END_SIZE = b"PK\x05\x06", 22
_MOST_BETWEEN = 24
"""Bytes between two members of an archive: the sizes of the first one once more."""


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
    _canonical(path)  # what could not be loaded again is not written
    return {}


def load(path: Path, info: ArtefactInfo, threads: int) -> Runner:
    """Load for the CPU; see :class:`..TargetModule`."""
    archive = _canonical(path)
    try:
        with quiet():
            module = torch.export.load(archive).module()
    except Exception as error:
        raise CheckpointError(f"{path} cannot be loaded: {first_line(error)}") from error

    def run(*inputs: np.ndarray) -> list[np.ndarray]:
        # Threads are a setting of the process, which is given back after each call.
        before = torch.get_num_threads()
        if before != threads:
            torch.set_num_threads(threads)
        try:
            with torch.no_grad():
                given = [torch.from_numpy(value) for value in inputs]
                if info.input.layout == "(BT)CHW":  # 2-D convolutions are faster channels-last
                    layout = torch.channels_last
                    given = [
                        value.contiguous(memory_format=layout) if value.dim() == 4 else value
                        for value in given
                    ]
                found = module(*given)
                return [one.numpy() for one in (found if info.stream is not None else [found])]
        finally:
            if before != threads:
                torch.set_num_threads(before)

    return run


def embedded(path: Path) -> str | None:
    """The JSON in the archive; see :class:`..TargetModule`."""
    content = _members(path).get(f"extra/{_EXTRA}")
    if content is None:
        return None
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path} is damaged: extra/{_EXTRA} is no text") from error


def _canonical(path: Path) -> io.BytesIO:
    """A fresh archive of what Python's reader finds in one, once that is known to be harmless.

    Raises:
        CheckpointError: If torch would unpickle or evaluate something, or it is no such archive.
    """
    members = _members(path)
    if "archive_format" not in members:
        raise CheckpointError(f"{path} is no torch.export archive")
    copy = io.BytesIO()
    with zipfile.ZipFile(copy, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            if name.startswith("data/aotinductor/") or name.endswith((".so", ".o", ".py", ".cpp")):
                raise _unsafe(path, f"{name} is code")
            if not _WRITTEN.fullmatch(name):
                raise _unsafe(path, f"it has a member {name[:60]!r}")
            if name.endswith(".pt") and content:
                raise _unsafe(path, f"{name} is a pickle")
            if name.endswith(".json") and not name.startswith("extra/"):
                try:
                    values = json.loads(content)
                    # Written anew: of a key that stands twice another reader might take the first.
                    content = json.dumps(values).encode()
                except (ValueError, RecursionError) as error:
                    raise CheckpointError(f"{path} is damaged: {name} is no JSON") from error
                _check_values(values, path, name)
            archive.writestr(f"model/{name}", content)
    copy.seek(0)
    return copy


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


def _members(path: Path) -> dict[str, bytes]:
    """Contents of an archive by name, without the folder that all its members are in.

    Raises:
        CheckpointError: If it is no archive, or bytes in it belong to no member: another reader
            might find other members there.
    """
    found: dict[str, bytes] = {}
    try:
        data = read_bytes(path)
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            _check_layout(path, data, archive)
            for member in archive.infolist():
                name = member.filename.partition("/")[2]
                if name in found:
                    raise _unsafe(path, f"it has two members {name[:60]!r}")
                if name.endswith(".json") and member.file_size > _MAX_JSON:
                    raise CheckpointError(f"{path} is damaged: {name} is too large")
                found[name] = archive.read(member)
    except UserError:
        raise
    except (
        zipfile.BadZipFile,
        OSError,
        NotImplementedError,
        RuntimeError,
        EOFError,
        ValueError,
    ) as error:
        raise CheckpointError(f"{path} is no torch.export archive: {error}") from error
    return found


def _check_layout(path: Path, data: bytes, archive: zipfile.ZipFile) -> None:
    """Refuse bytes before, between and behind the members, and whatever is packed."""
    if len({member.filename.partition("/")[0] for member in archive.infolist()}) > 1:
        raise _unsafe(path, "its members are in several folders")
    end = 0
    for member in sorted(archive.infolist(), key=lambda member: member.header_offset):
        start = member.header_offset
        if not 0 <= start - end <= (_MOST_BETWEEN if end else 0):
            raise _unsafe(path, "it has bytes that belong to no member")
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
            raise _unsafe(path, f"{member.filename[:60]!r} is packed")
        lengths = data[start + 26 : start + 28], data[start + 28 : start + 30]
        end = start + 30 + sum(int.from_bytes(length, "little") for length in lengths)
        end += member.file_size
    if not 0 <= archive.start_dir - end <= _MOST_BETWEEN:
        raise _unsafe(path, "it has bytes that belong to no member")
    if data.rfind(_END) != len(data) - _END_SIZE or data.count(_END, archive.start_dir) != 1:
        raise _unsafe(path, "it does not end where its directory does")


def _unsafe(path: Path, what: str) -> CheckpointError:
    return CheckpointError(
        f"{path} is refused: {what}, which could run code; `vmf export` writes no such thing"
    )
