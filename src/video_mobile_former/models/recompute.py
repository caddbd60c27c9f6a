"""Gradient checkpointing (arXiv 1604.06174): less memory in training for a second forward pass."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


def recomputed(run: Callable[..., Any], modules: Sequence[nn.Module], *inputs: Any) -> Any:
    """Run a part of a network without storing what happens inside.

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
