"""Video-FocalNets: exact counts, a second computation, equal forms, public weights by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import plain_focalnet
from baseline_networks import clips
from video_mobile_former.errors import CheckpointError, UserError
from video_mobile_former.export.exporting import export_model
from video_mobile_former.export.lowering import lower
from video_mobile_former.export.request import ExportRequest
from video_mobile_former.models import create_model, load_checkpoint, load_focalnet
from video_mobile_former.models.baselines.focalnet import VideoFocalNet
from video_mobile_former.profiling.cost import count_macs, count_parameters

SMALL: dict[str, Any] = {"channels": plain_focalnet.WIDTHS[0], "depths": plain_focalnet.DEPTHS}


def small(**overrides: Any) -> VideoFocalNet:
    """A network in which every part shows."""
    torch.manual_seed(0)
    model = create_model("video_focalnet_t", 7, **{**SMALL, **overrides})
    assert isinstance(model, VideoFocalNet)
    for value in model.parameters():
        torch.nn.init.normal_(value, std=0.3)
    return model


@pytest.mark.parametrize(
    ("name", "classes", "parameters", "gmacs"),
    [
        ("video_focalnet_t", 400, 49_553_272, 63.0),
        ("video_focalnet_s", 400, 88_735_168, 124.33),
        ("video_focalnet_b", 400, 157_389_216, 220.65),
        ("video_focalnet_b", 48, 157_028_416, 220.65),
        ("video_focalnet_n16", 101, 438_947, 0.548),
        ("video_focalnet_n24", 101, 962_099, 1.189),
        ("video_focalnet_n32", 101, 1_687_747, 2.073),
    ],
)
def test_exact_counts(name: str, classes: int, parameters: int, gmacs: float) -> None:
    """Parameters of T, S and B as published; MACs of 8 × 224²."""
    with torch.device("meta"):
        model = create_model(name, classes)
    assert count_parameters(model) == parameters
    assert round(count_macs(model) / 1e9, len(str(gmacs).partition(".")[2])) == gmacs


def test_forms_agree_in_values_and_gradients() -> None:
    outcome = {}
    for form in ("volume", "frames"):
        model = small(form=form, drop_path_rate=0.3, drop_rate=0.2).double().train()
        torch.manual_seed(5)
        logits = model(clips(3).double())
        logits.logsumexp(1).sum().backward()
        outcome[form] = (logits.detach(), {k: p.grad for k, p in model.named_parameters()})
    (a, grads_a), (b, grads_b) = outcome["volume"], outcome["frames"]
    torch.testing.assert_close(a, b, atol=1e-9, rtol=0)
    for key, grad in grads_a.items():
        assert grad is not None, key
        assert grad.abs().sum() > 0, key
        torch.testing.assert_close(grads_b[key], grad, msg=key)


@pytest.mark.parametrize("form", ["volume", "frames"])
@pytest.mark.parametrize("temporal", ["dense", "depthwise"])
def test_fused_and_lowered_copies_agree(form: Any, temporal: str) -> None:
    model = small(form=form, temporal=temporal).eval()
    x = clips()
    frames = x.transpose(1, 2).flatten(0, 1)
    with torch.no_grad():
        expected = model(x)
        assert expected.std() > 0.1
        torch.testing.assert_close(model.fuse()(x), expected)
        graph = lower(model, form=form, num_frames=4)
        torch.testing.assert_close(graph(x if form == "volume" else frames), expected)


@pytest.mark.parametrize(("frames", "size"), [(1, (32, 32)), (5, (33, 63))])
def test_any_size_and_length(frames: int, size: tuple[int, int]) -> None:
    for model in (small().eval(), create_model("video_focalnet_n16", 7).eval()):
        with torch.no_grad():
            assert model(clips(2, frames, *size)).shape == (2, 7)


def test_gradient_checkpointing_changes_nothing_but_memory() -> None:
    results = []
    for enabled in (False, True):
        model = small(drop_path_rate=0.3).train()
        model.set_gradient_checkpointing(enabled)
        torch.manual_seed(3)
        model(clips()).square().sum().backward()
        results.append(model)
    for (key, a), b in zip(results[0].named_parameters(), results[1].parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, msg=key)


def test_checkpoint_folder_gives_the_same_model(tmp_path: Path) -> None:
    model = small(temporal="depthwise").eval()
    model.save_pretrained(tmp_path / "folder")
    loaded = load_checkpoint(tmp_path / "folder")
    assert isinstance(loaded, VideoFocalNet)
    with torch.no_grad():
        assert torch.equal(loaded(clips()), model(clips()))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"depths": [1, 0]}, r"depths\[1\] is out of range: 0"),
        ({"depths": [1] * 5}, "one to four values"),
        ({"kernels": [4]}, r"kernels\[0\] is out of range: 4"),
        ({"temporal": "sparse"}, "temporal must be one of dense, depthwise"),
        ({"channels": 0}, "channels must be a whole number"),
        ({"frame_stride": 2}, "takes no argument 'frame_stride'"),
    ],
)
def test_bad_arguments_are_named(overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        small(**overrides)


@pytest.fixture(scope="module")
def release() -> dict[str, Tensor]:
    return plain_focalnet.random_release(9)


@pytest.mark.parametrize("form", ["volume", "frames"])
def test_public_weights_give_the_plainly_written_logits(
    release: dict[str, Tensor], tmp_path: Path, form: str
) -> None:
    torch.save({"model": release, "epoch": 3}, tmp_path / "focal.pth")
    path = tmp_path / "focal.pth"
    model = load_focalnet(path, "video_focalnet_t", keep_classifier=True, form=form, **SMALL).eval()
    with torch.no_grad():
        expected = torch.stack([plain_focalnet.logits(release, clip) for clip in clips()])
        assert expected.std() > 0.1
        torch.testing.assert_close(model(clips()), expected, atol=1e-4, rtol=1e-4)


def test_without_the_branch_of_time_it_is_a_focalnet_on_every_frame(tmp_path: Path) -> None:
    still = plain_focalnet.random_release(9, still=True)
    save_file(still, tmp_path / "still.safetensors")
    path = tmp_path / "still.safetensors"
    model = load_focalnet(path, "video_focalnet_s", keep_classifier=True, **SMALL).eval()
    with torch.no_grad():
        plain = torch.stack([plain_focalnet.logits(still, clip, time=False) for clip in clips()])
        torch.testing.assert_close(model(clips()), plain, atol=1e-4, rtol=1e-4)
        order = torch.tensor([2, 0, 3, 1])
        torch.testing.assert_close(model(clips()[:, :, order]), plain, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"surprise": torch.zeros(1)}, "'surprise' is not one of"),
        ({"layers.1.blocks.2.norm1.weight": torch.zeros(1)}, "blocks.2.norm1.weight' is not"),
        ({"layers.1.downsample.norm.bias": torch.zeros(1)}, "downsample.norm.bias' is not"),
        ({"layers.0.blocks.0.mlp.fc1.bias": None}, "missing: blocks.0.fc1.bias"),
        ({"head.weight": None}, "missing: classifier.weight"),
        ({"norm.weight": torch.zeros(3)}, "norm.weight"),
    ],
)
def test_entries_that_do_not_fit_are_named(
    release: dict[str, Tensor], tmp_path: Path, change: dict[str, Tensor | None], message: str
) -> None:
    changed = {k: v for k, v in {**release, **change}.items() if v is not None}
    save_file(changed, tmp_path / "changed.safetensors")
    path = tmp_path / "changed.safetensors"
    with pytest.raises(CheckpointError, match=message) as caught:
        load_focalnet(path, "video_focalnet_t", keep_classifier=True, **SMALL)
    assert "changed.safetensors" in str(caught.value)


def test_a_new_head_and_what_is_unknown(release: dict[str, Tensor], tmp_path: Path) -> None:
    save_file(release, tmp_path / "focal.safetensors")
    path = tmp_path / "focal.safetensors"
    model = load_focalnet(path, "video_focalnet_t", num_classes=3, **SMALL)
    assert model.classifier.weight.shape == (3, plain_focalnet.WIDTHS[-1])
    assert torch.equal(model.norm.weight, release["norm.weight"])
    with pytest.raises(UserError, match="no Video-FocalNet named 'focalnet'"):
        load_focalnet(path, "focalnet", num_classes=2)


@pytest.mark.slow
@pytest.mark.parametrize("out", ["small.onnx", "small.xml", "small.pt2"])
def test_exports_compute_the_same(out: str, tmp_path: Path) -> None:
    """The export runs the artefact beside the model and keeps it only when it agrees."""
    target = {"onnx": "onnx", "xml": "openvino", "pt2": "torch"}[out.partition(".")[2]]
    model = create_model("video_focalnet_n16", 7, num_frames=4, crop_size=64).eval()
    done = export_model(model, tmp_path / out, ExportRequest(target))
    assert done.path.exists()
