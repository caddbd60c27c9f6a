"""The runtime that a web page needs: files of npm's onnxruntime-web, pinned and checked.

The package is one archive of 33 MB, of which a page needs one or two builds. It is fetched once
from the registry that npm would ask, because the user asked for a page, and kept in the user's
cache.
"""

from __future__ import annotations

import base64
import hashlib
import os
import ssl
import tarfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ...console import progress_bar, say
from ...errors import UserError
from ...files import atomic_path
from ...untrusted import read_bytes

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
SHA512 = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
"""Of the archive, as npm's lock files write it."""
NUM_BYTES = 33_106_585
"""Of the archive."""
_ARCHIVE = f"{PACKAGE}-{VERSION}.tgz"
WASM_FILES = (
    "ort.wasm.min.mjs",
    "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm",
)
"""WebAssembly on the CPU; the same file runs on one thread and on several."""
WEBGPU_FILES = (
    "ort.jspi.min.mjs",
    "ort-wasm-simd-threaded.jspi.mjs",
    "ort-wasm-simd-threaded.jspi.wasm",
)
"""WebGPU, and WebAssembly where that fails. Of the two builds with WebGPU this one is the smaller;
it needs a browser with JavaScript Promise Integration."""
_REGISTRY = "https://registry.npmjs.org/"
_WAIT_SECONDS = 30.0
_BLOCK = 1 << 18


@dataclass(frozen=True)
class WebRuntime:
    """Files of onnxruntime-web."""

    files: Mapping[str, bytes]
    """By name."""
    webgpu: bool


def web_runtime(archive: str | Path | None = None, *, webgpu: bool = False) -> WebRuntime:
    """The files of the runtime, from an archive, the cache or the registry.

    Args:
        archive: What ``npm pack onnxruntime-web@VERSION`` gives; None takes the one in the cache,
            and fetches it if there is none.
        webgpu: The build with WebGPU as well.

    Raises:
        UserError: If it cannot be had, or is not the very archive that this version knows.
    """
    given = Path(archive) if archive is not None else _cached()
    if archive is not None or given.is_file():
        content = read_bytes(given, NUM_BYTES)
        if not _is_right(content):
            if archive is not None:
                raise UserError(
                    f"{given} is not {PACKAGE} {VERSION} (SHA-512 differs): make it with "
                    f"`npm pack {PACKAGE}@{VERSION}`"
                )
            say(f"{given} is damaged: fetched again")
            content = _fetched(given)
    else:
        content = _fetched(given)
    names = WASM_FILES + (WEBGPU_FILES if webgpu else ())
    return WebRuntime(_members(content, names), webgpu)


def registry() -> tuple[str, str | None]:
    """The registry that npm asks here, and the file of certificates it is told to trust.

    Taken from ``npm_config_registry`` and ``npm_config_cafile`` in the environment, else from the
    user's ``.npmrc``, else from that of the machine.
    """
    settings: dict[str, str] = {}
    for path in reversed([*_npmrc_files()]):
        settings |= _npmrc(path)
    for name, value in os.environ.items():
        if name.lower().startswith("npm_config_") and value:
            settings[name.lower().removeprefix("npm_config_").replace("_", "-")] = value
    address = settings.get("registry") or _REGISTRY
    if urlsplit(address).scheme not in ("http", "https") or not urlsplit(address).netloc:
        raise UserError(f"npm's registry is set to {address!r}: it must begin with https://")
    return address.rstrip("/") + "/", settings.get("cafile")


def _cached() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "video_mobile_former" / "npm" / _ARCHIVE


def _is_right(content: bytes) -> bool:
    return base64.b64encode(hashlib.sha512(content).digest()).decode() == SHA512


def _fetched(place: Path) -> bytes:
    address, certificates = registry()
    url = f"{address}{PACKAGE}/-/{_ARCHIVE}"
    host = urlsplit(url).hostname
    say(f"fetching {PACKAGE} {VERSION} ({NUM_BYTES / 1e6:.0f} MB) from {host}, kept in {place}")
    try:
        content = _download(url, certificates)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise UserError(
            f"{PACKAGE} {VERSION} cannot be fetched from {host} ({reason}) and is not in the "
            f"cache: go online once, or give --runtime FILE, made elsewhere with "
            f"`npm pack {PACKAGE}@{VERSION}`"
        ) from error
    if not _is_right(content):
        raise UserError(
            f"what {host} gave is not {PACKAGE} {VERSION} (SHA-512 differs): nothing of it is kept"
        )
    with atomic_path(place) as temporary:
        temporary.write_bytes(content)
    return content


def _download(url: str, certificates: str | None) -> bytes:
    context = None
    if url.startswith("https:"):
        context = ssl.create_default_context()
        if certificates is not None:
            context.load_verify_locations(certificates)
    content = BytesIO()
    with (
        progress_bar("fetching the runtime") as show,
        urllib.request.urlopen(url, timeout=_WAIT_SECONDS, context=context) as answer,
    ):
        # One byte more than the archive has is enough to see that this is another file.
        while block := answer.read(min(_BLOCK, NUM_BYTES + 1 - content.tell())):
            content.write(block)
            show(content.tell(), NUM_BYTES)
    return content.getvalue()


def _members(content: bytes, names: tuple[str, ...]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    wanted = {f"package/dist/{name}": name for name in names}
    with tarfile.open(fileobj=BytesIO(content), mode="r:gz") as archive:
        for member in archive:
            name = wanted.get(member.name)
            stream = archive.extractfile(member) if name is not None and member.isfile() else None
            if name is not None and stream is not None:
                found[name] = stream.read()
    return {name: found[name] for name in names}


def _npmrc_files() -> Iterator[Path]:
    """npm's settings, those that count more first."""
    named = {name.lower(): value for name, value in os.environ.items()}
    yield Path(named.get("npm_config_userconfig") or Path.home() / ".npmrc")
    if named.get("npm_config_globalconfig"):
        yield Path(named["npm_config_globalconfig"])
    else:
        yield from (Path("/usr/local/etc/npmrc"), Path("/usr/etc/npmrc"), Path("/etc/npmrc"))


def _npmrc(path: Path) -> dict[str, Any]:
    """The keys that matter here; tokens and passwords are not looked at."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return {}
    found = {}
    for line in lines:
        key, _, value = (part.strip() for part in line.partition("="))
        if key in ("registry", "cafile") and value:
            found[key] = value.strip("\"'")
    return found
