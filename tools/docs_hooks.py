"""What the site takes from outside ``docs``: README, changelog, linked files, the API's names.

MkDocs calls these functions (``hooks`` in ``mkdocs.yml``). Pages in ``docs`` stay as they read in
the repository; links that leave the folder get a copy of their target in the site, since no other
host may be asked.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
}
"""Files of the repository's root that are pages of the site."""
COPIES = "files"
"""The site's folder of linked files that are no pages."""
_LINK = re.compile(r"(?<=\]\()(?!\w+:)([^)#\s]+)")


def site_place(target: Path) -> str | None:
    """Where a file or folder of the repository is in the site; None if it is in none.

    Args:
        target: An absolute path.
    """
    if not target.exists():
        return None
    inside = target.relative_to(ROOT).as_posix()
    if inside in PAGES:
        return PAGES[inside]
    if inside.startswith("docs/"):
        return inside.removeprefix("docs/")
    # A folder has no page; its list of names stands for it.
    return f"{COPIES}/{inside}/names.txt" if target.is_dir() else f"{COPIES}/{inside}"


def linked(folder: Path, text: str) -> set[Path]:
    """Files and folders outside ``docs`` that a page links to.

    Args:
        folder: Of the page, from which relative links start.
        text: The page.
    """
    targets = {(folder / link).resolve() for link in _LINK.findall(text)}
    return {
        target
        for target in targets
        if (place := site_place(target)) and place.startswith(f"{COPIES}/")
    }


def rewritten(folder: Path, page: str, text: str) -> str:
    """A page whose links lead to where their targets are in the site.

    Args:
        folder: Where the page is in the repository.
        page: Where it is in the site, as ``cookbook/game.md``.
        text: The page.
    """
    up = "../" * page.count("/")

    def moved(found: re.Match[str]) -> str:
        place = site_place((folder / found[1]).resolve())
        return found[1] if place is None else up + place

    return _LINK.sub(moved, text)


def reference() -> str:
    """The page of all public names, as directives of mkdocstrings."""
    tree = ast.parse((ROOT / "src/video_mobile_former/__init__.py").read_text(encoding="utf-8"))
    homes = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_HOMES"
    )
    homes |= {"ClipSpec": "clip_spec", "UserError": "errors"}
    names = "\n\n".join(
        f"::: video_mobile_former.{homes[name]}.{name}" for name in sorted(homes, key=str.lower)
    )
    return f"# Names and arguments\n\nAll are imported from `video_mobile_former`.\n\n{names}\n"


def on_files(files: Any, config: Any) -> Any:
    """Add the pages and files from outside ``docs``."""
    # Comes with the extra `docs` only.
    from mkdocs.structure.files import File  # pyright: ignore[reportMissingImports]

    def add(place: str, content: str | bytes) -> None:
        files.append(File.generated(config, place, content=content))

    targets: set[Path] = set()
    for name, page in PAGES.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        targets |= linked(ROOT, text)
        add(page, rewritten(ROOT, page, text))
    for path in (ROOT / "docs").rglob("*.md"):
        targets |= linked(path.parent, path.read_text(encoding="utf-8"))
    for target in sorted(targets):
        place = site_place(target)
        assert place is not None
        if target.is_dir():
            add(place, "\n".join(sorted(one.name for one in target.iterdir())) + "\n")
        else:
            add(place, target.read_bytes())
    add("reference.md", reference())
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Any) -> str:
    """Lead the links of a page in ``docs`` to the copies."""
    place = page.file.src_uri
    # A mark for the tests, which the site's highlighter does not know.
    markdown = markdown.replace("```python no-run\n", "```python\n")
    if place in PAGES.values() or place == "reference.md":
        return markdown
    return rewritten((ROOT / "docs" / place).parent, place, markdown)


def on_page_content(html: str, *, page: Any, config: Any, files: Any) -> str:
    """Drop the roles of reStructuredText that docstrings put before a name in code."""
    return re.sub(r":(?:class|func|meth|mod|data|attr):(?=<code>)", "", html)
