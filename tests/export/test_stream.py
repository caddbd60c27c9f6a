"""Artefacts of streaming models: proven over many steps, states by name, streams kept apart."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from small_streams import NAMES, small_stream
from video_mobile_former import UserError, load_model
from video_mobile_former.cli.main import main
from video_mobile_former.errors import CheckpointError
from video_mobile_former.export import exporting, parity
from video_mobile_former.export.artefact import ArtefactInfo, parse_info
from video_mobile_former.export.exporting import Exported, export_model
from video_mobile_former.export.request import ExportRequest, describe
from video_mobile_former.export.stream import ExportedStream
from video_mobile_former.export.targets.table import TARGETS
from video_mobile_former.models.runnable import StreamingModel, runnable

SUFFIX = {name: target.suffix for name, target in TARGETS.items()}


def frames(batch: int = 3) -> Tensor:
    torch.manual_seed(1)
    return torch.randn(batch, 3, 8, 32, 32)


def written(folder: Path, target: str, **wishes: Any) -> Exported:
    request = ExportRequest(target, streaming=True, **wishes)
    return export_model(small_stream(), folder / f"stream{SUFFIX[target]}", request)


def opened(exported: Exported) -> ExportedStream:
    model = load_model(exported.path, threads=1)
    assert isinstance(model, ExportedStream)
    return model


@pytest.fixture(scope="module")
def torch_stream(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Two streams at once; PyTorch is the quickest to write."""
    return written(tmp_path_factory.mktemp("torch"), "torch", batch=2)


def check(exported: Exported) -> None:
    """What every artefact of a stream shows."""
    assert exported.parity is not None
    assert exported.parity.passed
    assert exported.parity.max_difference < 1e-4
    assert exported.parity.to_dict()["steps"] == 64
    eager, model, x = small_stream(), opened(exported), frames()
    assert isinstance(runnable(model), StreamingModel)
    with torch.no_grad():
        whole = eager.forward_steps(x)
    torch.testing.assert_close(model.forward_steps(x), whole, atol=1e-4, rtol=0)
    torch.testing.assert_close(model(x), whole[:, -1], atol=1e-4, rtol=0)
    state = model.init_state(3, 32)
    first, state = model.step(x[:, :, :2], state)
    torch.testing.assert_close(first, whole[:, 0], atol=1e-4, rtol=0)
    last, after = model.step(x[:, :, 2:], state)
    torch.testing.assert_close(last, whole[:, -1], atol=1e-4, rtol=0)
    again, _ = model.step(x[:, :, 2:], state)  # a state is not used up
    assert torch.equal(again, last)
    fresh = model.reset(after, [1])
    logits, _ = model.step(x, fresh)
    torch.testing.assert_close(logits[1], whole[1, -1], atol=1e-4, rtol=0)
    undisturbed, _ = model.step(x, after)
    torch.testing.assert_close(logits[[0, 2]], undisturbed[[0, 2]], atol=1e-6, rtol=0)
    assert (logits[1] - undisturbed[1]).abs().max() > 1e-3


@pytest.mark.slow
def test_a_torch_artefact_is_a_streaming_model(torch_stream: Exported) -> None:
    check(torch_stream)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "wishes"),
    [
        ("onnx", {"dtype": "uint8"}),
        ("onnx", {"form": "volume"}),
        ("onnx", {"precision": "fp16", "batch": 3}),
        ("openvino", {}),
        ("openvino", {"stateful": True, "dtype": "uint8"}),
        ("torch", {"form": "volume", "channels": "last"}),
    ],
    ids=str,
)
def test_every_target_computes_the_same(
    target: str, wishes: dict[str, Any], tmp_path: Path
) -> None:
    if not all(importlib.util.find_spec(name) for name in TARGETS[target].packages):
        pytest.skip(f"{target} is not installed")
    exported = written(tmp_path, target, **wishes)
    assert exported.parity is not None
    assert exported.parity.passed
    if "dtype" not in wishes and "precision" not in wishes:
        check(exported)


@pytest.mark.slow
def test_a_runtime_that_keeps_its_states_runs_several_streams(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    exported = written(tmp_path, "openvino", stateful=True)
    check(exported)
    model, x = opened(exported), frames(2)
    whole = small_stream().forward_steps(x).detach()
    states = [model.init_state(1, 32), model.init_state(1, 32)]
    for i in range(4):  # in turn, each with its own state
        for stream in (0, 1):
            part = x[stream : stream + 1, :, 2 * i : 2 * i + 2]
            logits, states[stream] = model.step(part, states[stream])
            torch.testing.assert_close(logits[0], whole[stream, i], atol=1e-4, rtol=0)


@pytest.mark.slow
def test_an_executorch_artefact_is_a_streaming_model(tmp_path: Path) -> None:
    pytest.importorskip("executorch.version", reason="ExecuTorch is not installed")
    check(written(tmp_path, "executorch"))


@pytest.mark.skipif(
    importlib.util.find_spec("litert_torch") is None,
    reason="litert-torch is not installed (make test-all installs it)",
)
def test_a_litert_artefact_is_a_streaming_model(tmp_path: Path) -> None:
    check(written(tmp_path, "litert"))


@pytest.fixture(scope="module")
def info() -> ArtefactInfo:
    return describe(small_stream(), ExportRequest("torch", streaming=True, batch=2))


@pytest.mark.slow
def test_the_json_describes_the_states(info: ArtefactInfo) -> None:
    values = json.loads(info.to_json())
    assert values["format"] == 2
    stream = values["stream"]
    assert (stream["frames_per_update"], stream["stateful"]) == (2, False)
    assert stream["macs_per_frame"] * 8 == values["macs_per_view"]
    shapes = {one["name"]: tuple(one["shape"]) for one in stream["states"]}
    eager = small_stream().init_state(2, 32)
    assert list(shapes) == [name.replace(".", "_") for name in eager]
    assert list(shapes.values()) == [tuple(value.shape) for value in eager.values()]
    assert values["input"]["shape"] == [4, 3, 32, 32]
    assert values["class_names"] == list(NAMES)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"states": [{"name": "a b", "shape": [1, 2]}]}, "a state is called 'a b'"),
        ({"states": [{"name": "a", "shape": [1, 2]}] * 2}, "a state is called 'a'"),
        ({"states": [{"name": "a", "shape": [1, 2, 3, 4, 5]}]}, "state a has shape"),
        ({"states": [{"name": "a", "shape": [1, 0]}]}, "a size of state a is 0"),
        ({"frames_per_update": 0}, "frames_per_update is 0"),
        ({"stateful": "yes"}, "stateful is 'yes'"),
        ({"colour": 1}, "colour"),
    ],
    ids=str,
)
def test_a_damaged_description_is_named(
    info: ArtefactInfo, change: dict[str, Any], message: str
) -> None:
    assert parse_info(info.to_json(), "x") == info
    values = info.to_dict()
    values["stream"] = values["stream"] | change
    with pytest.raises(CheckpointError, match=message):
        parse_info(json.dumps(values), "stream.pt2.json")


def test_frames_and_states_that_do_not_fit_are_named(info: ArtefactInfo) -> None:
    model = ExportedStream(info, lambda *inputs: inputs, path="stream.pt2", threads=1)
    state = model.init_state(2, (32, 32))
    with pytest.raises(UserError, match="takes frames of 32×32 pixels, not 64"):
        model.init_state(1, 64)
    with pytest.raises(UserError, match="a multiple of 2"):
        model.step(frames(2)[:, :, :3], state)
    with pytest.raises(UserError, match="not one of 3 of its streams"):
        model.step(frames(3), state)
    with pytest.raises(UserError, match="not one of 2 of its streams"):
        model.step(frames(2), {})


@pytest.mark.parametrize(
    ("target", "wishes", "message"),
    [
        ("onnx", {"precision": "int8"}, "fp32 or fp16, not int8"),
        ("onnx", {"dynamic": True}, "fixed"),
        ("onnx", {"batch": "dynamic"}, "fixed"),
        ("onnx", {"num_frames": 4}, "leave --num_frames out"),
        ("onnx", {"stateful": True}, "ONNX Runtime keeps no states itself; openvino does"),
        ("coreml", {}, "not written for Core ML"),
    ],
    ids=str,
)
def test_wishes_that_a_step_cannot_fulfil(
    target: str, wishes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        written(tmp_path, target, **wishes)
    assert not list(tmp_path.iterdir())


def test_the_command_names_a_model_that_takes_no_streams(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--to", "torch", "--out", str(tmp_path / "m.pt2")]
    assert main(["export", "vmf_500m", "--streaming", *out]) == 2
    assert "is no streaming model" in capsys.readouterr().err.splitlines()[-1]
    assert main(["export", "vmf_500m_stream", *out]) == 2
    assert "add --streaming" in capsys.readouterr().err.splitlines()[-1]
    assert main(["export", "vmf_500m_stream", "--stateful", *out]) == 2
    assert "--stateful goes with --streaming" in capsys.readouterr().err.splitlines()[-1]
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_an_artefact_that_forgets_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Right in its first step, wrong afterwards: only many steps tell."""
    monkeypatch.setattr(parity, "NUM_STEPS", 4)
    lower_step = exporting.lower_step

    class Forgetful(torch.nn.Module):
        def __init__(self, net: torch.nn.Module):
            super().__init__()
            self.net = net

        def forward(self, clip: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
            logits, *after = self.net(clip, *states)
            return logits, *(value * 0.5 for value in after)

    monkeypatch.setattr(
        exporting, "lower_step", lambda m, form: Forgetful(lower_step(m, form=form))
    )
    with pytest.raises(UserError, match=r"is not written: .* on the stream"):
        written(tmp_path, "torch")
    assert not list(tmp_path.iterdir())
