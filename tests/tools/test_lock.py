"""Lock files: every extra has one, and what a lock lacks is found."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def lock() -> ModuleType:
    spec = importlib.util.spec_from_file_location("lock", ROOT / "tools" / "lock.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_extra_has_a_lock_file(lock: ModuleType) -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    section = text.split("[project.optional-dependencies]")[1].split("\n[")[0]
    extras = dict(re.findall(r"^([\w-]+) = \[(.*?)\]$", section, re.MULTILINE | re.DOTALL))
    inside = re.search(r"video-mobile-former\[(.*?)(?:\]|$)", extras["dev"])
    assert inside
    served = {*inside[1].split(","), *(name for extras in lock.SETS.values() for name in extras)}
    alone = {name for name in extras if name not in served}
    for name in alone:  # what dev asks for itself
        words = re.findall(r'"([\w-]+)', extras[name])
        assert all(word in extras["dev"] for word in words), name
    assert {path.stem for path in (ROOT / "constraints").glob("*.txt")} == set(lock.SETS)


def test_locks_hold_the_torch_that_is_tested(lock: ModuleType) -> None:
    for name in lock.SETS:
        lines = (ROOT / "constraints" / f"{name}.txt").read_text(encoding="utf-8").splitlines()
        assert lock.TORCH in lines
        assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines[1:])


def test_one_extra_holds_back_no_other() -> None:
    base, litert = ((ROOT / "constraints" / f"{n}.txt").read_text() for n in ("base", "litert"))
    pin = re.compile(r"^typing-extensions==(\d+)\.(\d+)", re.MULTILINE)
    found = [tuple(map(int, found.groups())) for found in map(pin.search, (base, litert)) if found]
    assert found[1] < (4, 13) <= found[0]


def test_what_a_lock_lacks_is_found(lock: ModuleType) -> None:
    assert lock.unpinned(["a==1", "b==2", "c==3"], "# head\na==1\nc==2\n") == ["b==2", "c==3"]
