"""Train, measure and predict from Python: the same as the three commands.

python examples/train_in_python.py clips/ runs/example
"""

from __future__ import annotations

import sys

from video_mobile_former import load_checkpoint
from video_mobile_former.data.index.index import load_index
from video_mobile_former.evaluation import evaluate
from video_mobile_former.inference import Predictor
from video_mobile_former.training.fit import fit
from video_mobile_former.training.recipe.read import recipe_from_dict


def main(data: str, out: str) -> None:
    recipe = recipe_from_dict(
        {
            "out": out,
            "data": {"path": data},
            "clip": {"num_frames": 8, "crop_size": 112},
            "train": {"epochs": 30},
        }
    )
    result = fit(recipe)
    model = load_checkpoint(result.best or result.last)

    index = load_index(data, class_names=model.class_names)
    evaluation = evaluate(model, index, split="test" if "test" in index.splits() else None)
    print(evaluation.summary())

    prediction = Predictor(model).predict(index.clips[0].path, top_k=1)
    print(prediction.path, prediction.labels[0], round(prediction.scores[0], 3))


if __name__ == "__main__":  # data workers import this file
    if len(sys.argv) != 3:
        sys.exit((__doc__ or "").strip())
    main(*sys.argv[1:])
