"""What an artefact says of itself, written, read and refused."""

import dataclasses
import json
from typing import get_args

import pytest
import torch

from video_mobile_former.clip_spec import ClipSpec
from video_mobile_former.errors import CheckpointError
from video_mobile_former.export.artefact import (
    ArtefactInfo,
    ArtefactInput,
    Layout,
    artefact_sha256,
    info_path,
    lay_out,
    parse_info,
)
from video_mobile_former.files import write_json

INFO = ArtefactInfo(
    target="onnx",
    form="volume",
    precision="fp32",
    input=ArtefactInput("clip", "uint8", "BCTHW", (None, 3, 4, 64, 64), ("batch",), None),
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
    where = info_path(tmp_path / "model.onnx")
    assert where == tmp_path / "model.onnx.json"
    write_json(where, INFO.to_dict())
    assert parse_info(where.read_text(encoding="utf-8"), where) == INFO


@pytest.mark.parametrize("layout", get_args(Layout))
def test_clips_are_laid_out_as_the_axes_say(layout):
    clips = torch.arange(2 * 3 * 4 * 5 * 6).view(2, 3, 4, 5, 6)
    found = lay_out(clips, layout)
    axes = dataclasses.replace(INFO.input, layout=layout).axes
    sizes = {"batch": 2, "channels": 3, "num_frames": 4, "height": 5, "width": 6}
    sizes["batch_times_frames"] = 8
    assert tuple(found.shape) == tuple(sizes[name] for name in axes)
    # Clip 1, frame 2: the seventh of the frames in a row.
    frame = found.unflatten(0, (2, 4)) if len(axes) == 4 else found
    if layout == "BCTHW":
        frame = frame.transpose(1, 2)
    picture = frame[1, 2]
    picture = picture if layout.endswith("HW") else picture.permute(2, 0, 1)
    assert torch.equal(picture, clips[1, :, 2])


def test_what_stands_inside_knows_neither_its_digest_nor_its_proof():
    inside = parse_info(INFO.to_json(), "x")
    assert inside == dataclasses.replace(INFO, parity=None, sha256=None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 3}, "format 3; this version reads 1 and 2: export the checkpoint again"),
        ({"format": 2}, "damaged: it lacks stream"),
        ({"stream": None}, "damaged: it has unknown stream"),
        ({"precision": "fp64"}, "damaged: precision is 'fp64'"),
        ({"class_names": ["one"]}, "damaged: class_names must be 2 names"),
        ({"clip": {"frames": 3}}, "damaged: clip has unknown keys"),
        ({"input": {"name": "clip"}}, "damaged: "),
        ({"macs_per_view": "many"}, "damaged: macs_per_view is 'many'"),
        ({"input": INFO.to_dict()["input"] | {"layout": "WHTCB"}}, "damaged: .*'WHTCB'"),
        (
            {"input": INFO.to_dict()["input"] | {"layout": "(BT)HWC"}},
            "damaged: its input has shape",
        ),
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
        return artefact_sha256({"": tmp_path / f"{stem}.xml", ".bin": tmp_path / f"{stem}.bin"})

    assert digest("a") == digest("b")
    (tmp_path / "b.bin").write_text("other")
    assert digest("a") != digest("b")


def test_the_digest_of_a_folder_sees_what_is_in_it(tmp_path):
    (tmp_path / "m" / "inner").mkdir(parents=True)
    (tmp_path / "m" / "inner" / "w").write_text("weights")
    before = artefact_sha256({"": tmp_path / "m"})
    (tmp_path / "m" / "inner" / "w").rename(tmp_path / "m" / "w")
    assert artefact_sha256({"": tmp_path / "m"}) != before
