"""Write ``docs/model-cards.md`` from the cards of the shipped weights.

    python tools/model_cards.py

Run it after ``tools/ship_weights.py``; a test holds the page against the cards.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from video_mobile_former.models.shipped_weights import FOLDER, shipped_weights, weights_card

PAGE = Path(__file__).parents[1] / "docs" / "model-cards.md"


def card(name: str, kind: str) -> str:
    """The section of one model's weights."""
    facts = weights_card(name, kind)
    size = (FOLDER / f"{name}-{kind}.safetensors").stat().st_size / 1e6
    clip, seen = facts["clip"], facts["validation"]
    seen_clips, size_of = f"{facts['clips_seen']:,}", f"{clip['crop_size']}²"
    validated = (
        f"top-1 {seen['top1']:.1%}, top-5 {seen['top5']:.1%} of {seen['clips']} procedural clips, "
        f"{seen['views']} view"
    )
    lines = [
        f"## {name}-{kind}",
        "",
        "| | |",
        "|---|---|",
        f"| file | `{name}-{kind}.safetensors`, {size:.2f} MB, half precision, no classifier |",
        f"| licence | {facts['license']} |",
        f"| training data | {facts['data']} |",
        f"| made by | {facts['made_by']}; seed {facts['seed']} |",
        f"| training | {seen_clips} clips, {facts['hours']:.2f} h on one {facts['device']} |",
        f"| clips | {clip['num_frames']} frames, {size_of}, sampled {clip['sampling']} |",
        f"| versions | {', '.join(f'{k} {v}' for k, v in facts['versions'].items())} |",
        f"| validation | {validated} |",
        "",
        "Top-1 by family: "
        + ", ".join(f"{k.replace('_', ' ')} {v:.1%}" for k, v in seen["families"].items())
        + ".",
        "",
        facts["limits"],
        "",
        *_transfer(facts),
        *(f"{remark}\n" for remark in facts["remarks"]),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _transfer(facts: dict[str, Any]) -> list[str]:
    """The table of what fine-tuning on other data reached."""
    if not facts.get("transfer"):
        return []
    rows = [
        f"| {row['data']} | {row['clips_per_class'] or 'all'} | {row['method']} | "
        f"{100 * row['mean_top1']:.1f}{_spread(row['sd'])} | {row['seeds']} |"
        for row in facts["transfer"]
    ]
    head = ["| data | clips a class | start | top-1, % | seeds |", "|---|---|---|---|---|"]
    return [*head, *rows, "", f"`{facts['transfer_by']['command']}`", ""]


def _spread(sd: float | None) -> str:
    """The standard deviation over seeds; nothing where a seed changes nothing."""
    return "" if sd is None else f" ± {100 * sd:.1f}"


def page() -> str:
    """The whole page."""
    cards = [card(name, kind) for kind, names in shipped_weights().items() for name in names]
    head = (
        "# Cards of the shipped weights\n\n"
        "Written by `python tools/model_cards.py` from the cards beside the weights. "
        "[Weights to start from](weights.md)\nsays how they were made and measured.\n"
    )
    return "\n".join([head, *cards])


def main() -> int:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
