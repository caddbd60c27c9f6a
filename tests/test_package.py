"""The wheel holds what the package needs: it runs where the checkout is not."""

from __future__ import annotations

import email
import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from video_files import write_video
from video_mobile_former import __version__
from video_mobile_former.models.shipped_weights import FOLDER

pytest.importorskip("hatchling", reason="hatchling, of the extra dev, is not installed")

ROOT = Path(__file__).parents[1]
SAVE = """
import sys
import video_mobile_former
from video_mobile_former import create_model
model = create_model("vmf_500m", 2, weights="procedural", num_frames=4, crop_size=32)
model.class_names = ("up", "down")
model.save_pretrained(sys.argv[1])
print(video_mobile_former.__file__)
"""


def build(kind: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (found,) = folder.iterdir()
    return found


@pytest.mark.slow
def test_the_wheel_runs_from_an_environment_of_its_own(tmp_path: Path) -> None:
    wheel = build("wheel", tmp_path / "dist")
    assert wheel.stat().st_size < 12_000_000

    venv.create(tmp_path / "env", with_pip=False)
    python = tmp_path / "env" / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    command += ["--no-deps", "--no-index", "--disable-pip-version-check", str(wheel)]
    subprocess.run(command, check=True, timeout=120)
    # The libraries of the test environment, but not the checkout: paths that a .pth file adds are
    # not looked through for further .pth files, such as that of an editable installation.
    (site,) = (tmp_path / "env" / "lib").glob("python*/site-packages")
    (site / "libraries.pth").write_text(sysconfig.get_paths()["purelib"] + "\n", encoding="utf-8")
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}

    def run(*words: str) -> str:
        done = subprocess.run(
            words, cwd=tmp_path, env=clean, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    vmf = str(python.parent / "vmf")
    assert run(vmf, "--version").strip() == f"vmf {__version__}"
    assert "predict" in run(vmf, "--help")
    assert "vmf_500m" in run(vmf, "models")
    home = run(str(python), "-c", SAVE, "checkpoint").strip()
    assert Path(home).is_relative_to(site)
    write_video(tmp_path / "clip.mp4", 12)
    found = json.loads(run(vmf, "predict", "checkpoint", "clip.mp4", "--json"))
    assert {one["label"] for one in found["results"][0]["predictions"]} == {"up", "down"}

    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        facts = email.message_from_bytes(archive.read(metadata))
    assert facts["License-Expression"] == "Apache-2.0"
    assert facts["Description-Content-Type"] == "text/markdown"
    assert any(name.endswith("licenses/LICENSE") for name in names)
    inside = {Path(name).name for name in names}
    assert {path.name for path in FOLDER.iterdir() if path.suffix != ".py"} <= inside
    assert not any(name.startswith(("tests/", "docs/")) for name in names)


@pytest.mark.slow
def test_the_source_archive_has_what_its_tests_and_pages_need(tmp_path: Path) -> None:
    with tarfile.open(build("sdist", tmp_path)) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for name in (
        "LICENSE",
        "README.md",
        "Makefile",
        "mkdocs.yml",
        "docs/data.md",
        "tests/conftest.py",
    ):
        assert name in names
    assert not any(name.startswith((".venv", "site/", "dist/", "runs/")) for name in names)
