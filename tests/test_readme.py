"""What README and docs tell people to type is understood, and the code they show runs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import torch

from video_mobile_former.cli import main as cli
from video_mobile_former.cli.train import recipe_from_words
from video_mobile_former.models.variants import VARIANTS
from video_mobile_former.profiling.table import cost_rows

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def commands() -> list[str]:
    lines = [line for page in PAGES for block in blocks(page, "") for line in block.splitlines()]
    # Brackets mark what may be left out; a line with … shows a grammar, not a command.
    return [
        re.sub(r"[\[\]]", "", line) for line in lines if line.startswith("vmf ") and "…" not in line
    ]


def test_there_are_commands_to_check() -> None:
    assert len(commands()) >= 5


@pytest.mark.parametrize("line", commands())
def test_commands_are_understood(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words = shlex.split(line, comments=True)[1:]
    if words[0] == "train":
        assert recipe_from_words([w for w in words[1:] if not w.endswith(".yaml")])
    else:
        assert cli._parser().parse_args(words)


@pytest.mark.slow
def test_the_python_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    for block in blocks(ROOT / "README.md", "python"):
        exec(compile(block, "README.md", "exec"), {})
    assert (tmp_path / "checkpoint" / "config.json").is_file()


def test_the_table_of_the_readme_is_the_family() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for row in (cost_rows(name)[0] for name in ("vmf_500m", "vmf_6g")):
        size = f"{row['num_frames']} × {row['crop_size']}²"
        cells = [
            f"`{row['name']}`",
            f"{row['parameters'] / 1e6:.2f} M",
            f"{row['macs_per_view'] / 1e9:.3f} G",
            f"{row['macs_per_view_2plus1d'] / 1e9:.3f} G",
            size,
            str(row["num_tokens"]),
            row["parent"].upper(),
        ]
        assert f"| {' | '.join(cells)} |" in text
    assert all(f"`{name}`" in text for name in VARIANTS)


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
