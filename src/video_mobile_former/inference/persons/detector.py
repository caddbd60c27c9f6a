"""A detector of the user's own, an ONNX file run by ONNX Runtime, and what its outputs mean.

Layouts that are understood, told apart by shapes; K classes, N boxes:

- ``(1, 4 + K, N)`` or ``(1, N, 4 + K)``: centre, width, height in pixels of the input, then class
  scores (YOLOv8 and later, YOLO11); overlaps are removed here;
- ``(1, N, 85)``, 370 or 606: the same with an objectness before the scores of the classes of COCO,
  Objects365 or Open Images (YOLOv5, YOLOv7);
- ``(1, N, 6)``: left, top, right, bottom, score, class (YOLOv10, exports with NMS);
- two outputs, ``(1, N, 4)`` centre, width, height from 0 to 1 and ``(1, N, K)`` logits (DETR,
  RT-DETR, RF-DETR);
- three outputs, labels ``(1, N)``, boxes ``(1, N, 4)`` and scores ``(1, N)``, boxes being left,
  top, right, bottom (RT-DETR and D-FINE with their post-processing).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np

from ...console import quiet
from ...errors import UserError
from ...optional import require
from ...text import printable

Layout = Literal["columns", "rows", "objectness", "corners", "detr", "labelled"]
_FREE_SIDE = 640
"""Pixels of the input of a detector that takes any size."""
_LARGEST_SIDE = 4096
_GREY = 114
"""What letterboxing fills with, as those who train YOLO do."""
_MOST_BOXES = 300


@dataclass(frozen=True)
class Found:
    """N boxes in a picture, the surest first."""

    corners: np.ndarray
    """``(N, 4)`` float64 pixels of the picture: left, top, right, bottom, inside of it."""
    scores: np.ndarray
    """``(N,)`` float64, 0 to 1."""


class Detector:
    """Finds persons in single pictures with an ONNX file.

    Nothing in the file is run but operators of ONNX Runtime itself: no libraries of operators are
    loaded, and weights in other files are refused.

    Args:
        path: ``.onnx``; takes one float32 (0 to 1) or uint8 picture (1, 3, H, W) or (1, H, W, 3).
        person: Number of the class of persons; 0 in COCO as YOLO and RT-DETR have it, 1 in DETR's.
        threshold: Least score of a box.
        iou: Overlap from which the less sure of two boxes is dropped, for layouts that need it.
        threads: Of ONNX Runtime.

    Raises:
        UserError: If the file is none, has parts elsewhere, or its inputs or outputs are unknown;
            onnxruntime is not installed; or a number is out of range.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        person: int = 0,
        threshold: float = 0.25,
        iou: float = 0.5,
        threads: int = 1,
    ):
        for name, value in (("threshold", threshold), ("iou", iou)):
            if not 0 < value < 1:
                raise UserError(f"{name} must be between 0 and 1, not {value}")
        if person < 0:
            raise UserError(f"person must be the number of a class, from 0, not {person}")
        self.path, self.person, self.threshold, self.iou = Path(path), person, threshold, iou
        self._name = printable(str(path))
        self._session = _open(self.path, self._name, threads)
        self._take_input()
        self.layout: Layout | None = None
        self._outputs: list[Any] = [one.name for one in self._session.get_outputs()]
        # The shapes in a file may be free, and wrong: what comes out of a grey picture tells.
        self(np.full((48, 64, 3), _GREY, np.uint8))

    def __call__(self, picture: np.ndarray) -> Found:
        """Find persons.

        Args:
            picture: ``(H, W, 3)`` uint8 RGB.

        Raises:
            UserError: If the detector fails, or gives what is no box.
        """
        given, scale, left, top = letterbox(picture, self.height, self.width)
        feeds = {self._input.name: self._laid_out(given)}
        if self._sizes is not None:
            sides = np.array([[self.width, self.height]], np.int64)
            feeds[self._sizes.name] = sides
        try:
            with quiet(output=True):
                outputs = self._session.run(None, feeds)
        except Exception as error:
            raise UserError(f"{self._name}: the detector fails: {_first_line(error)}") from error
        if self.layout is None:
            self.layout = layout_of([np.shape(one) for one in outputs], self._name)
        corners, scores = self._read(outputs)
        if not (np.isfinite(corners).all() and np.isfinite(scores).all()):
            raise UserError(f"{self._name}: the detector gives boxes that are no numbers")
        kept = scores >= self.threshold
        corners, scores = corners[kept], np.minimum(scores[kept], 1.0)
        corners = (corners - [left, top, left, top]) / scale
        height, width = picture.shape[:2]
        corners = np.clip(corners, 0, [width, height, width, height])
        kept = (corners[:, 2:] - corners[:, :2] >= 1).all(axis=1)
        corners, scores = corners[kept], scores[kept]
        if self.layout in ("columns", "rows", "objectness"):
            chosen = suppressed(corners, scores, self.iou)
        else:
            chosen = np.argsort(-scores, kind="stable")
        chosen = chosen[:_MOST_BOXES]
        return Found(corners[chosen], scores[chosen])

    def _take_input(self) -> None:
        inputs = list(self._session.get_inputs())
        pictures = [one for one in inputs if len(one.shape) == 4]
        others = [one for one in inputs if len(one.shape) != 4]
        sizes = [one for one in others if len(one.shape) == 2 and one.type == "tensor(int64)"]
        if len(pictures) != 1 or len(sizes) != len(others) or len(sizes) > 1:
            names = ", ".join(f"{printable(one.name)} {one.shape}" for one in inputs)
            raise UserError(
                f"{self._name}: a detector takes one picture (1, 3, H, W) or (1, H, W, 3), not "
                f"{names}"
            )
        (self._input,), self._sizes = pictures, sizes[0] if sizes else None
        shape = self._input.shape
        self._channels_last = shape[3] == 3 and shape[1] != 3
        if not self._channels_last and shape[1] not in (3, None) and not isinstance(shape[1], str):
            raise UserError(f"{self._name}: a detector takes RGB, not pictures {shape}")
        if self._input.type not in ("tensor(float)", "tensor(float16)", "tensor(uint8)"):
            raise UserError(
                f"{self._name}: a detector takes float or uint8, not {self._input.type}"
            )
        sides = shape[1:3] if self._channels_last else shape[2:4]
        self.height, self.width = (
            side if isinstance(side, int) and side > 0 else _FREE_SIDE for side in sides
        )
        if max(self.height, self.width) > _LARGEST_SIDE:
            raise UserError(f"{self._name}: pictures of {shape} are too large")

    def _laid_out(self, picture: np.ndarray) -> np.ndarray:
        batch = picture[None] if self._channels_last else picture.transpose(2, 0, 1)[None]
        if self._input.type == "tensor(uint8)":
            return np.ascontiguousarray(batch)
        kind = np.float16 if self._input.type == "tensor(float16)" else np.float32
        return (np.ascontiguousarray(batch) / np.float32(255)).astype(kind)

    def _read(self, outputs: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Corners (N, 4) in pixels of the input and scores (N,) of persons."""
        first = np.asarray(outputs[0], np.float64) if self.layout != "labelled" else outputs[0]
        if self.layout == "labelled":
            labels, boxes, scores = _by_rank(outputs)
            return boxes.astype(np.float64), np.where(labels == self.person, scores, 0.0)
        if self.layout == "detr":
            boxes, logits = sorted(outputs, key=lambda one: one.shape[2] != 4)
            scores = 1 / (1 + np.exp(-np.asarray(logits, np.float64)[0]))
            sides = [self.width, self.height, self.width, self.height]
            centres = np.asarray(boxes, np.float64)[0] * sides
            return corners_of(centres), self._of_person(scores)
        if self.layout == "corners":
            rows = first[0]
            return rows[:, :4], np.where(rows[:, 5].round() == self.person, rows[:, 4], 0.0)
        rows = first[0].T if self.layout == "columns" else first[0]
        if self.layout == "objectness":
            return corners_of(rows[:, :4]), rows[:, 4] * self._of_person(rows[:, 5:])
        return corners_of(rows[:, :4]), self._of_person(rows[:, 4:])

    def _of_person(self, scores: np.ndarray) -> np.ndarray:
        """The column of persons, where it is the best of its row."""
        if self.person >= scores.shape[1]:
            raise UserError(
                f"{self._name}: class {self.person} is to be persons, but the detector has "
                f"{scores.shape[1]}, counted from 0"
            )
        return np.where(scores.argmax(axis=1) == self.person, scores[:, self.person], 0.0)


def layout_of(shapes: list[tuple[int, ...]], name: str) -> Layout:
    """What outputs of these shapes mean, see the head of this file.

    Raises:
        UserError: If they are none of the known.
    """
    if all(shape and shape[0] == 1 for shape in shapes):
        if len(shapes) == 1 and len(shapes[0]) == 3:
            _, rows, columns = shapes[0]
            if columns == 6 and rows != 6:
                return "corners"
            if columns in (85, 370, 606):  # of COCO, Objects365 and Open Images
                return "objectness"
            # Boxes are many, numbers of a box few.
            if 5 <= rows < columns:
                return "columns"
            if 5 <= columns < rows:
                return "rows"
        if len(shapes) == 2 and all(len(shape) == 3 for shape in shapes):
            same = shapes[0][1] == shapes[1][1]
            if same and sorted(shape[2] == 4 for shape in shapes) == [False, True]:
                return "detr"
        if len(shapes) == 3 and sorted(len(shape) for shape in shapes) == [2, 2, 3]:
            boxes = next(shape for shape in shapes if len(shape) == 3)
            if boxes[2] == 4 and all(shape[1] == boxes[1] for shape in shapes):
                return "labelled"
    told = ", ".join(str(tuple(shape)) for shape in shapes)
    raise UserError(
        f"{name}: outputs {told} are of no known detector; known are (1, 4 + K, N), (1, N, 4 + K), "
        "(1, N, 85), (1, N, 6), boxes (1, N, 4) with logits (1, N, K), and labels, boxes, scores"
    )


def _by_rank(outputs: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels (N,), boxes (N, 4) and scores (N,), in whatever order they come."""
    boxes = next(one for one in outputs if one.ndim == 3)
    flat = [one for one in outputs if one.ndim == 2]
    whole = [one for one in flat if np.issubdtype(one.dtype, np.integer)]
    labels = whole[0] if whole else flat[0]
    scores = next(one for one in flat if one is not labels)
    return labels[0], boxes[0], np.asarray(scores[0], np.float64)


def letterbox(
    picture: np.ndarray, height: int, width: int
) -> tuple[np.ndarray, float, float, float]:
    """A picture scaled to fit, grey around it.

    Args:
        picture: ``(H, W, 3)`` uint8.
        height: Of the result.
        width: Of the result.

    Returns:
        ``(height, width, 3)`` uint8; the scale; and the columns and rows of grey left and above.
        A place x of the picture is at ``x · scale + left``.
    """
    h, w = picture.shape[:2]
    scale = min(width / w, height / h)
    size = max(1, round(w * scale)), max(1, round(h * scale))
    if size != (w, h):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        picture = frame.reformat(width=size[0], height=size[1], format="rgb24").to_ndarray()
    out = np.full((height, width, 3), _GREY, np.uint8)
    left, top = (width - size[0]) // 2, (height - size[1]) // 2
    out[top : top + size[1], left : left + size[0]] = picture
    return out, scale, left, top


def corners_of(boxes: np.ndarray) -> np.ndarray:
    """Left, top, right, bottom of boxes ``(N, 4)`` given by centre, width, height."""
    half = boxes[:, 2:] / 2
    return np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)


def suppressed(corners: np.ndarray, scores: np.ndarray, iou: float) -> np.ndarray:
    """Positions of boxes without those that overlap a surer one, the surest first.

    Args:
        corners: ``(N, 4)``.
        scores: ``(N,)``.
        iou: Intersection over union from which two are of one thing.
    """
    order = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while len(order):
        first, order = order[0], order[1:]
        kept.append(int(first))
        order = order[overlaps(corners[first], corners[order]) < iou]
    return np.array(kept, dtype=np.int64)


def overlaps(one: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of a box (4,) with others ``(N, 4)``, as ``(N,)``."""
    near, far = np.maximum(one[:2], others[:, :2]), np.minimum(one[2:], others[:, 2:])
    common = np.clip(far - near, 0, None).prod(axis=1)
    areas = (others[:, 2:] - others[:, :2]).prod(axis=1) + (one[2:] - one[:2]).prod()
    return common / np.maximum(areas - common, 1e-12)


def _open(path: Path, name: str, threads: int) -> Any:
    """A session of a file that stands alone."""
    runtime: Any = require("onnxruntime", extra="persons", purpose="a detector")
    onnx: Any = require("onnx", extra="persons", purpose="a detector")
    if not path.is_file():
        raise UserError(f"{name}: no such file; name a detector as .onnx")
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:
        raise UserError(f"{name} is no ONNX file: {_first_line(error)}") from error
    if _has_external_data(model):
        raise UserError(
            f"{name} keeps weights in another file, which is not read; save it as one file"
        )
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4
    try:
        # From the bytes that were checked: the file may be another by now.
        return runtime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:
        raise UserError(f"{name} cannot be loaded: {_first_line(error)}") from error


def _has_external_data(message: Any) -> bool:
    """Whether a tensor anywhere in a model lies in another file."""
    if message.DESCRIPTOR.name == "TensorProto":
        return message.data_location == 1 or bool(message.external_data)
    for field, value in message.ListFields():
        if field.message_type is not None:
            several = (value,) if hasattr(value, "DESCRIPTOR") else value
            if any(_has_external_data(one) for one in several):
                return True
    return False


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return printable(lines[0][:300]) if lines else type(error).__name__
