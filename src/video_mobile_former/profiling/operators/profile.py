"""A common format for the profiles of all runtimes, and its table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ...text import pad, printable, shorten_end, shorten_middle

_WIDTH = 80


@dataclass(frozen=True)
class OperatorTime:
    """Time of one node of a graph or, in eager PyTorch, of one operator with its shapes."""

    name: str
    kind: str
    """Type of the operator, such as ``Convolution``."""
    kernel: str
    """The implementation that the runtime chose, such as ``brgconv_avx512_1x1_f32``; empty where
    it is not reported."""
    milliseconds: float
    """In one forward pass: the median over passes."""
    calls: int = 1
    """How often it ran in one pass."""
    shape: str = ""
    """Of its output, or of its inputs in eager PyTorch; empty where unknown."""


@dataclass(frozen=True)
class OperatorProfile:
    """Times of all operators of one forward pass.

    The runtime's profiler slows it a little: compare shares, and take the total time from a
    benchmark.
    """

    operators: tuple[OperatorTime, ...]

    @property
    def milliseconds(self) -> float:
        """Sum over all operators."""
        return sum(operator.milliseconds for operator in self.operators)

    def by_kind(self) -> list[dict[str, Any]]:
        """Time of each operator type and kernel, the largest first.

        Returns:
            Rows of ``kind``, ``kernel``, ``calls``, ``milliseconds`` and ``share`` (of the sum).
        """
        groups: dict[tuple[str, str], list[OperatorTime]] = {}
        for operator in self.operators:
            groups.setdefault((operator.kind, operator.kernel), []).append(operator)
        total = self.milliseconds
        rows = []
        for (kind, kernel), members in groups.items():
            spent = sum(member.milliseconds for member in members)
            rows.append(
                {
                    "kind": kind,
                    "kernel": kernel,
                    "calls": sum(member.calls for member in members),
                    "milliseconds": round(spent, 4),
                    "share": round(spent / total, 4) if total else 0.0,
                }
            )
        return sorted(rows, key=lambda row: -row["milliseconds"])

    def slowest(self, count: int) -> list[OperatorTime]:
        """The slowest nodes."""
        return sorted(self.operators, key=lambda operator: -operator.milliseconds)[:count]

    def to_dict(self, *, nodes: int = 20) -> dict[str, Any]:
        """Plain data for JSON: the sum, every type, and the slowest nodes."""
        return {
            "milliseconds": round(self.milliseconds, 4),
            "by_kind": self.by_kind(),
            "slowest": [
                {**asdict(node), "milliseconds": round(node.milliseconds, 4)}
                for node in self.slowest(nodes)
            ],
        }


def format_profile(profile: OperatorProfile, *, nodes: int = 10, min_share: float = 0.01) -> str:
    """Two tables of 80 columns: by operator type, and the slowest nodes.

    Args:
        profile: Profile of one runtime.
        nodes: Rows of the second table.
        min_share: Types below this share of the time are summed up in one row.
    """
    rows = profile.by_kind()
    shown = [row for row in rows if row["share"] >= min_share]
    rest = [row for row in rows if row["share"] < min_share]
    if rest:
        shown.append(
            {
                "kind": f"{len(rest)} more",
                "kernel": "",
                "calls": sum(row["calls"] for row in rest),
                "milliseconds": sum(row["milliseconds"] for row in rest),
                "share": sum(row["share"] for row in rest),
            }
        )
    lines = [f"{'share':>6}{'ms':>9}{'calls':>7}  operator"]
    for row in shown:
        what = f"{row['kind']}  {row['kernel']}".rstrip()
        lines.append(
            f"{100 * row['share']:>4.0f} %{row['milliseconds']:>9.2f}{row['calls']:>7}  "
            + shorten_end(printable(what), _WIDTH - 24)
        )
    lines += ["", "slowest", f"{'share':>6}{'ms':>9}  operator"]
    total = profile.milliseconds or 1.0
    for node in profile.slowest(nodes):
        lines.append(
            f"{100 * node.milliseconds / total:>4.0f} %{node.milliseconds:>9.2f}  "
            + _node_words(node, _WIDTH - 17)
        )
    return "\n".join(lines)


def _node_words(node: OperatorTime, width: int) -> str:
    shape = shorten_end(node.shape, 30)
    name = "" if node.name == node.kind else node.name
    what = " ".join(part for part in (name, node.kernel or node.kind) if part)
    room = width - len(shape) - 2 if shape else width
    return pad(shorten_middle(printable(what), room), room + 2 if shape else 0) + shape


def shape_text(sizes: Sequence[Any]) -> str:
    """``(1, 8, 16)`` as ``1×8×16``."""
    return "×".join(str(size) for size in sizes)
