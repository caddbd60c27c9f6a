"""Fine-tune on a folder of clips, measure and predict: the same as three commands.

    python examples/fine_tune.py clips/ runs/example

The folder holds one folder a class. What is asked for here are the keys of `vmf train --help`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from video_mobile_former import Predictor, evaluate, fit, load_index, load_model
from video_mobile_former.training.recipe.read import recipe_from_dict


def main(data: str, out: str, *, epochs: int = 30) -> None:
    """Train, then measure the best checkpoint and predict one clip with it."""
    recipe = recipe_from_dict(
        {
            "out": out,
            "data": {"path": data},
            "model": {"name": "vmf_500m", "weights": "procedural"},
            "clip": {"num_frames": 8, "crop_size": 112},
            "train": {"epochs": epochs},
        }
    )
    fit(recipe)  # the same call continues a run that was interrupted
    model = load_model(out)

    # Clips that the training held out are measured, where the data has no split that says so.
    print(evaluate(model, data).summary())

    clip = load_index(data, class_names=model.class_names).clips[0]
    found = Predictor(model).predict(clip.path, top_k=1)
    print(Path(found.path).name, found.labels[0], round(found.scores[0], 3))


if __name__ == "__main__":  # the processes that decode import this file
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", help="folder of class folders, or a CSV")
    parser.add_argument("out", help="folder of the run")
    parser.add_argument("--epochs", type=int, default=30)
    main(**vars(parser.parse_args()))
