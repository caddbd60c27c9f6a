"""The runtime of web pages: where it comes from, and that nothing else is taken for it."""

import base64
import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from video_mobile_former.cli.main import main
from video_mobile_former.errors import UserError
from video_mobile_former.export.targets import web_runtime as module
from video_mobile_former.export.targets.web_runtime import (
    WASM_FILES,
    WEBGPU_FILES,
    registry,
    web_runtime,
)
from web_pages import served


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """No cache, no settings of npm, and a registry that nobody answers at."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("npm_config_globalconfig", str(tmp_path / "global"))
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9/")
    for name in ("npm_config_userconfig", "NPM_CONFIG_REGISTRY", "npm_config_cafile"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def archive(tmp_path, monkeypatch) -> Path:
    """A small archive laid out as npm's, which the module is told to know."""
    place = tmp_path / "made" / "onnxruntime-web" / "-" / module._ARCHIVE
    place.parent.mkdir(parents=True)
    with tarfile.open(place, "w:gz") as packed:
        for name in ("../evil", "package/README.md", *map("package/dist/{}".format, ALL)):
            content = name.encode()
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            packed.addfile(entry, io.BytesIO(content))
    content = place.read_bytes()
    monkeypatch.setattr(module, "NUM_BYTES", len(content))
    digest = base64.b64encode(hashlib.sha512(content).digest()).decode()
    monkeypatch.setattr(module, "SHA512", digest)
    return place


ALL = WASM_FILES + WEBGPU_FILES


def test_only_the_files_of_the_builds_asked_for(archive):
    assert set(web_runtime(archive).files) == set(WASM_FILES)
    found = web_runtime(archive, webgpu=True)
    assert set(found.files) == set(ALL)
    assert found.files["ort.jspi.min.mjs"] == b"package/dist/ort.jspi.min.mjs"


def test_it_is_fetched_once_from_npms_registry(archive, tmp_path, monkeypatch, capsys):
    with served(archive.parents[2]) as site:
        monkeypatch.setenv("npm_config_registry", site.url)
        first = web_runtime()
    assert "fetching onnxruntime-web" in capsys.readouterr().err
    assert site.paths == [f"/onnxruntime-web/-/{module._ARCHIVE}"]
    assert web_runtime() == first  # nobody serves it any more
    assert capsys.readouterr().err == ""
    (kept,) = (tmp_path / "cache").rglob("*.tgz")
    kept.write_bytes(kept.read_bytes()[:-1])
    with pytest.raises(UserError, match="cannot be fetched"):
        web_runtime()


def test_a_registry_that_gives_another_file_is_refused(archive, tmp_path, monkeypatch):
    for wrong in (b"x" + archive.read_bytes()[1:], archive.read_bytes() + b"more"):
        archive.write_bytes(wrong)
        with served(archive.parents[2]) as site:
            monkeypatch.setenv("npm_config_registry", site.url)
            with pytest.raises(UserError, match="SHA-512 differs"):
                web_runtime()
    assert not list((tmp_path / "cache").rglob("*.tgz"))


def test_a_tampered_archive_and_no_network_are_one_line(
    archive, checkpoint, tmp_path, monkeypatch, capsys
):
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 1
    archive.write_bytes(content)
    words = ["export", str(checkpoint), "--to", "web", "--out", str(tmp_path / "site")]
    for more, message in (
        (["--runtime", str(archive)], "SHA-512 differs"),
        (["--runtime", str(tmp_path / "absent.tgz")], "absent.tgz cannot be read"),
        ([], "npm pack onnxruntime-web@"),
    ):
        assert main([*words, *more]) == 2
        said = capsys.readouterr()
        assert message in said.err.splitlines()[-1]
        assert said.err.splitlines()[-1].startswith("vmf: error: ")
        assert "Traceback" not in said.err
    assert not (tmp_path / "site").exists()


def test_settings_of_npm_are_honoured(tmp_path, monkeypatch):
    monkeypatch.delenv("npm_config_registry")
    assert registry() == ("https://registry.npmjs.org/", None)
    (tmp_path / "global").write_text("registry=https://machine.example\ncafile = /a.pem\n")
    assert registry() == ("https://machine.example/", "/a.pem")
    home = tmp_path / "home"
    home.mkdir()
    (home / ".npmrc").write_text('# ours\nregistry = "https://user.example/npm/"\n')
    assert registry() == ("https://user.example/npm/", "/a.pem")
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "https://env.example")
    assert registry() == ("https://env.example/", "/a.pem")
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "file:///etc/passwd")
    with pytest.raises(UserError, match="must begin with https"):
        registry()
