"""Reading a page that a command wrote, and text that would break one that is not escaped."""

from __future__ import annotations

from html.parser import HTMLParser

NASTY = "<script>alert('x')</script> & \"q\" \x1b[31m \u202egnp \udcff"


class Page(HTMLParser):
    """Collects the tags, attributes and text of a page."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data
