"""Files that are no artefacts, damaged ones, and ones that would run code."""

import dataclasses
import hashlib
import io
import json
import os
import pickle
import subprocess
import sys
import warnings
import zipfile

import numpy as np
import onnx
import pytest
import torch

from video_mobile_former.benchmark.prepare import _macs
from video_mobile_former.errors import CheckpointError, UserError
from video_mobile_former.export.artefact import info_path
from video_mobile_former.export.loading import load_artefact, load_model
from video_mobile_former.export.targets import to_onnx, to_torch
from video_mobile_former.export.targets.table import TARGETS
from video_mobile_former.inference import Predictor
from video_mobile_former.inference.scorer import Scorer
from video_mobile_former.profiling.cost import count_macs

QUICK = {
    "onnx": {"target": "onnx"},
    "openvino": {"target": "openvino", "dtype": "uint8", "batch": 1},
    "torch": {"target": "torch", "batch": 1},
}
MINE = tuple(QUICK)


@pytest.fixture
def copy_of(artefacts, tmp_path):
    """An artefact of one's own to damage, with or without its JSON."""

    def make(target, *, with_json=True):
        written, row = artefacts(**QUICK[target]), TARGETS[target]
        path = tmp_path / f"copy{row.suffix}"
        for ending, file in row.files(written.path).items():
            path.with_suffix(ending or row.suffix).write_bytes(file.read_bytes())
        if with_json:
            info_path(path).write_bytes(info_path(written.path).read_bytes())
        return path

    return make


def test_load_model_takes_all_three(artefacts, checkpoint):
    assert load_model("vmf_500m").num_classes == 400
    assert load_model(checkpoint).num_classes == 3
    assert load_model(artefacts(target="onnx").path).num_classes == 3


@pytest.mark.slow
@pytest.mark.parametrize("target", MINE)
def test_another_file_than_the_json_describes(target, copy_of):
    path = copy_of(target)
    with path.open("ab") as stream:
        stream.write(b" ")
    with pytest.raises(CheckpointError, match=r"copy\.\w+ is not what .*\.json describes"):
        load_model(path)


@pytest.mark.parametrize("target", MINE)
@pytest.mark.parametrize("content", [b"", b"not a graph", b"PK\x05\x06" + bytes(18)])
def test_a_file_that_is_no_artefact(target, content, copy_of):
    path = copy_of(target, with_json=False)
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"copy\{path.suffix}") as caught:
        load_model(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("target", MINE)
def test_half_an_artefact(target, copy_of):
    path = copy_of(target, with_json=False)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CheckpointError, match=rf"copy\{path.suffix}"):
        load_model(path)


@pytest.mark.parametrize("size", [0, 100])
def test_openvino_without_all_its_weights(size, copy_of):
    path = copy_of("openvino", with_json=False)
    path.with_suffix(".bin").write_bytes(path.with_suffix(".bin").read_bytes()[:size])
    with pytest.raises(CheckpointError, match=r"copy\.xml"):
        load_model(path)
    path.with_suffix(".bin").unlink()
    with pytest.raises(CheckpointError, match=r"copy\.bin is missing"):
        load_model(path)


def test_another_format_version_is_named(copy_of):
    path = copy_of("onnx")
    values = json.loads(info_path(path).read_text(encoding="utf-8"))
    info_path(path).write_text(json.dumps(values | {"format": 99}), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"copy\.onnx\.json has format 99; .* export the"):
        load_model(path)


def test_a_graph_of_someone_else(copy_of):
    onnx = pytest.importorskip("onnx")
    path = copy_of("onnx", with_json=False)
    graph = onnx.load(path)
    del graph.metadata_props[:]
    onnx.save(graph, path)
    with pytest.raises(
        CheckpointError, match=r"says nothing of itself and there is no copy\.onnx\.js"
    ):
        load_model(path)


def test_other_files_are_named(tmp_path, copy_of):
    (tmp_path / "clip.mp4").write_bytes(b"video")
    with pytest.raises(CheckpointError, match=r"neither a checkpoint folder nor an artefact"):
        load_model(tmp_path / "clip.mp4")
    path = copy_of("onnx")
    with pytest.raises(CheckpointError, match=r"give .*copy\.onnx, which it describes"):
        load_model(info_path(path))
    with pytest.raises(CheckpointError, match=r"no artefact at .*absent\.onnx"):
        load_model(tmp_path / "absent.onnx")
    with pytest.raises(UserError, match="threads must be at least 1"):
        load_artefact(path, threads=0)


class Trap:
    def __reduce__(self):
        return (print, ("ran",))


def _changed(path, change):
    """Rewrite the members of an archive."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def _json(members, ending, change):
    name = next(name for name in members if name.endswith(ending))
    values = json.loads(members[name])
    change(values)
    members[name] = json.dumps(values).encode()


def _pickled_inputs(members):
    name = next(name for name in members if "sample_inputs" in name)
    stream = io.BytesIO()
    torch.save({"x": Trap()}, stream, pickle_module=pickle)
    members[name] = stream.getvalue()


def _pickled_weights(members):
    def change(values):
        next(iter(values["config"].values()))["use_pickle"] = True

    _json(members, "weights_config.json", change)


def _guard(members):
    _json(members, "models/model.json", lambda v: v.update(guards_code=["print('ran')"]))


def _call(members):
    def change(values):
        values["graph_module"]["graph"]["nodes"][0]["target"] = "torch.hub.load"

    _json(members, "models/model.json", change)


def _size(text):
    def change(members):
        def size(values):
            values["x"] = {"expr_str": text}

        _json(members, "models/model.json", size)

    return change


def _named_for_pickles(name):
    def change(members):
        folder = next(iter(members)).partition("/")[0]
        members[f"{folder}/data/constants/{name}"] = pickle.dumps(Trap())

        def constants(values):
            values["config"]["x"] = {"path_name": name, "is_param": False, "use_pickle": False}

        _json(members, "constants_config.json", constants)

    return change


def _native(members):
    folder = next(iter(members)).partition("/")[0]
    members[f"{folder}/data/aotinductor/model/x.so"] = b"\x7fELF"


@pytest.mark.parametrize(
    ("trap", "message"),
    [
        (_pickled_inputs, "is a pickle"),
        (_pickled_weights, "names a pickle"),
        (_guard, "conditions in Python"),
        (_call, "calls 'torch.hub.load'"),
        (_size("__import__('os').getcwd()"), "has the expression"),
        (_size("Symbol('s1').__class__"), "has the expression"),
        (_size("Symbol('print(1)')"), "has the expression"),
        (_size("[" * 9000), "has the expression"),
        (_native, "is code"),
        (_named_for_pickles("opaque_obj_0"), "has a member 'data/constants/opaque_obj_0'"),
        (_named_for_pickles("custom_obj_0"), "has a member 'data/constants/custom_obj_0'"),
    ],
)
def test_an_archive_that_would_run_code_is_refused(trap, message, copy_of, capsys):
    path = copy_of("torch", with_json=False)
    _changed(path, trap)
    with pytest.raises(CheckpointError, match=f"is refused: .*{message}"):
        load_model(path)
    assert "ran" not in capsys.readouterr().out


@pytest.mark.slow
def test_an_archive_that_two_readers_see_differently(artefacts, shared_data, tmp_path, monkeypatch):
    good, bad = artefacts(**QUICK["torch"]).path, tmp_path / "bad.pt2"
    tool = shared_data / "hostile" / "two_directories.py"
    subprocess.run([sys.executable, tool, good, bad], check=True, cwd=tmp_path)
    values = json.loads(info_path(good).read_text(encoding="utf-8"))
    values["sha256"] = hashlib.sha256(bad.read_bytes()).hexdigest()
    info_path(bad).write_text(json.dumps(values), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for _ in range(2):  # with its JSON, and by what is inside alone
        with pytest.raises(CheckpointError, match=r"bad\.pt2 is refused: .*belong to no member"):
            load_model(bad)
        info_path(bad).unlink(missing_ok=True)
    assert not (tmp_path / "PICKLE_RAN").exists()


def _twice(path):
    with zipfile.ZipFile(path, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr(archive.namelist()[0], b"other")


def _packed(path):
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def _end_record_twice(path):
    content = path.read_bytes()
    path.write_bytes(content + content[-22:])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.write_bytes(b"#!/bin/sh\n" + path.read_bytes()), "no member"),
        (lambda path: path.write_bytes(path.read_bytes() + b"\0" * 9), "does not end|no torch"),
        (_end_record_twice, "does not end|no torch|no member"),
        (_twice, "two members"),
        (_packed, "is packed"),
    ],
)
def test_an_archive_of_another_layout_is_refused(spoil, message, copy_of):
    path = copy_of("torch", with_json=False)
    spoil(path)
    with pytest.raises(CheckpointError, match=rf"copy\.pt2 .*({message})"):
        load_model(path)


def test_what_is_loaded_is_what_was_judged(copy_of):
    path = copy_of("torch", with_json=False)
    original, judged = path.read_bytes(), to_torch._canonical(path)
    path.write_bytes(b"replaced in the meantime")
    with zipfile.ZipFile(judged) as archive, zipfile.ZipFile(io.BytesIO(original)) as before:
        short = {name.partition("/")[2]: before.read(name) for name in before.namelist()}
        assert {name.partition("/")[2] for name in archive.namelist()} == set(short)
        for name in archive.namelist():
            if not name.endswith(".json"):
                assert archive.read(name) == short[name.partition("/")[2]]


@pytest.mark.slow
def test_a_rewritten_but_harmless_archive_loads(copy_of):
    path = copy_of("torch", with_json=False)
    _changed(path, lambda members: None)
    assert load_model(path).num_classes == 3


def test_what_an_artefact_is_given_must_fit(artefacts):
    exported = load_artefact(artefacts(target="onnx").path)
    with pytest.raises(UserError, match=r"takes float32 clips, not uint8"):
        exported(torch.zeros(1, 3, 4, 64, 64, dtype=torch.uint8))
    for shape in [(1, 3, 5, 64, 64), (1, 3, 4, 64, 32), (3, 4, 64, 64), (0, 3, 4, 64, 64)]:
        with pytest.raises(UserError, match=r"takes clips \(B, 3, 4, 64, 64\), not"):
            exported(torch.zeros(shape))


@pytest.mark.slow
def test_the_scorer_treats_it_as_any_model(model, artefacts):
    pixels = torch.randint(0, 256, (2, 3, 3, 4, 64, 64), dtype=torch.uint8)
    wanted = Scorer(model, device="cpu")(pixels)
    for wishes in QUICK.values():
        exported = load_artefact(artefacts(**wishes).path)
        torch.testing.assert_close(Scorer(exported)(pixels), wanted, atol=1e-5, rtol=0)
        assert Predictor(exported).class_names == model.class_names


def test_other_devices_and_precisions_are_refused(artefacts):
    exported = load_artefact(artefacts(target="onnx").path)
    with pytest.raises(UserError, match="runs on the CPU only; leave out --device meta"):
        Scorer(exported, device="meta")
    with pytest.raises(UserError, match="cannot compute in bf16; it computes in 32"):
        Scorer(exported, precision="bf16")


def _outside(model, location):
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = 1
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", location


def _own_operator(model):
    model.graph.node[0].domain = "com.stranger"


def _outside_in_a_subgraph(model):
    attribute = model.graph.node[0].attribute.add()
    attribute.name, attribute.type = "then_branch", 5
    attribute.g.initializer.add().external_data.add().key = "location"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda model: _outside(model, "weights.bin"), "weights in another file"),
        (lambda model: _outside(model, "../secret"), "weights in another file"),
        (lambda model: _outside(model, "/etc/passwd"), "weights in another file"),
        (_outside_in_a_subgraph, "weights in another file"),
        (_own_operator, "operators of 'com.stranger'"),
    ],
)
def test_an_onnx_that_reaches_outside_is_refused(change, message, copy_of):
    path = copy_of("onnx", with_json=False)
    model = onnx.load(path)
    change(model)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(CheckpointError, match=message):
        load_model(path)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "", "..", "link", "none", "a\\b"])
def test_weights_of_other_makers_are_plain_files_beside_the_graph(name, copy_of, tmp_path):
    path = copy_of("onnx", with_json=False)
    (tmp_path / "plain").write_bytes(bytes(10))
    (tmp_path / "link").symlink_to(tmp_path / "plain")
    model = onnx.load(path)
    _outside(model, name)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(CheckpointError, match="no plain file beside it"):
        to_onnx.open_session(path, 1)


def test_weights_beside_a_graph_of_other_makers(artefacts, tmp_path):
    written = artefacts(**QUICK["onnx"])
    path = tmp_path / "theirs.onnx"
    model = onnx.load(written.path)
    onnx.save(model, path, save_as_external_data=True, location="theirs.data", size_threshold=1024)
    clip = np.ones([size or 1 for size in written.info.input.shape], np.float32)
    if written.info.input.shape[0] is None:
        clip = np.ones((4, *clip.shape[1:]), np.float32)
    session = to_onnx.open_session(path, 1)
    own = to_onnx.load(written.path, written.info, 1)
    np.testing.assert_array_equal(session.run(None, {"clip": clip})[0], own(clip)[0])


def _deep(values):
    text = json.dumps(values | {"architecture": {"class": "X", "arguments": 7}})
    return text.replace('"arguments": 7', '"arguments": ' + '{"a":' * 50_000 + "1" + "}" * 50_000)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_deep, "nested too deeply"),
        (lambda values: json.dumps(values)[:-1] + ', "format": 1}', "'format' stands twice"),
        (lambda values: json.dumps(values) + " " * (17 << 20), "larger than 16 MB"),
        (
            lambda values: json.dumps(
                values | {"architecture": {"class": "X", "arguments": {"num_classes": 10**9}}}
            ),
            "num_classes must be at most",
        ),
        (
            lambda values: json.dumps(values | {"architecture": {"class": ["X"], "arguments": {}}}),
            "architecture must hold 'class'",
        ),
        (
            lambda values: json.dumps(values | {"clip": values["clip"] | {"num_frames": 10**7}}),
            "num_frames must be at most",
        ),
        (
            lambda values: json.dumps(values | {"input": values["input"] | {"batch": 10**12}}),
            "input.*must be at most",
        ),
        (
            lambda values: json.dumps(values | {"input": values["input"] | {"free": ["code"]}}),
            "free in",
        ),
    ],
)
def test_the_description_has_bounds(change, message, copy_of):
    path = copy_of("onnx")
    beside = info_path(path)
    beside.write_text(change(json.loads(beside.read_text())))
    with pytest.raises(CheckpointError, match=message) as caught:
        load_model(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("which", [lambda path: path, info_path])
def test_a_pipe_is_not_waited_for(which, copy_of):
    path = copy_of("onnx")
    which(path).unlink()
    os.mkfifo(which(path))
    with pytest.raises(CheckpointError, match=r"not a (regular )?file"):
        load_model(path)


@pytest.mark.parametrize(
    ("architecture", "parameters", "message"),
    [
        ({"class": "VideoMobileFormer", "arguments": {"colour": 1}}, None, "colour"),
        ({"class": "VideoMobileFormer", "arguments": {"num_tokens": 10**6}}, None, "describes"),
        ({"class": "Nothing", "arguments": {}}, None, "does not know"),
        (None, 5, "parameters, not 5"),
    ],
)
def test_macs_of_a_description_of_a_stranger(architecture, parameters, message, artefacts):
    written = artefacts(**QUICK["onnx"])
    change = {} if architecture is None else {"architecture": architecture}
    info = dataclasses.replace(written.info, **change, parameters=parameters or 1)
    clip = dataclasses.replace(info.clip, num_frames=2)
    with pytest.raises(UserError, match=message):
        _macs(info, clip, written.path)


@pytest.mark.slow
def test_macs_of_another_clip(artefacts, model):
    written = artefacts(**QUICK["onnx"])
    clip = dataclasses.replace(written.info.clip, num_frames=2)
    assert _macs(written.info, clip, written.path) == count_macs(model, (1, 3, 2, 64, 64))
