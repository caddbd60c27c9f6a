"""The example of Ray Train, on a Ray cluster of two node processes."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from procedural_files import write_clips
from video_mobile_former.training.recipe.read import recipe_from_dict, save_recipe

pytestmark = pytest.mark.slow
SCRIPT = Path(__file__).parents[1] / "examples" / "ray_train.py"


@pytest.fixture
def address() -> Iterator[str]:
    """Of a cluster of two nodes, each with room for one worker."""
    pytest.importorskip("ray.train.torch", reason="Ray Train is not installed")
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    cluster = cluster_utils.Cluster()
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=1, include_dashboard=False)
        yield cluster.address
    finally:
        cluster.shutdown()


def test_two_nodes_train_one_run(address: str, tmp_path: Path) -> None:
    recipe = recipe_from_dict(
        {
            "out": str(tmp_path / "run"),
            "data.path": str(write_clips(tmp_path / "clips", {"train": 3, "val": 1})),
            "data.num_workers": 0,
            "clip.num_frames": 4,
            "clip.crop_size": 32,
            "train.epochs": 2,
            "train.batch_size": 4,
            "train.device": "cpu",
            "train.page": False,
        }
    )
    save_recipe(recipe, tmp_path / "recipe.yaml")
    own = {"RAY_ADDRESS": address, "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path / "recipe.yaml"), "--workers", "2"],
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.endswith(f"trained {tmp_path / 'run'}\n")
    assert (tmp_path / "run" / "last" / "model.safetensors").is_file()
    with (tmp_path / "run" / "metrics.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["row"] == "train"]
    # 24 clips, three steps of two batches of four: neither process saw all of them alone.
    assert [(row["step"], row["clips"]) for row in rows] == [("3", "24"), ("6", "24")]
