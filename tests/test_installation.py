"""What is installed here."""

from __future__ import annotations

import importlib.metadata
import json

import torch

from video_mobile_former import installation
from video_mobile_former.cli.main import main
from video_mobile_former.errors import UserError


def test_versions_are_those_of_the_libraries(capsys) -> None:
    assert main(["info", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["libraries"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert found["devices"][0]["name"] == "cpu"
    assert found["decoders"]["pyav"]["version"].startswith(importlib.metadata.version("av"))
    assert set(found["runtimes"]) >= {"onnx", "openvino", "executorch"}
    assert "vmf_500m" in found["weights"]["procedural"]
    for table in ("decoders", "runtimes", "extras"):
        for each in found[table].values():
            assert (each["version"] is None) != (each["why_not"] is None)


def test_what_is_missing_says_how_to_get_it(monkeypatch, capsys) -> None:
    def refuse() -> None:
        raise UserError("torchcodec needs FFmpeg")

    monkeypatch.setattr(installation, "check_torchcodec", refuse)
    known = installation.library_version
    monkeypatch.setattr(
        installation, "library_version", lambda name: None if name == "openvino" else known(name)
    )
    requires = [
        'torch>=2.8; extra == "whole"',
        "openvino>=1; extra == 'part'",
        "numpy>=1; extra == 'part'",
        "av>=1",
    ]
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: requires)
    found = installation.describe_installation()
    assert found["decoders"]["torchcodec"]["why_not"] == "torchcodec needs FFmpeg"
    assert "[openvino]" in found["runtimes"]["openvino"]["why_not"]
    assert found["extras"]["part"]["why_not"] == "without openvino"
    assert found["extras"]["whole"]["version"].startswith("torch ")
    assert list(found["extras"]) == ["whole", "part"]
    text = installation.format_installation(found)
    assert "without openvino" in text
