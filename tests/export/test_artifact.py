"""What an artefact says of itself, written, read and refused."""

import dataclasses
import json

import pytest

from video_mobile_former.clip import ClipSpec
from video_mobile_former.errors import CheckpointError
from video_mobile_former.export.artifact import (
    ArtifactInfo,
    ArtifactInput,
    artifact_sha256,
    info_path,
    parse_info,
    write_info,
)

INFO = ArtifactInfo(
    target="onnx",
    form="volume",
    precision="fp32",
    input=ArtifactInput("clip", "uint8", "BCTHW", (None, 3, 4, 64, 64), ("batch",), None),
    clip=ClipSpec(num_frames=4, crop_size=64),
    num_classes=2,
    class_names=("wave", "Größe | 手"),
    multi_label=False,
    architecture={"class": "VideoMobileFormer", "arguments": {"num_classes": 2}},
    parameters=10,
    macs_per_view=20,
    model_info={"training": {"seed": 0}},
    parity={"clips": 3},
    sha256="0" * 64,
)


def test_it_survives_its_json(tmp_path):
    where = write_info(tmp_path / "model.onnx", INFO)
    assert where == info_path(tmp_path / "model.onnx") == tmp_path / "model.onnx.json"
    assert parse_info(where.read_text(encoding="utf-8"), where) == INFO


def test_what_stands_inside_knows_neither_its_digest_nor_its_proof():
    inside = parse_info(INFO.to_json(), "x")
    assert inside == dataclasses.replace(INFO, parity=None, sha256=None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "format 2; this version reads 1: export the checkpoint again"),
        ({"precision": "fp64"}, "damaged: precision is 'fp64'"),
        ({"class_names": ["one"]}, "damaged: class_names must be 2 names"),
        ({"clip": {"frames": 3}}, "damaged: clip has unknown keys"),
        ({"input": {"name": "clip"}}, "damaged: "),
        ({"macs_per_view": "many"}, "damaged: macs_per_view is 'many'"),
        ({"sha256": 5}, "damaged: sha256 is 5"),
        ({"colour": 1}, "damaged: it has unknown colour"),
    ],
)
def test_damage_is_named(change, message):
    with pytest.raises(CheckpointError, match=message) as caught:
        parse_info(json.dumps(INFO.to_dict() | change), "model.onnx.json")
    assert str(caught.value).startswith("model.onnx.json ")


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"a": 1}'])
def test_what_is_no_description_is_refused(text):
    with pytest.raises(CheckpointError, match=r"^x\.json "):
        parse_info(text, "x.json")


def test_a_missing_key_is_named():
    values = INFO.to_dict()
    del values["clip"]
    with pytest.raises(CheckpointError, match="damaged: it lacks clip"):
        parse_info(json.dumps(values), "x.json")


def test_the_digest_sees_every_file_but_no_name(tmp_path):
    for stem in ("a", "b"):
        (tmp_path / f"{stem}.xml").write_text("graph")
        (tmp_path / f"{stem}.bin").write_text("weights")

    def digest(stem):
        return artifact_sha256({"": tmp_path / f"{stem}.xml", ".bin": tmp_path / f"{stem}.bin"})

    assert digest("a") == digest("b")
    (tmp_path / "b.bin").write_text("other")
    assert digest("a") != digest("b")


def test_the_digest_of_a_folder_sees_what_is_in_it(tmp_path):
    (tmp_path / "m" / "inner").mkdir(parents=True)
    (tmp_path / "m" / "inner" / "w").write_text("weights")
    before = artifact_sha256({"": tmp_path / "m"})
    (tmp_path / "m" / "inner" / "w").rename(tmp_path / "m" / "w")
    assert artifact_sha256({"": tmp_path / "m"}) != before
