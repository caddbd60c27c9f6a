"""The fields of a training recipe: frozen dataclasses, two levels deep.

A YAML recipe and the options of ``vmf train`` use exactly these names; the text under each field is
its ``--help``. The defaults are what works on a few hundred clips of two to ten seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from ...errors import RecipeError


def require(section: Any, prefix: str, name: str, ok: Any, expected: str) -> None:
    """Refuse a value out of range, naming its key."""
    if not ok:
        key = f"{prefix}.{name}" if prefix else name
        raise RecipeError(f"{key} must be {expected}, not {getattr(section, name)!r}")


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
class DataRecipe:
    """Where clips and labels come from."""

    path: str | None = None
    """A folder of class folders, a CSV/TSV file with the columns path and label, or for a `format`
    of its own the folder of the videos or the list."""
    format: str = "auto"
    """How the data names its clips and labels: folder, list, prepared, shards, frames,
    slowfast, mmaction, kinetics400, kinetics600, kinetics700, something_something_v2, jester,
    ucf101, hmdb51, diving48 or charades; unlabelled (any folder of videos, for pretrain.task
    masked_features) or procedural (clips drawn while training); auto = one of the first four."""
    annotations: str | None = None
    """The list file of the format, or the folder in which its list files lie; null = `path`."""
    root: str | None = None
    """The folder that the paths of a list are relative to; null = `path` if that is a folder, else
    the folder of the list."""
    fold: int = 1
    """Which of the official divisions into splits, from 1 (ucf101, hmdb51)."""
    quarantine: str | None = None
    """A text file of clips to leave out, one path a line, as `vmf data check` writes it; null = the
    one that it left for this data in the current folder, if there is one."""
    frame_rate: float = 30.0
    """Frames per second of clips that are folders of pictures; Something-Something: 12."""
    val_path: str | None = None
    """Validation clips in a place of their own, in the same form; null = part of `path`."""
    label_file: str | None = None
    """Class names in order, one a line, or the name of a known set such as kinetics400; null = the
    order of the format, or where it has none the names found, sorted."""
    multi_label: bool = False
    """A clip may have several classes or none: a CSV/TSV then divides those of its label column by
    `|`. Multi-label formats do not need it."""
    train_split: str = "train"
    """Split to train on, where the index has splits."""
    val_split: str = "val"
    """Split to validate on, where the index has it."""
    val_fraction: float = 0.15
    """Share held out for validation where the index has no such split, stratified by class, groups
    kept together; 0 = train without validation."""
    num_workers: int = 2
    """Processes that read video; 0 = read in the training process."""
    class_balanced: bool = False
    """Draw every class equally often, however many clips it has; in multi-label data every class
    gives equally many of the draws, and clips without a class keep their share."""
    shuffle: Literal["auto", "full", "shards"] = "auto"
    """full: every epoch in a new order of all clips; shards: in a new order of the shards, the
    clips of `shard_window` of them mixed, for storage that is slow at random; auto = shards where
    the data is shards behind URLs."""
    shard_window: int = 8
    """Shards whose clips are mixed by the shuffle `shards`."""

    def __post_init__(self) -> None:
        ok = math.isfinite(self.val_fraction) and 0 <= self.val_fraction <= 0.9
        require(self, "data", "val_fraction", ok, "0 to 0.9")
        ok = 0 < self.frame_rate < math.inf
        require(self, "data", "frame_rate", ok, "above 0")
        require(self, "data", "num_workers", self.num_workers >= 0, "at least 0")
        require(self, "data", "fold", self.fold >= 1, "at least 1")
        require(self, "data", "shard_window", self.shard_window >= 1, "at least 1")
        ok = not (self.class_balanced and self.shuffle == "shards")
        require(self, "data", "shuffle", ok, "auto or full beside data.class_balanced")


@dataclass(frozen=True)
class DecodeRecipe:
    """How video files are read, and when one is given up."""

    backend: Literal["pyav", "torchcodec"] = "pyav"
    """Library that decodes; torchcodec is an extra and needs FFmpeg on the system."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where torchcodec decodes; on cuda every worker process takes GPU memory of its own."""
    timeout_seconds: float = 30.0
    """Longest time for one clip; a file that takes longer counts as unreadable."""
    memory_limit_mb: float = 2048.0
    """Most memory that reading one clip may take; a file that needs more counts as unreadable."""

    def __post_init__(self) -> None:
        ok = self.device == "cpu" or self.backend == "torchcodec"
        require(self, "decode", "device", ok, "cpu, unless decode.backend is torchcodec")
        for name in ("timeout_seconds", "memory_limit_mb"):
            value = getattr(self, name)
            require(self, "decode", name, 0 < value < math.inf, "above 0")


@dataclass(frozen=True)
class ClipRecipe:
    """What is cut from a video for the model; null = as the model was made for."""

    num_frames: int | None = None
    """Frames in one clip."""
    sampling: Literal["uniform", "dense"] | None = None
    """uniform: one frame from each of T equal segments of the whole clip (trimmed actions);
    dense: T frames in a row, `stride` apart (long videos)."""
    stride: int | None = None
    """Dense only: step between frames, counted in frames of a 30 fps video."""
    resize_size: int | None = None
    """Short side in pixels before the test-time crop; null beside a crop_size = 8/7 of it."""
    crop_size: int | None = None
    """Height and width in pixels that the model sees."""

    def __post_init__(self) -> None:
        for name in ("num_frames", "stride", "resize_size", "crop_size"):
            value = getattr(self, name)
            require(self, "clip", name, value is None or value >= 1, "at least 1")


@dataclass(frozen=True)
class AugmentRecipe:
    """Random changes to training clips, the same for all frames of a clip."""

    scale: tuple[float, float] = (0.4, 1.0)
    """Smallest and largest share of the picture's area that a random crop takes."""
    ratio: tuple[float, float] = (0.75, 1.3333)
    """Smallest and largest width by height of a random crop."""
    horizontal_flip: bool = True
    """Mirror half of the clips; set false where left and right tell classes apart."""
    color_jitter: float = 0.3
    """Strength of changes to brightness, contrast and saturation, 0 to 1."""
    hue: float = 0.0
    """Largest turn of the hue, as a share of the colour circle, 0 to 0.5."""
    grayscale_probability: float = 0.0
    """Chance that a clip loses its colours, 0 to 1."""
    randaugment_ops: int = 0
    """Operations of RandAugment drawn for a clip (4 is usual for video); 0 = none."""
    randaugment_magnitude: float = 7.0
    """Strength of these operations, 0 to 10."""
    randaugment_probability: float = 0.5
    """Chance that a drawn operation is done, 0 to 1."""
    erase_probability: float = 0.0
    """Chance that a box of the clip is replaced by noise (random erasing), 0 to 1."""
    runs_on: Literal["workers", "device"] = "workers"
    """Who changes colours, does RandAugment and erases: the processes that read video, or the
    training device in batches, where cores are scarcer than its time. Crops are cut by the former
    in any case."""
    repeats: int = 1
    """Differently changed clips made of each video that is read; one forward pass then takes
    train.batch_size × repeats clips."""
    mixup_alpha: float = 0.0
    """Add pairs of clips and their labels (MixUp), with shares from Beta(α, α); 0 = do not."""
    cutmix_alpha: float = 0.0
    """Put a box of one clip into another (CutMix), of a size from Beta(α, α); 0 = do not. Beside a
    mixup_alpha above 0 each is done to half of the mixed batches."""
    cutmix_kind: Literal["spatial", "temporal", "spatiotemporal"] = "spatial"
    """What the box spans: a part of the picture in all frames, whole frames of a part of the time,
    or a part of both."""
    mix_probability: float = 1.0
    """Chance that a batch is mixed, where mixup_alpha or cutmix_alpha is above 0; 0 to 1."""

    def __post_init__(self) -> None:
        low, high = self.scale
        require(self, "augment", "scale", 0 < low <= high <= 1, "two rising numbers in (0, 1]")
        low, high = self.ratio
        ok = 0 < low <= high < math.inf
        require(self, "augment", "ratio", ok, "two rising numbers above 0")
        shares = ("color_jitter", "grayscale_probability", "randaugment_probability")
        for name in (*shares, "erase_probability", "mix_probability"):
            require(self, "augment", name, 0 <= getattr(self, name) <= 1, "0 to 1")
        require(self, "augment", "hue", 0 <= self.hue <= 0.5, "0 to 0.5")
        require(self, "augment", "randaugment_ops", self.randaugment_ops >= 0, "at least 0")
        ok = 0 <= self.randaugment_magnitude <= 10
        require(self, "augment", "randaugment_magnitude", ok, "0 to 10")
        require(self, "augment", "repeats", self.repeats >= 1, "at least 1")
        for name in ("mixup_alpha", "cutmix_alpha"):
            ok = 0 <= getattr(self, name) < math.inf
            require(self, "augment", name, ok, "at least 0")


@dataclass(frozen=True)
class PretrainRecipe:
    """What is learned before there are labels: from clips that are drawn, or from any clips."""

    task: Literal["labels", "masked_features"] = "labels"
    """labels: the classes of the data; masked_features: what hidden parts of a clip look like
    (arXiv 2112.09133), for which no labels are needed."""
    epoch_clips: int = 4096
    """Procedural clips (data.format procedural): how many make an epoch."""
    val_clips: int = 960
    """Procedural clips: how many, of other seeds, to validate on; 0 = train without validation."""
    families: tuple[str, ...] = ()
    """Procedural clips: families of motion to draw, such as [motion, order]; [] = all."""
    classes: tuple[str, ...] = ()
    """Procedural clips: only these classes of the families, such as [walk, jump]; [] = all."""
    drawing: tuple[str, ...] = ()
    """Procedural clips: what else is to differ, such as [body_size=0.4, speed=0.5]: shares,
    factors and their ranges as in ProceduralSpec."""
    targets_weight: float = 0.5
    """Procedural clips: weight of what else is known of them (speeds, directions, counts, …),
    which is learned beside the classes; 0 = do not."""
    target_weights: tuple[str, ...] = ()
    """Procedural clips: weights among these targets, as [speed=2, count=0]; others weigh 1."""
    masked_weight: float = 0.0
    """Task labels: weight of masked features beside the classes; half of the clips of each batch
    then have hidden parts."""
    mask_ratio: float = 0.4
    """Masked features: share of a clip that is hidden, in boxes of random size and length."""

    def __post_init__(self) -> None:
        require(self, "pretrain", "epoch_clips", self.epoch_clips >= 2, "at least 2")
        require(self, "pretrain", "val_clips", self.val_clips >= 0, "at least 0")
        for name in ("targets_weight", "masked_weight"):
            value = getattr(self, name)
            require(self, "pretrain", name, 0 <= value < math.inf, "at least 0")
        require(self, "pretrain", "mask_ratio", 0 < self.mask_ratio < 1, "between 0 and 1")
        for name, meaning in (("target_weights", "WEIGHT"), ("drawing", "VALUE")):
            for text in getattr(self, name):
                key, _, value = text.partition("=")
                ok = bool(key.strip()) and _is_weight(value)
                require(self, "pretrain", name, ok, f"NAME={meaning}, with numbers from 0 on")

    def weights_of_targets(self) -> dict[str, float]:
        """``target_weights`` as names and numbers."""
        return _numbers(self.target_weights)

    def drawn_with(self) -> dict[str, float]:
        """``drawing`` as names and numbers."""
        return _numbers(self.drawing)


def _numbers(texts: tuple[str, ...]) -> dict[str, float]:
    pairs = (text.partition("=") for text in texts)
    return {name.strip(): float(value) for name, _, value in pairs}


def _is_weight(text: str) -> bool:
    try:
        return 0 <= float(text) < math.inf
    except ValueError:
        return False


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
    """Pre-training: procedural clips, clips without labels."""
    train: TrainRecipe = field(default_factory=TrainRecipe)
    """Length, device and what is kept."""

    def __post_init__(self) -> None:
        require(self, "", "seed", 0 <= self.seed < 2**32, "0 to 4294967295")
