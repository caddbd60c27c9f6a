"""Every cap of a network as it runs: what it sees, and the same network without one of its bounds.

A cap is a function that is flat, or bends, beyond a bound. Inputs that stay within its bounds
cannot show that it is there, so fixtures are driven past all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

CAPS: dict[Callable[..., Tensor], tuple[float, float, Callable[[Tensor, float, float], Tensor]]] = {
    F.relu6: (0.0, 6.0, lambda x, low, high: x.clamp(low, high)),
    F.relu: (0.0, math.inf, lambda x, low, high: x.clamp(low, high)),
    F.hardsigmoid: (-3.0, 3.0, lambda x, low, high: (x.clamp(low, high) + 3) / 6),
    F.hardswish: (-3.0, 3.0, lambda x, low, high: x * (x.clamp(low, high) + 3) / 6),
}
"""Each function with its bounds and the same with bounds of one's own."""
_SMOOTH = {F.silu, torch.sigmoid, Tensor.sigmoid}
_SATURATED = 4.0


@dataclass
class Seen:
    """What one call of a cap saw, over all runs."""

    name: str
    low: float
    high: float
    is_smooth: bool
    """It has no bound to take away; those it is given are where it is nearly flat."""
    least: float = math.inf
    most: float = -math.inf

    def bounds(self) -> Iterator[tuple[str, bool]]:
        """Its bounds, and whether values lay beyond each."""
        if math.isfinite(self.low):
            yield "low", self.least < self.low
        if math.isfinite(self.high):
            yield "high", self.most > self.high


class Caps(TorchFunctionMode):
    """Watches the caps that run inside the block, in their order, or takes one bound away.

    Args:
        without: Number of the call and ``"low"`` or ``"high"``: the bound to take away.
    """

    def __init__(self, without: tuple[int, str] | None = None):
        super().__init__()
        self.without = without
        self.seen: list[Seen] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in CAPS:
            low, high, plain = CAPS[func]
        elif func in _SMOOTH:
            low, high, plain = -_SATURATED, _SATURATED, None
        elif func is F.hardtanh:
            low, high = (*args[1:], *(kwargs[k] for k in ("min_val", "max_val") if k in kwargs))
            plain = CAPS[F.relu6][2]
        else:
            return func(*args, **kwargs)
        number, x = len(self.seen), args[0]
        seen = Seen(getattr(func, "__name__", str(func)), low, high, plain is None)
        seen.least, seen.most = float(x.min()), float(x.max())
        self.seen.append(seen)
        if self.without is not None and self.without[0] == number and plain is not None:
            open_low, open_high = self.without[1] == "low", self.without[1] == "high"
            return plain(x, -math.inf if open_low else low, math.inf if open_high else high)
        return func(*args, **kwargs)


def watched(run: Callable[[], Any]) -> list[Seen]:
    """The caps that a function runs through."""
    with torch.no_grad(), Caps() as caps:
        run()
    return caps.seen


def not_reached(seen: list[Seen]) -> list[str]:
    """Bounds that no value passed, as ``"3 relu6 high"``."""
    return [
        f"{i} {one.name} {side}"
        for i, one in enumerate(seen)
        for side, passed in one.bounds()
        if not passed
    ]


def hidden_bounds(run: Callable[[], Tensor], least: float) -> list[str]:
    """Bounds whose absence changes no result of ``run`` by ``least`` of the largest."""
    with torch.no_grad():
        whole = run()
        found = []
        for i, one in enumerate(watched(run)):
            if one.is_smooth:
                continue
            for side, _ in one.bounds():
                with Caps((i, side)):
                    other = run()
                if not float((other - whole).abs().max()) > least * float(whole.abs().max()):
                    found.append(f"{i} {one.name} {side}")
    return found


def drive(model: nn.Module, clips: Tensor, *, seed: int = 0) -> nn.Module:
    """Give a network weights with which ``clips`` pass every bound; in eval mode.

    Norms before an activation spread widely on both sides of 0 and beyond 6, and so do the biases
    of slopes and gates.
    """
    generator = torch.Generator().manual_seed(seed)

    def spread(tensor: Tensor, low: float, high: float) -> None:
        values = torch.linspace(low, high, tensor.numel())
        order = torch.randperm(tensor.numel(), generator=generator)
        tensor.copy_(values[order].view(tensor.shape))

    with torch.no_grad():
        for name, module in model.named_modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.momentum = 1.0
                last = name.endswith(("project.norm", "reduce.norm", "shortcut.norm"))
                spread(module.weight, *((1.0, 2.0) if last else (2.0, 5.0)))
                spread(module.bias, *((-1.0, 1.0) if last else (-4.0, 8.0)))
            elif isinstance(module, nn.Linear):
                module.weight.copy_(
                    torch.randn(module.weight.shape, generator=generator) * module.in_features**-0.5
                )
                if name.endswith(("slopes", "gate", "reduce", "squeeze.expand")):
                    spread(module.bias, -7.0, 7.0)
        model.train()(clips)  # norms take the statistics of these very clips
    return model.eval()
