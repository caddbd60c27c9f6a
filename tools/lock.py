"""Lock files: what each set of extras was resolved to, and a check that it still resolves.

    python tools/lock.py                  # resolve every set under its lock file; no installation
    python tools/lock.py --write          # resolve anew what pyproject.toml asks for beyond them
    python tools/lock.py --write litert   # one of them
    python tools/lock.py --upgrade        # take the newest versions

Each file in ``constraints/`` is of one resolve, so that what one extra holds back is not held back
in the others. Pins of ``base.txt`` are preferred in all. Takes uv's resolver, for Linux and Python
3.11; settings of pip in the environment (``PIP_FIND_LINKS``, …) hold for it too.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "constraints"
SETS: dict[str, tuple[str, ...]] = {
    "base": ("dev", "imagenet"),
    "litert": ("litert",),
    "coreml": ("coreml",),
    "shards": ("shards",),
    "docs": ("docs",),
    "package": ("package",),
    "all": ("dev", "imagenet", "litert", "coreml", "shards"),
}
"""Extras of each file. ``base`` serves every extra that ``dev`` contains."""
TORCH = "torch==2.13.0"
"""An open range would take gigabytes of CUDA where a small wheel is at hand."""
_HEADER = "# {extras}: what this version was tested with, Python 3.11 on a CPU (tools/lock.py).\n"
_OF_CUDA = ("nvidia-", "cuda-", "triton")
"""Only torch's wheels for GPUs ask for these, each for exact versions."""


def resolve(extras: tuple[str, ...], pins: str, *, hard: bool, upgrade: bool = False) -> list[str]:
    """Lines ``name==version`` of a resolve.

    Args:
        extras: Of ``pyproject.toml``.
        pins: Text of a lock file.
        hard: Whether the pins must hold; otherwise they are preferred.
        upgrade: Prefer the newest versions instead.

    Raises:
        SystemExit: If there is none; says why.
    """
    kept = FOLDER / ".resolve.txt"
    kept.write_text(pins if hard else f"{TORCH}\n", encoding="utf-8")
    out = FOLDER / ".resolved.txt"
    out.write_text("" if hard or upgrade else pins, encoding="utf-8")
    command = ["uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate"]
    command += ["--python-version", "3.11", "--python-platform", "linux"]
    command += ["--constraint", str(kept), "--output-file", str(out), "pyproject.toml"]
    command += [word for extra in extras for word in ("--extra", extra)]
    try:
        subprocess.run(command, cwd=ROOT, env=_environment(), check=True)
        lines = out.read_text(encoding="utf-8").splitlines()
    except subprocess.CalledProcessError:
        sys.exit(f"{','.join(extras)}: no versions go together")
    finally:
        kept.unlink()
        out.unlink()
    # A local wheel calls itself 2.13.0+cpu; others have 2.13.0.
    return [re.sub(r"\+\S+", "", line) for line in lines if not line.startswith(_OF_CUDA)]


def unpinned(lines: list[str], pins: str) -> list[str]:
    """Resolved lines that a lock file lacks."""
    return sorted(set(lines) - set(pins.splitlines()))


def _environment() -> dict[str, str]:
    """The environment with pip's settings for uv too, and this interpreter's scripts."""
    known = os.environ
    same = {
        "UV_DEFAULT_INDEX": known.get("PIP_INDEX_URL"),
        "UV_INDEX": known.get("PIP_EXTRA_INDEX_URL"),
        "UV_FIND_LINKS": known.get("PIP_FIND_LINKS"),
        "SSL_CERT_FILE": known.get("PIP_CERT"),
    }
    path = os.pathsep.join([str(Path(sys.executable).parent), known["PATH"]])
    return {**{k: v for k, v in same.items() if v}, **known, "PATH": path}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sets", nargs="*", choices=[[], *SETS], help="default: all")
    parser.add_argument("--write", action="store_true", help="write them")
    parser.add_argument("--upgrade", action="store_true", help="write them, with newest versions")
    args = parser.parse_args()
    missing = []
    for name in args.sets or SETS:
        extras, path = SETS[name], FOLDER / f"{name}.txt"
        base = FOLDER / "base.txt"
        if args.write or args.upgrade:
            known = path if path.exists() else base
            pins = known.read_text(encoding="utf-8") if known.exists() else ""
            newest = args.upgrade and name == "base"
            if args.upgrade and not newest:
                pins = base.read_text(encoding="utf-8")
            lines = resolve(extras, pins, hard=False, upgrade=newest)
            text = _HEADER.format(extras=", ".join(extras)) + "\n".join(lines) + "\n"
            path.write_text(text, encoding="utf-8")
        pins = path.read_text(encoding="utf-8")
        lines = unpinned(resolve(extras, pins, hard=True), pins)
        missing += [f"{path.relative_to(ROOT)}: {line} is not pinned" for line in lines]
        print(f"{path.relative_to(ROOT)}: {', '.join(extras)}")
    if missing:
        sys.exit("\n".join([*missing, "python tools/lock.py --write mends it"]))


if __name__ == "__main__":
    main()
