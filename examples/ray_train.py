"""Train on the machines of a Ray cluster: each worker is a process of one run.

    python examples/ray_train.py recipe.yaml --workers 8 --gpu

The recipe is one of `vmf train`; its data and its `out` must be where every machine sees them. Ray
starts the processes and says who is who; Lightning Fabric does the rest, as under torchrun. If a
worker is lost the run ends; the same command goes on from the saved state, and with `--retries` Ray
gives it by itself.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
from typing import Any

import ray.train
from ray.train.torch import TorchConfig, TorchTrainer

from video_mobile_former import fit
from video_mobile_former.training.recipe.read import load_recipe


def work(config: dict[str, Any]) -> None:
    """What each worker does: one process of the run."""
    place = ray.train.get_context()
    # What torchrun would have said. Every worker counts as a node of one device, so that it does
    # not matter how Ray has shared them out.
    os.environ |= {
        "TORCHELASTIC_RUN_ID": "ray",
        "RANK": str(place.get_world_rank()),
        "WORLD_SIZE": str(place.get_world_size()),
        "GROUP_RANK": str(place.get_world_rank()),
        "LOCAL_RANK": "0",
        "LOCAL_WORLD_SIZE": "1",
    }
    recipe = load_recipe(config["recipe"])
    train = dataclasses.replace(recipe.train, devices=1, nodes=place.get_world_size())
    fit(dataclasses.replace(recipe, train=train))


def main(recipe: str, *, workers: int = 2, gpu: bool = False, retries: int = 0) -> None:
    """Train; what was measured stands in the folder of the run."""
    out = load_recipe(recipe).out
    trainer = TorchTrainer(
        work,
        train_loop_config={"recipe": os.path.abspath(recipe)},  # noqa: PTH100
        torch_config=TorchConfig(backend="nccl" if gpu else "gloo"),
        scaling_config=ray.train.ScalingConfig(num_workers=workers, use_gpu=gpu),
        run_config=ray.train.RunConfig(
            failure_config=ray.train.FailureConfig(max_failures=retries)
        ),
    )
    trainer.fit()
    print(f"trained {out}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", help="a .yaml file, as runs/x/recipe.yaml")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--gpu", action="store_true", help="a GPU for each worker")
    parser.add_argument("--retries", type=int, default=0, help="times that Ray starts it again")
    main(**vars(parser.parse_args()))
