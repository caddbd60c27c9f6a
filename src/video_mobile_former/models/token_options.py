"""How local features and tokens are joined: what the network can leave out, to measure its worth.

The defaults are the network of the paper (arXiv 2208.12257): bridges both ways, slopes steered by
the tokens, one set of tokens for the whole clip. Everything else exists for ablations.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

from ..errors import UserError

Bridges = Literal["two_way", "to_tokens", "to_features"]
"""Which way the bridges go; ``to_tokens`` leaves out that features read from the tokens,
``to_features`` that tokens gather from the features, at the head too."""
ActivationKind = Literal["dynamic", "relu6"]
"""``dynamic``: slopes computed from the first token; ``relu6``: the activation of the light CNN."""
TokensPer = Literal["clip", "frame"]
"""``clip``: one set of tokens sees all T frames; ``frame``: each frame has a set of its own, which
sees nothing of the others."""

TOKEN_OPTIONS: dict[str, tuple[str, ...]] = {
    "bridges": get_args(Bridges),
    "activation": get_args(ActivationKind),
    "tokens_per": get_args(TokensPer),
}
"""Allowed values of each argument, the network of the paper first."""


def unusual_options(architecture: dict[str, Any]) -> dict[str, Any]:
    """Arguments by which a network with tokens departs from the paper's.

    Args:
        architecture: Constructor arguments of a ``VideoMobileFormer``; older checkpoints lack some.

    Returns:
        For example ``{"bridges": "to_tokens"}``; empty for the network of the paper.
    """
    if not architecture["num_tokens"]:
        return {}  # nothing is there that they could change
    found = {name: architecture.get(name, usual) for name, (usual, *_) in TOKEN_OPTIONS.items()}
    return {name: value for name, value in found.items() if value != TOKEN_OPTIONS[name][0]}


def check_token_arguments(values: dict[str, Any]) -> None:
    """Name the first argument about tokens that is out of range.

    Raises:
        UserError: It names the argument.
    """
    if not isinstance(values["num_tokens"], int) or values["num_tokens"] < 0:
        raise UserError(f"num_tokens must be 0 or more, not {values['num_tokens']!r}")
    for name, allowed in TOKEN_OPTIONS.items():
        if values[name] not in allowed:
            raise UserError(f"{name} must be one of {', '.join(allowed)}, not {values[name]!r}")
