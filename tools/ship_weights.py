"""Turn a pre-training run, finished or interrupted, into weights that come with the package.

    python tools/ship_weights.py runs/procedural_500m [--checkpoint last] [--transfer FILE.json] \
        [--remark "…"]

Takes the averaged weights of the run's checkpoint without the head, in half precision, writes
``NAME-procedural.safetensors`` and its card ``NAME-procedural.json`` into the package's ``weights``
folder, loads them again as a user would and compares features with those of the checkpoint.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from video_mobile_former import UserError, create_model
from video_mobile_former.files import atomic_files, write_json
from video_mobile_former.models import shipped_weights
from video_mobile_former.models.registry import load_checkpoint
from video_mobile_former.models.video_model import VideoModel
from video_mobile_former.training.run.run_folder import RunFolder

MAX_BYTES = 12_000_000
MAX_DIFFERENCE = 0.02
"""Of a logit, as part of the largest one."""
TRANSFER_KEYS = ("command", "note", "split", "epochs", "views", "device")
LIMITS = (
    "Learned from drawn clips alone: what motion looks like, not what things are. Fine-tune them; "
    "the head is new. Colours and textures of real video are not among what they have seen."
)


def half(model: VideoModel) -> dict[str, torch.Tensor]:
    """Everything but the head; floats in half precision.

    Raises:
        UserError: If a number does not fit.
    """
    kept = {k: v for k, v in model.state_dict().items() if not k.startswith(shipped_weights.HEAD)}
    out = {k: v.half() if v.is_floating_point() else v for k, v in kept.items()}
    large = [key for key, value in out.items() if not value.float().isfinite().all()]
    if large:
        raise UserError(f"{large[0]}: a value does not fit half precision, or is not finite")
    return {key: value.contiguous() for key, value in out.items()}


def card(
    model: VideoModel, name: str, run: RunFolder, transfer: Any, remarks: list[str]
) -> dict[str, Any]:
    """What a person wants to know of the weights, as JSON data."""
    measured = transfer or {}
    training = model.info["training"]
    recipe = {key: value for key, value in training["recipe"].items() if key != "out"}
    return {
        "model": name,
        "kind": "procedural",
        "arguments": {"head_activation": model.architecture["head_activation"]},
        "license": "Apache-2.0",
        "data": "none: clips are drawn by video_mobile_former.procedural",
        "made_by": f"vmf train procedural_{name.removeprefix('vmf_')}, then tools/ship_weights.py",
        "finished": bool(run.load_state(tensors=False)["finished"]),
        "seed": recipe["seed"],
        "clips_seen": training["epoch"] * training["clips"],
        "hours": round(training["seconds"] / 3600, 2),
        "device": training["device"],
        "versions": training["versions"],
        "clip": model.clip.to_dict(),
        "validation": model.info.get("measured", {}).get("validation"),
        "transfer": measured.get("summary"),
        "transfer_by": {key: measured[key] for key in TRANSFER_KEYS if key in measured} or None,
        "remarks": remarks,
        "limits": LIMITS,
        "recipe": recipe,
    }


def difference(model: VideoModel, name: str, folder: Path) -> float:
    """Largest difference of the logits to those of the same head on the shipped weights."""
    kept = ("num_frames", "crop_size", "head_activation")
    arguments = {k: v for k, v in model.architecture.items() if k in kept}
    again = create_model(name, model.num_classes, **arguments).eval()
    shipped_weights.load_shipped(again, name, "procedural", folder)
    again.classifier.load_state_dict(model.classifier.state_dict())
    size = model.clip.crop_size
    clips = torch.randn(4, 3, model.clip.num_frames, size, size)
    with torch.no_grad():
        one, other = model.eval()(clips), again(clips)
    return float((one - other).abs().max() / one.abs().max())


def main(argv: list[str] | None = None) -> int:
    """Write the files; gives the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of a vmf train procedural_… run")
    parser.add_argument("--checkpoint", default="last", choices=("best", "last"))
    parser.add_argument("--transfer", type=Path, help="result of benchmarks/transfer.py to quote")
    parser.add_argument("--remark", nargs="*", default=[], help="sentences for the card")
    parser.add_argument("--folder", type=Path, default=shipped_weights.FOLDER)
    args = parser.parse_args(argv)
    try:
        model = load_checkpoint(args.run / args.checkpoint)
        recipe = model.info.get("training", {}).get("recipe")
        if recipe is None:
            raise UserError(f"{args.run / args.checkpoint} does not say how it was trained")
        name = recipe["model"]["name"]
        own = create_model(name, model.num_classes).state_dict()  # refuses what is no name
        if {k: v.shape for k, v in own.items()} != {
            k: v.shape for k, v in model.state_dict().items()
        }:
            raise UserError(f"{args.run}: not the layers of {name}; weights of it fit nobody")
        transfer = None if args.transfer is None else json.loads(args.transfer.read_text())
        about = card(model, name, RunFolder(args.run), transfer, args.remark)
        target = args.folder / f"{name}-procedural.safetensors"
        # Both take their place only when they are known to be right, and small enough.
        with atomic_files([target, target.with_suffix(".json")]) as folder:
            staged = folder / target.name
            save_file(half(model), staged, metadata={"license": "Apache-2.0"})
            write_json(staged.with_suffix(".json"), about)
            others = [path for path in args.folder.glob("*.safetensors") if path != target]
            total = sum(path.stat().st_size for path in (staged, *others))
            if total > MAX_BYTES:
                raise UserError(f"{args.folder}: {total} bytes would be more than {MAX_BYTES}")
            found = difference(model, name, folder)
            if not found < MAX_DIFFERENCE:
                raise UserError(
                    f"{target} would not give the results of {args.run}: a logit differs by "
                    f"{found:.1e} of the largest"
                )
        print(f"{target}: {target.stat().st_size / 1e6:.2f} MB, {total / 1e6:.2f} MB in all")
        print(f"largest difference of a logit to single precision: {found:.1e} of the largest")
    except UserError as error:
        print(f"ship_weights: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
