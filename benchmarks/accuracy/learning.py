"""Training one network on clips in memory with the package's own parts, on one device."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import Any

import torch
from clip_sets import ClipSet, Task
from networks import Entry
from torch import Tensor

from video_mobile_former.clip_spec import ClipSpec
from video_mobile_former.data.transforms import EvalTransform, TrainTransform, augment, normalize
from video_mobile_former.training.objectives.supervised import classification_loss
from video_mobile_former.training.optim import build_optimizer, learning_rate
from video_mobile_former.training.recipe.fields import AugmentRecipe, OptimRecipe
from video_mobile_former.training.run.ema import WeightAverage

EMA_DECAY = 0.999
CURVE_POINTS = 4


@dataclass(frozen=True)
class Schedule:
    """What is the same for every network on one set of clips."""

    epochs: int
    batch_size: int
    optim: OptimRecipe
    augment: AugmentRecipe


def schedule_of(task: Task, epochs: int, lr: float | None = None) -> Schedule:
    """The defaults of ``vmf train`` for real clips, the recipe ``demo`` for procedural ones.

    Args:
        task: The clips.
        epochs: Passes over them.
        lr: Highest rate, in place of theirs.
    """
    if task.families is None:
        real = OptimRecipe(lr=lr or OptimRecipe().lr)
        return Schedule(epochs, 16, real, AugmentRecipe(horizontal_flip=task.flips))
    optim = OptimRecipe(
        lr=lr or 3e-3,
        betas=(0.9, 0.99),
        weight_decay=0.01,
        label_smoothing=0.0,
        warmup_epochs=min(1.0, epochs / 10),
    )
    still = AugmentRecipe(
        scale=(1.0, 1.0), ratio=(1.0, 1.0), horizontal_flip=False, color_jitter=0.0
    )
    return Schedule(epochs, 32, optim, still)


def train(entry: Entry, task: Task, schedule: Schedule, seed: int, device: str) -> dict[str, Any]:
    """Train from scratch and test the averaged weights of the last step, one centred view.

    Nothing is chosen by validation: all runs take the same steps and the last weights count.

    Returns:
        Accuracies as JSON data, and the processor (or device) minutes that training took.
    """
    torch.manual_seed(seed)
    model: Any = entry.build(len(task.class_names)).to(device).train()
    average = WeightAverage(model, EMA_DECAY)
    optimizer = build_optimizer(model, schedule.optim)
    spec = clip_spec(entry)
    steps = len(task.train) // schedule.batch_size
    if not steps:
        sys.exit(
            f"{task.name}: {len(task.train)} clips do not fill a batch of {schedule.batch_size}"
        )
    marks = {round(steps * schedule.epochs * (i + 1) / CURVE_POINTS) for i in range(CURVE_POINTS)}
    curve: list[dict[str, float]] = []
    seconds, step, right, loss = 0.0, 0, torch.empty(0), torch.empty(0)
    for epoch in range(schedule.epochs):
        order = torch.randperm(len(task.train), generator=_generator(seed, epoch))
        for part in order[: steps * schedule.batch_size].split(schedule.batch_size):
            began = _clock(device)
            rate = learning_rate(
                step, schedule.optim, steps_per_epoch=steps, epochs=schedule.epochs
            )
            for group in optimizer.param_groups:
                group["lr"] = rate * group["lr_scale"]
            clips = changed(task.train, part, spec, schedule.augment, seed, epoch)
            logits = model(normalize(clips.to(device), spec))
            loss = classification_loss(
                logits,
                task.train.labels[part].to(device),
                label_smoothing=schedule.optim.label_smoothing,
            )
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), schedule.optim.gradient_clip or 1e9)
            optimizer.step()
            average.update(model)
            seconds += _clock(device) - began
            step += 1
            if step in marks:
                scores = predict(average.model, task.test, spec, device)
                right = scores.argmax(1) == task.test.labels
                top1 = right.float().mean().item()
                curve.append({"step": step, "minutes": seconds / 60, "top1": top1})
    return {
        "top1": curve[-1]["top1"],
        "correct": "".join("01"[hit] for hit in right.tolist()),
        "families": by_family(right, task),
        "minutes": seconds / 60,
        "train_loss": loss.item(),
        "curve": curve,
    }


def changed(
    clips: ClipSet, which: Tensor, spec: ClipSpec, recipe: AugmentRecipe, seed: int, epoch: int
) -> Tensor:
    """A training batch (B, 3, T, S, S) uint8; every clip's changes depend on its place alone."""
    transform = TrainTransform(
        spec,
        scale=recipe.scale,
        ratio=recipe.ratio,
        horizontal_flip=recipe.horizontal_flip,
        color_jitter=recipe.color_jitter,
    )
    out = []
    for i in which.tolist():
        generator = _generator(seed, epoch, i)
        frames = clips.clips[i]
        clip = frames[chosen(len(frames), spec.num_frames, generator)]
        out.append(augment(*transform.crop(clip, generator)))
    return torch.stack(out).transpose(1, 2)


def chosen(kept: int, wanted: int, generator: torch.Generator | None) -> Tensor:
    """One position of each of ``wanted`` equal segments of ``kept`` frames."""
    within = torch.full((wanted,), 0.5)
    if generator is not None:
        within = torch.rand(wanted, generator=generator)
    return ((torch.arange(wanted) + within) * kept / wanted).long()


@torch.no_grad()
def predict(model: Any, clips: ClipSet, spec: ClipSpec, device: str) -> Tensor:
    """Logits (N, K) of the centred view of every clip."""
    model.eval()
    transform, scores = EvalTransform(spec), []
    for start in range(0, len(clips), 32):
        some = range(start, min(start + 32, len(clips)))
        views = [
            transform(clips.clips[i][chosen(len(clips.clips[i]), spec.num_frames, None)])[0]
            for i in some
        ]
        batch = torch.stack(views).transpose(1, 2).to(device)
        scores.append(model(normalize(batch, spec)).float().cpu())
    return torch.cat(scores)


def by_family(right: Tensor, task: Task) -> dict[str, float] | None:
    """Accuracy on the clips of each family of classes."""
    if task.families is None:
        return None
    owner = [task.families[label] for label in task.test.labels.tolist()]
    return {
        family: right[torch.tensor([name == family for name in owner])].float().mean().item()
        for family in dict.fromkeys(task.families)
        if family in owner
    }


def clip_spec(entry: Entry) -> ClipSpec:
    """What the network of an entry takes; tests see the whole height of a clip but for a margin."""
    return ClipSpec(
        num_frames=entry.num_frames, crop_size=entry.size, resize_size=entry.size * 9 // 8
    )


def _generator(*place: int) -> torch.Generator:
    # Any hash of the place will do; a sum would repeat itself along diagonals.
    state = 0
    for number in place:
        state = (state * 1_000_003 + number + 12_345) % 2**61
    return torch.Generator().manual_seed(state)


def _clock(device: str) -> float:
    """Processor seconds on a CPU, which other programs do not stretch; else those of the wall."""
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()
