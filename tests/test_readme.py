"""What README and docs tell people to type is understood, and the code they show runs."""

from __future__ import annotations

import ast
import csv
import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml

from video_mobile_former.cli import main as cli
from video_mobile_former.cli.train import recipe_from_words
from video_mobile_former.models.variants import VARIANTS
from video_mobile_former.profiling.table import cost_rows

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
NOT_RUN = 16
"""Blocks marked ``python no-run``: cameras, files of the reader's. More of them is a decision."""
KNOWN = {"", "python", "python no-run", "bash", "csv", "html", "json", "kotlin", "swift", "yaml"}
"""What may stand after three backticks; Kotlin and Swift cannot be built here, pages say so."""


def blocks(page: Path, language: str) -> list[str]:
    return [text for of, known, text in fences() if of == page and known == language]


def lines_of_shell() -> list[str]:
    """Lines of blocks without a language, those that end in a backslash joined with the next."""
    return [
        line.strip()
        for page in PAGES
        for block in (*blocks(page, ""), *blocks(page, "bash"))
        for whole in block.replace("\\\n", " ").splitlines()
        for line in whole.split(" && ")
    ]


def fences() -> Iterator[tuple[Path, str, str]]:
    """Page, language and text of every block, in order of the pages."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for found in re.finditer(r"^```(.*?)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
            yield page, found[1], found[2]


def commands() -> list[str]:
    lines = lines_of_shell()
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


def test_every_block_is_of_a_known_kind() -> None:
    assert {language for _, language, _ in fences()} <= KNOWN


def test_few_blocks_are_not_run() -> None:
    assert sum(language == "python no-run" for _, language, _ in fences()) <= NOT_RUN


def python_blocks(*languages: str) -> list[object]:
    return [
        pytest.param(text, id=f"{page.name}-{number}")
        for number, (page, language, text) in enumerate(fences())
        if language in languages
    ]


@pytest.mark.parametrize("block", python_blocks("python", "python no-run"))
def test_names_that_python_blocks_import_exist(block: str) -> None:
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("video_mobile"):
            module = importlib.import_module(node.module or "")
            for name in node.names:
                assert hasattr(module, name.name), f"{node.module}.{name.name}"


@pytest.mark.slow
@pytest.mark.parametrize("block", python_blocks("python"))
def test_python_blocks_run(block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    exec(compile(block, "block", "exec"), {"__name__": "block"})


@pytest.mark.parametrize("language", ["json", "yaml", "csv"])
def test_data_in_blocks_can_be_read(language: str) -> None:
    found = [text for _, known, text in fences() if known == language]
    assert found
    for text in found:
        if language == "csv":
            rows = list(csv.reader(text.splitlines()))
            assert len({len(row) for row in rows}) == 1, text
        else:  # JSON is YAML; … stands for what is left out
            assert yaml.safe_load(text), text


def test_make_and_pip_lines_name_what_there_is() -> None:
    lines = lines_of_shell()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    section = text.split("[project.optional-dependencies]")[1].split("\n[")[0]
    extras = set(re.findall(r"^([\w-]+) = \[", section, re.MULTILINE))
    made = [word for line in lines if line.startswith("make ") for word in line.split()[1:2]]
    asked = [name for line in lines if "pip install" in line for name in _extras_in(line)]
    pinned = [name for line in lines for name in re.findall(r"constraints/[\w.]+", line)]
    assert len(made) >= 4
    assert len(asked) >= 8
    assert set(made) <= targets
    assert set(asked) <= extras
    assert all((ROOT / name).is_file() for name in pinned)


def _extras_in(line: str) -> list[str]:
    found = re.findall(r"(?:video-mobile-former|'\.|\"\.|\s\.)\[([\w,-]+)\]", line)
    return [name for names in found for name in names.split(",")]


def test_programs_that_pages_run_are_there() -> None:
    lines = [line for line in lines_of_shell() if line.startswith("python ")]
    files = [word for line in lines for word in line.split() if re.fullmatch(r"[\w/]+\.py", word)]
    assert len(files) >= 5
    assert [name for name in files if not (ROOT / name).is_file()] == []


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        text = _without_blocks(page)
        for target, anchor in re.findall(r"\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]+))?\)", text):
            there = page.parent / target if target else page
            assert there.exists(), f"{page.name}: {target}"
            if anchor:
                assert anchor in _anchors(there), f"{page.name}: {target}#{anchor}"


def _without_blocks(page: Path) -> str:
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.M)


def _anchors(page: Path) -> set[str]:
    """Anchors of headings as GitHub makes them."""
    heads = re.findall(r"^#+ (.*)$", _without_blocks(page), re.MULTILINE)
    plain = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", head) for head in heads)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in plain}
