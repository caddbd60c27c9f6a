"""Check that the pages of the built site ask no other host: ``python tools/check_site.py site``.

Links that a reader may follow are allowed; scripts, styles, fonts and pictures are not. Exit
status 1 names the pages.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

_FETCHED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}
_IN_STYLE = re.compile(r"(?:url\(\s*['\"]?|@import\s+['\"])((?:https?:)?//[^'\")]+)")


class _Page(HTMLParser):
    """Addresses of other hosts that a browser fetches by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        address = given.get(_FETCHED.get(tag, "")) or ""
        if given.get("rel") != "canonical" and re.match(r"(https?:)?//", address):
            self.found.append(address)


def requests(folder: Path) -> Iterator[tuple[Path, str]]:
    """Files of a site and what they fetch from other hosts."""
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".html":
            page = _Page()
            page.feed(path.read_text(encoding="utf-8"))
            yield from ((path, address) for address in page.found)
        elif path.suffix == ".css":
            text = path.read_text(encoding="utf-8")
            yield from ((path, address) for address in _IN_STYLE.findall(text))


def main(folder: str) -> int:
    pages = list(Path(folder).rglob("*.html"))
    found = list(requests(Path(folder)))
    for path, address in found:
        print(f"{path}: fetches {address}")
    print(f"{len(pages)} pages, {len(found)} requests to other hosts")
    return 1 if found or not pages else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
