"""The fields of a training recipe: frozen dataclasses, two levels deep.

A YAML recipe and the options of ``vmf train`` use exactly these names; the text under each field is
its ``--help``. The defaults are what works on a few hundred clips of two to ten seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from ..errors import RecipeError
from .augment_fields import AugmentRecipe
from .data_fields import ClipRecipe, DataRecipe, DecodeRecipe
from .pretrain_fields import PretrainRecipe
from .require import require


@dataclass(frozen=True)
class ModelRecipe:
    """Which network is trained, and from where it starts."""

    name: str = "vmf_500m"
    """A name listed by `vmf models`, or a checkpoint folder to fine-tune from."""
    weights: str | None = None
    """What to start from. procedural: the weights that come with the package, learned from drawn
    clips; or a file of public weights (.pth, .pth.tar, .safetensors) of the 2-D Mobile-Former
    release, `name` being the video variant that extends it, or of the network of that name among
    the others."""
    temporal_conv: Literal["3d", "2plus1d"] | None = None
    """Temporal kernel form; null = the variant's own, as for every null below."""
    temporal_kernel: int | None = None
    """Frames seen by each temporal convolution, odd."""
    stem_temporal_kernel: int | None = None
    """Frames seen by the temporal convolution of the stem, odd."""
    num_tokens: int | None = None
    """Global tokens; 0 = the light 3-D CNN alone."""
    bridges: Literal["two_way", "to_tokens", "to_features"] | None = None
    """Which way the bridges between features and tokens go; this and the next two are for
    ablations."""
    activation: Literal["dynamic", "relu6"] | None = None
    """Slopes steered by the first token, or none."""
    tokens_per: Literal["clip", "frame"] | None = None
    """One set of tokens for the whole clip, or one for each frame that sees it alone."""
    drop_rate: float | None = None
    """Dropout before the last layer, 0 to below 1."""
    drop_path_rate: float | None = None
    """Stochastic depth: chance of leaving out a residual in the last block, 0 to below 1."""
    form: Literal["auto", "volume", "frames"] | None = None
    """Graph form: the same weights and results at another speed."""

    def __post_init__(self) -> None:
        require(self, "model", "name", bool(self.name), "a model name or a checkpoint folder")
        for name in ("temporal_kernel", "stem_temporal_kernel"):
            value = getattr(self, name)
            require(self, "model", name, value is None or (value > 0 and value % 2), "odd")
        require(self, "model", "num_tokens", (self.num_tokens or 0) >= 0, "at least 0")
        for name in ("drop_rate", "drop_path_rate"):
            require(self, "model", name, 0 <= (getattr(self, name) or 0) < 1, "0 to below 1")


@dataclass(frozen=True)
class OptimRecipe:
    """The optimiser, its learning rate over time, and the loss."""

    optimizer: Literal["adamw", "sgd", "lamb"] = "adamw"
    """adamw; sgd with Nesterov's momentum; or lamb, for batches of a thousand clips and more. The
    others than adamw want an `lr` and `weight_decay` of their own."""
    lr: float = 1e-3
    """Highest learning rate, for one optimiser step whatever the batch size; see `lr_batch`."""
    lr_batch: int = 0
    """Videos in one optimiser step that `lr` and `min_lr` are meant for: both are multiplied by
    batch_size · accumulate · processes / lr_batch. 0 = they are used as they are."""
    layer_decay: float = 1.0
    """For fine-tuning: the head learns at `lr`, every block before it at this much of the rate of
    the block after it, and the stem, before them all, at the lowest; above 0, 1 = all alike."""
    min_lr: float = 1e-6
    """Learning rate at the end of the cosine; the steps go no lower either."""
    warmup_epochs: float = 3.0
    """Epochs of linear rise from 0 to `lr`, counted in steps; may be a fraction."""
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    """What follows the rise; step = `lr` times `step_factor` at each of `steps`."""
    steps: tuple[float, ...] = (0.5, 0.75)
    """Where schedule step lowers the rate: shares of the run (below 1) or epochs (from 1)."""
    step_factor: float = 0.1
    """What each of `steps` multiplies the rate by, above 0 to 1."""
    weight_decay: float = 0.05
    """Decay of matrices and kernels; norms, biases and tokens have none."""
    momentum: float = 0.9
    """Nesterov's momentum of sgd, 0 to below 1."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay of the two running averages of adamw and lamb."""
    gradient_clip: float | None = 1.0
    """Largest norm of the whole gradient; null = no limit."""
    loss: Literal["auto", "cross_entropy", "bce"] = "auto"
    """cross_entropy: one class of each clip; bce: every class by itself, yes or no; auto = bce for
    multi-label data, else cross_entropy."""
    label_smoothing: float = 0.1
    """Share of the target spread evenly over all classes, 0 to below 1."""
    class_weights: str = "none"
    """How much each class counts in the loss: none = as often as it occurs; balanced = all classes
    alike; or a CSV/TSV file with the columns class and weight. Scaled to a mean of 1 over the
    training labels."""
    temporal_smoothness: float = 0.0
    """Weight of a loss that keeps the features of consecutive frames on a smooth path
    (arXiv 2511.20928); 0 = none."""
    smoothness_frames: int = 5
    """Frames of the windows in which temporal_smoothness compares orders, 3 to 7."""

    def __post_init__(self) -> None:
        require(self, "optim", "lr", 0 < self.lr < math.inf, "above 0")
        require(self, "optim", "lr_batch", self.lr_batch >= 0, "at least 0")
        require(self, "optim", "layer_decay", 0 < self.layer_decay <= 1, "above 0 to 1")
        ok = 0 <= self.min_lr <= self.lr
        require(self, "optim", "min_lr", ok, f"between 0 and optim.lr ({self.lr})")
        require(self, "optim", "warmup_epochs", 0 <= self.warmup_epochs < math.inf, "at least 0")
        ok = all(0 < at < math.inf for at in self.steps)
        ok = ok and (bool(self.steps) or self.schedule != "step")
        require(self, "optim", "steps", ok, "one or more numbers above 0")
        require(self, "optim", "step_factor", 0 < self.step_factor <= 1, "above 0 to 1")
        require(self, "optim", "weight_decay", 0 <= self.weight_decay < math.inf, "at least 0")
        require(self, "optim", "momentum", 0 <= self.momentum < 1, "0 to below 1")
        require(self, "optim", "betas", all(0 <= b < 1 for b in self.betas), "0 to below 1")
        clip = self.gradient_clip
        require(self, "optim", "gradient_clip", clip is None or clip > 0, "above 0, or null")
        ok = 0 <= self.label_smoothing < 1
        require(self, "optim", "label_smoothing", ok, "0 to below 1")
        ok = bool(self.class_weights)
        require(self, "optim", "class_weights", ok, "none, balanced or a file")
        ok = 0 <= self.temporal_smoothness < math.inf
        require(self, "optim", "temporal_smoothness", ok, "at least 0")
        require(self, "optim", "smoothness_frames", 3 <= self.smoothness_frames <= 7, "3 to 7")


_OF_TEACHER = ("weights", "label_file", "mean", "std")


@dataclass(frozen=True)
class DistillRecipe:
    """A trained model whose scores are learned from beside the labels."""

    teacher: str | None = None
    """A checkpoint folder, an artefact of `vmf export`, a TorchScript or ONNX file of other makers,
    or with distill.weights a name of the other networks (x3d_s), with the same classes in the same
    order; null = none. TorchScript is a program: take it from people you trust."""
    weights: str | None = None
    """Public weights of a teacher that is such a name."""
    label_file: str | None = None
    """Class names of a teacher that does not tell them, one a line in the order of its scores, or
    a known set as kinetics400."""
    mean: tuple[float, float, float] | None = None
    """What a TorchScript or ONNX file of another maker wants subtracted from RGB in 0 to 1; null =
    as the student."""
    std: tuple[float, float, float] | None = None
    """What it wants that divided by; null = as the student."""
    weight: float = 0.5
    """Share of the teacher in the loss, 0 to 1; the labels have the rest."""
    temperature: float = 2.0
    """What the logits of both are divided by before they are compared, above 0; high ones let
    unlikely classes count more."""
    features: float = 0.0
    """Weight of a loss by which frames shall be alike for the student where they are for the
    teacher (arXiv 1907.09682), which must be a checkpoint folder; 0 = none."""

    def __post_init__(self) -> None:
        ok = self.teacher is None or bool(self.teacher)
        require(self, "distill", "teacher", ok, "a checkpoint folder or a file, or null")
        told = [name for name in _OF_TEACHER if getattr(self, name) is not None]
        if self.teacher is None and told:
            raise RecipeError(f"distill.{told[0]} says something of distill.teacher, which is null")
        ok = self.std is None or min(self.std) > 0
        require(self, "distill", "std", ok, "above 0")
        require(self, "distill", "weight", 0 <= self.weight <= 1, "0 to 1")
        ok = 0 < self.temperature < math.inf
        require(self, "distill", "temperature", ok, "above 0")
        ok = 0 <= self.features < math.inf
        require(self, "distill", "features", ok, "at least 0")


@dataclass(frozen=True)
class TrainRecipe:
    """How long, on what, and what is kept."""

    epochs: int = 60
    """Passes over the training clips."""
    freeze_epochs: int = 0
    """For fine-tuning: so many of the epochs, from the first, train the head alone, at a fraction
    of the cost; the rest stays as it is loaded, and then its rate rises over optim.warmup_epochs.
    As many as epochs = a linear classifier on frozen features."""
    batch_size: int = 16
    """Videos in one forward pass of one process; each gives augment.repeats clips."""
    accumulate: int = 1
    """Batches whose gradients are summed for one optimiser step."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Arithmetic of forward and backward; bf16 and fp16 keep the weights in fp32."""
    ema_decay: float | None = 0.999
    """Decay of the running average of the weights, which is what is evaluated and saved; it rises
    to this value over the first steps. null = save the weights themselves."""
    best_by: Literal["auto", "top1", "mean_class", "map", "loss"] = "auto"
    """What decides on validation which checkpoint is `best`; equal ones are told apart by the loss.
    auto = map (mean average precision) for multi-label data; mean_class where classes are
    balanced (`data.class_balanced`, `optim.class_weights`); else top1."""
    patience: int = 0
    """Stop early when validation has found no better checkpoint (`best_by`) for so many epochs;
    0 = train for all `epochs`."""
    accelerator: Literal["auto", "cpu", "gpu", "mps"] = "auto"
    """Kind of device."""
    devices: int = 1
    """Devices of one machine; above 1, one process each (DDP)."""
    nodes: int = 1
    """Machines; above 1, start the command with torchrun on each, or with srun."""
    sync_batchnorm: bool = False
    """Take the batch statistics over the clips of all processes; CUDA only."""
    compile: bool = False
    """Let torch.compile make code for this machine: minutes at the begin, and slower steps on the
    CPUs that were measured (docs/training.md)."""
    log_every_n_steps: int = 10
    """Optimiser steps between two `step` rows of the logs."""
    checkpoint_every_n_steps: int | None = None
    """Also save the state to resume from every so many optimiser steps."""
    checkpoint_every_minutes: float | None = 10.0
    """Also save the state to resume from when so many minutes passed since the last time."""

    def __post_init__(self) -> None:
        for name in ("epochs", "accumulate", "devices", "nodes", "log_every_n_steps"):
            require(self, "train", name, getattr(self, name) >= 1, "at least 1")
        # A single clip has no batch statistics.
        require(self, "train", "batch_size", self.batch_size >= 2, "at least 2")
        ok = 0 <= self.freeze_epochs <= self.epochs
        require(self, "train", "freeze_epochs", ok, f"between 0 and train.epochs ({self.epochs})")
        require(self, "train", "patience", self.patience >= 0, "at least 0")
        decay = self.ema_decay
        require(self, "train", "ema_decay", decay is None or 0 <= decay < 1, "0 to below 1")
        for name in ("checkpoint_every_n_steps", "checkpoint_every_minutes"):
            value = getattr(self, name)
            require(self, "train", name, value is None or value > 0, "above 0, or null")


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what a training run computes and where it is kept."""

    out: str | None = None
    """Folder for the checkpoints, logs and the state to resume from."""
    seed: int = 0
    """Seed of the weights, the order of clips, their random changes and dropout."""
    resume: bool = True
    """Continue an unfinished run found in `out`; false = refuse to touch one."""
    overwrite: bool = False
    """Delete a run found in `out` and start anew."""
    model: ModelRecipe = field(default_factory=ModelRecipe)
    """The network."""
    data: DataRecipe = field(default_factory=DataRecipe)
    """The clips."""
    decode: DecodeRecipe = field(default_factory=DecodeRecipe)
    """How video files are read."""
    clip: ClipRecipe = field(default_factory=ClipRecipe)
    """What is cut from a video."""
    augment: AugmentRecipe = field(default_factory=AugmentRecipe)
    """Random changes to training clips."""
    optim: OptimRecipe = field(default_factory=OptimRecipe)
    """Optimiser, learning rate and loss."""
    distill: DistillRecipe = field(default_factory=DistillRecipe)
    """A teacher."""
    pretrain: PretrainRecipe = field(default_factory=PretrainRecipe)
    """Pre-training: drawn clips, clips without labels."""
    train: TrainRecipe = field(default_factory=TrainRecipe)
    """Length, device and what is kept."""

    def __post_init__(self) -> None:
        require(self, "", "seed", 0 <= self.seed < 2**32, "0 to 4294967295")
