"""Small real detectors in ONNX: they find bright cells of 8 × 8 pixels in pictures of 64 × 64."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIDE, CELL = 64, 8
CELLS = (SIDE // CELL) ** 2


def write_detector(path: Path, layout: str) -> Path:
    """Write a detector of an output layout; see :mod:`…persons.detector`."""
    y, x = np.divmod(np.arange(CELLS), SIDE // CELL)
    centres = np.stack([(x + 0.5) * CELL, (y + 0.5) * CELL]).astype(np.float32)
    size = np.full((2, CELLS), CELL, np.float32)
    columns = np.concatenate([centres, size])[None]  # (1, 4, N)
    corners = np.concatenate([centres - CELL / 2, centres + CELL / 2])[None]
    zero = np.zeros((1, 1, CELLS), np.float32)
    constants = {
        "axis": np.array([1]),
        "flat": np.array([1, 1, CELLS]),
        "columns": columns,
        "corners": corners,
        "zero": zero,
        "one": zero + 1,
        "shares": columns / SIDE,
        "labels": np.zeros((1, CELLS), np.int64),
        "row": np.array([1, CELLS]),
        "twenty": np.full((1, 1, CELLS), 20, np.float32),
        "half": np.full((1, 1, CELLS), 0.5, np.float32),
    }
    nodes = [
        helper.make_node("ReduceMean", ["picture", "axis"], ["grey"], keepdims=1),
        helper.make_node(
            "AveragePool", ["grey"], ["cells"], kernel_shape=[CELL, CELL], strides=[CELL, CELL]
        ),
        helper.make_node("Reshape", ["cells", "flat"], ["score"]),
    ]

    def joined(*parts: str, turned: bool = False, name: str = "out") -> None:
        inner = f"{name}_columns" if turned else name
        nodes.append(helper.make_node("Concat", list(parts), [inner], axis=1))
        if turned:
            nodes.append(helper.make_node("Transpose", [inner], [name], perm=[0, 2, 1]))

    outputs: list[tuple[str, int, list[int]]] = []
    if layout == "columns":
        joined("columns", "score", "zero")
        outputs = [("out", TensorProto.FLOAT, [1, 6, CELLS])]
    elif layout == "rows":
        joined("columns", "score", "zero", "zero", turned=True)
        outputs = [("out", TensorProto.FLOAT, [1, CELLS, 7])]
    elif layout == "objectness":
        joined("columns", "one", "score", *["zero"] * 79, turned=True)
        outputs = [("out", TensorProto.FLOAT, [1, CELLS, 85])]
    elif layout == "corners":
        joined("corners", "score", "zero", turned=True)
        outputs = [("out", TensorProto.FLOAT, [1, CELLS, 6])]
    elif layout == "detr":
        nodes.append(helper.make_node("Sub", ["score", "half"], ["centred"]))
        nodes.append(helper.make_node("Mul", ["centred", "twenty"], ["logit"]))
        nodes.append(helper.make_node("Neg", ["twenty"], ["never"]))
        joined("logit", "never", turned=True, name="logits")
        joined("shares", turned=True, name="boxes")
        outputs = [
            ("logits", TensorProto.FLOAT, [1, CELLS, 2]),
            ("boxes", TensorProto.FLOAT, [1, CELLS, 4]),
        ]
    elif layout == "labelled":
        joined("corners", turned=True, name="boxes")
        nodes.append(helper.make_node("Reshape", ["score", "row"], ["scores"]))
        nodes.append(helper.make_node("Identity", ["labels"], ["found"]))
        outputs = [
            ("found", TensorProto.INT64, [1, CELLS]),
            ("boxes", TensorProto.FLOAT, [1, CELLS, 4]),
            ("scores", TensorProto.FLOAT, [1, CELLS]),
        ]
    else:  # a classifier
        outputs = [("score", TensorProto.FLOAT, [1, 1, CELLS])]
    graph = helper.make_graph(
        nodes,
        "detector",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info(*one) for one in outputs],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path
