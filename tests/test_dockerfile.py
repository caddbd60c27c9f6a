"""The Dockerfile, which cannot be built here, says what pyproject.toml says."""

from __future__ import annotations

import json
import re
from pathlib import Path

from packaging.specifiers import SpecifierSet

from video_mobile_former.cli import main as cli

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")
PROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_its_python_is_supported_and_that_of_the_constraints() -> None:
    versions = set(re.findall(r"^FROM python:([\d.]+)", TEXT, re.MULTILINE))
    wanted = re.search(r'^requires-python = "(.*)"$', PROJECT, re.MULTILINE)
    pinned = re.search(r"Python ([\d.]+)", (ROOT / "constraints" / "base.txt").read_text())
    assert wanted
    assert pinned
    assert versions == {pinned[1]}
    assert versions.pop() in SpecifierSet(wanted[1])


def test_its_extras_exist_and_serve_is_among_them() -> None:
    found = re.search(r"'\.\[(.*?)\]'", TEXT)
    assert found
    extras = set(found[1].split(","))
    assert "serve" in extras
    assert all(re.search(rf"^{name} = \[", PROJECT, re.MULTILINE) for name in extras)


def test_its_command_is_understood() -> None:
    entry = re.search(r"^ENTRYPOINT (\[.*\])$", TEXT, re.MULTILINE)
    command = re.search(r"^CMD (\[.*\])$", TEXT, re.MULTILINE)
    assert entry
    assert command
    (name,) = json.loads(entry[1])
    assert re.search(rf'^{name} = "video_mobile_former', PROJECT, re.MULTILINE)
    args = cli._parser().parse_args(json.loads(command[1]))
    assert args.models == ["/model"]
    assert re.search(rf"^EXPOSE {args.port}$", TEXT, re.MULTILINE)


def test_it_does_not_run_as_root() -> None:
    last = TEXT.split("\nFROM ")[-1]
    assert re.search(r"^USER (?!root|0)\w+$", last, re.MULTILINE)


def test_what_it_copies_exists_and_is_sent_to_the_build() -> None:
    ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in ignore
    for line in re.findall(r"^COPY (?!--)(.*)$", TEXT, re.MULTILINE):
        for name in line.split()[:-1]:
            assert (ROOT / name).exists(), name
            assert f"!{name}" in ignore, name
