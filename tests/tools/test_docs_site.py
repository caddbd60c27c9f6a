"""What the site takes from outside ``docs``, and what its check refuses."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

import video_mobile_former

ROOT = Path(__file__).parents[2]


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_links_lead_to_the_same_file_in_the_site() -> None:
    hooks = tool("docs_hooks")
    text = "[a](../examples/embed.py) [b](data.md#x) [c](../README.md) [d](https://example.com)"
    found = hooks.rewritten(ROOT / "docs", "api.md", text)
    assert (
        found
        == "[a](files/examples/embed.py) [b](data.md#x) [c](index.md) [d](https://example.com)"
    )
    deeper = hooks.rewritten(ROOT / "docs" / "cookbook", "cookbook/game.md", "[a](../live.md)")
    assert deeper == "[a](../live.md)"
    assert hooks.linked(ROOT / "docs", text) == {ROOT / "examples" / "embed.py"}


def test_the_reference_has_every_public_name() -> None:
    page = tool("docs_hooks").reference()
    for name in set(video_mobile_former.__all__) - {"__version__"}:
        assert f".{name}\n" in page, name


def test_every_page_is_in_the_menu() -> None:
    menu = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for page in (ROOT / "docs").rglob("*.md"):
        assert f": {page.relative_to(ROOT / 'docs').as_posix()}\n" in menu, page.name


@pytest.mark.parametrize(
    ("content", "fetched"),
    [
        ('<script src="https://cdn.example.com/a.js"></script>', True),
        ('<link rel="stylesheet" href="//fonts.example.com/f.css">', True),
        ('<img src="https://example.com/a.png">', True),
        ('<link rel="canonical" href="https://example.com/">', False),
        ('<a href="https://example.com">read</a><img src="a.png">', False),
    ],
)
def test_requests_to_other_hosts_are_found(tmp_path: Path, content: str, fetched: bool) -> None:
    (tmp_path / "index.html").write_text(content, encoding="utf-8")
    assert tool("check_site").main(str(tmp_path)) == fetched


def test_styles_are_looked_through_and_an_empty_site_is_no_site(tmp_path: Path) -> None:
    check = tool("check_site")
    assert check.main(str(tmp_path)) == 1
    (tmp_path / "a.css").write_text("@font-face { src: url(https://example.com/f.woff) }")
    assert [address for _, address in check.requests(tmp_path)] == ["https://example.com/f.woff"]
