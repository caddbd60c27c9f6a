"""Write a model for a device and run the artefact as an application would.

    python examples/export.py runs/first model.onnx clip.mp4

`export_model` runs both on the same clips before the artefact takes its place; the artefact carries
class names, sampling, sizes and normalisation, and stands wherever a checkpoint does.
"""

from __future__ import annotations

import sys

from video_mobile_former import ExportRequest, Prediction, Predictor, export_model, load_model
from video_mobile_former.models.video_model import VideoModel

TARGETS = {".onnx": "onnx", ".xml": "openvino", ".pt2": "torch", ".pte": "executorch"}


def main(checkpoint: str, out: str, clip: str) -> tuple[Prediction, Prediction]:
    """Export, and predict with the model and with its artefact."""
    model = load_model(checkpoint)
    if not isinstance(model, VideoModel):
        sys.exit(f"{checkpoint} is an artefact already")
    target = TARGETS["." + out.rpartition(".")[2]]
    written = export_model(model, out, ExportRequest(target=target, dtype="uint8"))
    print(f"{written.path}: {written.num_bytes / 1e6:.1f} MB, {written.parity}")

    before, after = (Predictor(one).predict(clip, top_k=1) for one in (model, load_model(out)))
    print(f"{before.labels[0]} {before.scores[0]:.4f}, of the artefact {after.scores[0]:.4f}")
    return before, after


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit((__doc__ or "").strip())
    main(*sys.argv[1:])
