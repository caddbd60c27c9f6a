"""What all networks of this package have in common.

The rest of the package (training, evaluation, inference, export) knows a network by this class
alone, so that the family and the baselines go through the same code.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from ..clip_spec import ClipSpec
from ..errors import UserError, known_names
from ..layers.conv import ConvNorm
from .checkpoint import CheckpointMixin
from .runnable import RunsAnywhere

if TYPE_CHECKING:
    from typing_extensions import Self

Form = Literal["volume", "frames", "auto"]
MIN_SIZE = 32


class VideoModel(CheckpointMixin, RunsAnywhere, nn.Module):
    """A network that maps clips (B, 3, T, H, W) to logits (B, K).

    A subclass takes keyword-only plain data and keeps it in ``architecture``, says its ``method``,
    calls :meth:`_describe` first, names its last linear layer ``classifier`` and implements
    :meth:`_logits`. Built of ``layers/conv.py``, it then has both graph forms and can be fused.
    """

    classifier: nn.Linear
    classifier_std: ClassVar[float] = 0.01
    """Standard deviation of the classifier's first weights."""
    last_features_into: ClassVar[str] = "head_conv"
    """Name of the module that takes ``(x, num_frames)``, x the features of all frames before they
    are pooled, (B, C, T, H', W') or (B·T, C, H', W')."""

    def _describe(
        self, architecture: dict[str, Any], clip: ClipSpec, *, form: Form, drop_rate: float
    ) -> None:
        """Set what every model carries.

        Args:
            architecture: Constructor arguments, JSON data; with ``num_classes``.
            clip: The native clip.
            form: Graph form.
            drop_rate: Dropout before the classifier.
        """
        self.architecture = architecture
        self.num_classes: int = architecture["num_classes"]
        self.clip = clip
        self.form: Form = form
        self.drop_rate = drop_rate
        self.gradient_checkpointing = False
        self.fused = False
        self.class_names: tuple[str, ...] | None = None
        self.multi_label = False
        self.info: dict[str, Any] = {}

    def forward(self, x: Tensor) -> Tensor:
        """Classify clips.

        Args:
            x: Normalised RGB, (B, 3, T, H, W), T at least 1, H and W at least 32.

        Returns:
            Logits (B, num_classes).

        Raises:
            UserError: If the shape does not fit.
        """
        x, num_frames = self._in_form(x)
        return self._logits(x, num_frames)

    def forward_frames(self, frames: Tensor, num_frames: int) -> Tensor:
        """Classify clips given as frames in a row, in the ``frames`` form.

        Args:
            frames: Normalised RGB, (B·T, 3, H, W), the T frames of a clip one after the other.
            num_frames: T.

        Returns:
            Logits (B, num_classes).
        """
        return self._logits(frames, num_frames)

    def forward_features(self, x: Tensor) -> Any:
        """Compute what the head takes from normalised RGB (B, 3, T, H, W).

        Returns:
            What :meth:`forward_head` takes: features (B, C, T, H', W') or, of a
            ``VideoMobileFormer``, these and the tokens.
        """
        raise NotImplementedError

    def forward_head(self, features: Tensor, *, pre_logits: bool = False) -> Tensor:
        """Compute what follows :meth:`forward_features`.

        Args:
            features: (B, C, T, H', W').
            pre_logits: Stop before dropout and the classifier.

        Returns:
            Logits (B, num_classes), or what the classifier takes, (B, D).
        """
        raise NotImplementedError

    def reset_classifier(self, num_classes: int) -> None:
        """Put a fresh last layer in the place of the old one; all other weights stay.

        Its weights are normal with the standard deviation ``classifier_std``, its biases 0. Names
        of classes, which are those of the old layer, are forgotten.

        Args:
            num_classes: Number of logits, at least 1.

        Raises:
            UserError: If the number is below 1 or the model is fused.
        """
        check_counts({"num_classes": num_classes}, "num_classes")
        if self.fused:
            raise UserError("a fused model is for inference only; change the model it came from")
        old = self.classifier
        self.classifier = nn.Linear(old.in_features, num_classes).to(old.weight)
        nn.init.normal_(self.classifier.weight, std=self.classifier_std)
        nn.init.zeros_(self.classifier.bias)
        self.num_classes = self.architecture["num_classes"] = num_classes
        self.class_names = None

    def no_weight_decay(self) -> set[str]:
        """Names of matrices that weight decay should leave alone (norms and biases aside)."""
        return set()

    def set_gradient_checkpointing(self, enabled: bool = True) -> None:
        """Recompute each stage in the backward pass instead of storing it (arXiv 1604.06174).

        Running statistics of BatchNorm are updated once, as without it.
        """
        self.gradient_checkpointing = enabled

    def set_form(self, form: Form) -> None:
        """Choose the graph form; weights stay as they are."""
        if form not in ("volume", "frames", "auto"):
            raise UserError(f"form must be 'volume', 'frames' or 'auto', not {form!r}")
        self.form = self.architecture["form"] = form

    @torch.no_grad()
    def fuse(self) -> Self:
        """Return a copy for inference with every BatchNorm folded into the layer before it.

        The copy is in eval mode, needs no gradients, and agrees with the original in eval mode
        within 1e-5; it cannot be trained or saved as a checkpoint.
        """
        model = copy.deepcopy(self).eval().requires_grad_(False)
        for module in model.modules():
            if isinstance(module, ConvNorm):
                module.fold_norm()
        model._fold_rest()
        model.fused = True
        return model

    def train(self, mode: bool = True) -> Self:
        """Set training mode; a fused copy refuses it."""
        if mode and self.fused:
            raise UserError("a fused model is for inference only; train the model it came from")
        return super().train(mode)

    def _logits(self, x: Tensor, num_frames: int) -> Tensor:
        """Logits of clips (B, 3, T, H, W), or of their frames (B·T, 3, H, W)."""
        raise NotImplementedError

    def _classify(self, hidden: Tensor) -> Tensor:
        """Logits (B, K) of what the classifier takes, (B, D)."""
        return self.classifier(F.dropout(hidden, self.drop_rate, self.training))

    def _fold_rest(self) -> None:
        """Fold, in a copy that is being fused, the norms that are in no ``ConvNorm``."""

    def _in_form(self, x: Tensor) -> tuple[Tensor, int]:
        """Check clips and bring them to the form that runs; also T."""
        if x.dim() != 5 or x.shape[1] != 3 or x.shape[2] < 1 or min(x.shape[3:]) < MIN_SIZE:
            raise UserError(
                f"a clip must be (B, 3, T, H, W) with T at least 1 and H, W at least {MIN_SIZE} "
                f"pixels, not {tuple(x.shape)}"
            )
        num_frames = x.shape[2]
        if self.form != "volume":  # the faster one in eager mode, see docs/lab-notes.md
            x = x.transpose(1, 2).flatten(0, 1)
            x = x.contiguous(memory_format=torch.channels_last)
        return x, num_frames


def recomputed(run: Callable[..., Any], modules: Sequence[nn.Module], *inputs: Any) -> Any:
    """Run a part of a network without storing what happens inside (arXiv 1604.06174).

    The backward pass computes it again; running statistics of BatchNorm are updated once.

    Args:
        run: The part, a function of ``inputs``.
        modules: Whatever it runs through.
        inputs: Tensors or None.

    Returns:
        What ``run`` returns.
    """
    return checkpoint(
        run,
        *inputs,
        use_reentrant=False,
        context_fn=lambda: (contextlib.nullcontext(), _statistics_frozen(modules)),
    )


@contextlib.contextmanager
def _statistics_frozen(modules: Sequence[nn.Module]) -> Iterator[None]:
    """Keep the recomputation from updating BatchNorm's running statistics a second time."""
    norms = [m for module in modules for m in module.modules() if isinstance(m, _BatchNorm)]
    # Not by switching the statistics off: autograd would then save other tensors than before.
    momenta = [norm.momentum for norm in norms]
    counts = [norm.num_batches_tracked for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum, count in zip(norms, momenta, counts, strict=True):
            norm.momentum = momentum
            if count is not None:
                count.sub_(1)


def check_arguments(values: dict[str, Any]) -> None:
    """Name the first argument that every model takes and that is out of range.

    Raises:
        UserError: It names the argument.
    """
    check_counts(values, "num_classes", "num_frames")
    check_choice(values, "form", ("volume", "frames", "auto"))
    for name in ("drop_rate", "drop_path_rate"):
        if not 0 <= values[name] < 1:
            raise UserError(f"{name} must lie in [0, 1), not {values[name]!r}")
    if values["crop_size"] < MIN_SIZE:
        raise UserError(f"crop_size must be at least {MIN_SIZE}, not {values['crop_size']!r}")


def check_counts(values: dict[str, Any], *names: str) -> None:
    """Refuse what is not a whole number of at least 1."""
    for name in names:
        if not isinstance(values[name], int) or values[name] < 1:
            raise UserError(f"{name} must be a whole number of at least 1, not {values[name]!r}")


def check_choice(values: dict[str, Any], name: str, allowed: tuple[str, ...]) -> None:
    """Refuse what is none of ``allowed``."""
    if values[name] not in allowed:
        raise UserError(f"{name} must be one of {', '.join(allowed)}, not {values[name]!r}")


def check_names(model: type[VideoModel], name: str, overrides: Iterable[str]) -> None:
    """Refuse what is no constructor argument of ``model``; suggests the nearest."""
    known: list[str] = []
    for one in inspect.getmro(model):  # a class that passes others on has those of its parent
        parameters = inspect.signature(one.__init__).parameters.values()
        known += [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
        if all(p.kind is not p.VAR_KEYWORD for p in parameters):
            break
    for key in overrides:
        if key not in known:
            raise UserError(f"{name} takes no argument {key!r}{known_names(key, known)}")
