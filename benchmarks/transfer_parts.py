"""What ``transfer.py`` learns from, and what it makes of features that stay as they are."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from video_mobile_former.data.index.division import split_index
from video_mobile_former.data.index.index import ClipIndex
from video_mobile_former.data.index.table import SPLITS
from video_mobile_former.data.loading.dataset import ClipDataset
from video_mobile_former.data.loading.loader import make_loader
from video_mobile_former.data.transforms import normalize

FULL = 0


def few(index: ClipIndex, clips: int, seed: int) -> np.ndarray:
    """Positions of so many clips of each class, fewer where it has no more; ``FULL`` takes all."""
    labels = index.table.label
    if clips == FULL:
        return np.arange(len(labels))
    rng = np.random.default_rng([seed, clips])
    found = [rng.permutation(np.flatnonzero(labels == c))[:clips] for c in np.unique(labels)]
    return np.sort(np.concatenate(found))


def pairs(index: ClipIndex, split: str) -> list[tuple[ClipIndex, ClipIndex]]:
    """What to learn from and what to measure on.

    Args:
        index: Clips with the splits train, val and test.
        split: val or test, after learning from train; or halves: train and val together are cut
            in two, with groups kept whole, and each half is learned from for the other. So all of
            them are measured on, five times as many as there are for validation.
    """
    train = index.split("train")
    if split != "halves":
        return [(train, index.split(split))]
    known = np.isin(index.table.split, [SPLITS.index(name) for name in ("train", "val")])
    known = dataclasses.replace(index, clips=index.table.take(np.flatnonzero(known)))
    one, other = split_index(known, 0.5, seed=0)
    return [(one, other), (other, one)]


def write_list(train: ClipIndex, clips: int, seed: int, val: ClipIndex, path: Path) -> Path:
    """A CSV of so many training clips of each class and of all clips for validation."""
    kept = train.table.take(few(train, clips, seed))
    lines = ["path\tlabel\tsplit\tstart_seconds\tend_seconds"]
    for part, table in (("train", kept), ("val", val.table)):
        for clip in table:
            times = (clip.start_seconds, clip.end_seconds)
            words = [clip.path, train.class_names[clip.label], part]
            lines.append("\t".join([*words, *("" if at is None else repr(at) for at in times)]))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@torch.no_grad()
def features(model: Any, index: ClipIndex) -> tuple[Tensor, Tensor]:
    """What the classifier sees of one centred view of each clip, (N, C), and the labels (N,)."""
    kept: list[Tensor] = []
    handle = model.classifier.register_forward_pre_hook(lambda _, args: kept.append(args[0]))
    labels: list[Tensor] = []
    loader = make_loader(ClipDataset(index, model.clip, train=False), batch_size=8, num_workers=1)
    for batch in loader:
        if len(batch["labels"]):
            model(normalize(batch["clips"][:, 0], model.clip))
            labels.append(batch["labels"])
    handle.remove()
    return torch.cat(kept).float(), torch.cat(labels)


def linear_probe(x: Tensor, y: Tensor, test: Tensor, decay: float = 1e-2) -> Tensor:
    """Classes (M,) by a logistic regression on standardised features, fitted by LBFGS."""
    mean, std = x.mean(0), x.std(0).clamp_min(1e-6)
    x, test = (x - mean) / std / x.shape[1] ** 0.5, (test - mean) / std / x.shape[1] ** 0.5
    layer = torch.nn.Linear(x.shape[1], int(y.max()) + 1)
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=300, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(layer(x), y) + decay * layer.weight.square().sum() / 2
        loss.backward()
        return loss

    optimizer.step(closure)  # pyright: ignore[reportArgumentType] - a Tensor is what it takes
    return layer(test).argmax(1)


def nearest(x: Tensor, y: Tensor, test: Tensor) -> Tensor:
    """Classes (M,) of the nearest neighbours by the cosine of standardised features."""
    mean, std = x.mean(0), x.std(0).clamp_min(1e-6)
    x, test = (F.normalize((v - mean) / std, dim=1) for v in (x, test))
    return y[(test @ x.T).argmax(1)]
