"""Transformers' own classes and pipeline give what this package gives, from one folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from procedural_files import write_clips
from video_mobile_former import Predictor, create_model, load_model
from video_mobile_former.data.index.clip import Clip
from video_mobile_former.data.index.index import ClipIndex
from video_mobile_former.data.loading.dataset import ClipDataset
from video_mobile_former.data.transforms import normalize
from video_mobile_former.errors import CheckpointError, UserError, VideoError
from video_mobile_former.models import VideoMobileFormer, VideoModel
from video_mobile_former.models.registry import ARCHITECTURES

transformers = pytest.importorskip("transformers")
from video_mobile_former.integrations.transformers import (  # noqa: E402 - after the skip
    VideoMobileFormerForVideoClassification,
    VideoMobileFormerVideoProcessor,
    register,
    save_transformers,
)

NAMES = ("fall", "jump", "sit", "walk")


def network(name: str = "vmf_500m", *, multi_label: bool = False, **options: Any) -> VideoModel:
    torch.manual_seed(0)
    model = create_model(name, len(NAMES), num_frames=4, crop_size=64, **options).eval()
    nn.init.normal_(model.classifier.weight, std=0.05)  # scores that differ
    model.class_names, model.multi_label = NAMES, multi_label
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    register()
    out = tmp_path_factory.mktemp("hub") / "model"
    save_transformers(network(), out)
    return out


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    csv = write_clips(tmp_path_factory.mktemp("clips"), {"train": 8}, size=72, num_frames=9)
    return sorted(csv.parent.rglob("*.mp4"))


def scores(rows: list[dict[str, Any]]) -> dict[str, float]:
    return {row["label"]: row["score"] for row in rows}


def predicted(source: Any, model: Any, **options: Any) -> dict[str, float]:
    result = Predictor(model, **options).predict(source)
    return dict(zip(result.labels, result.scores, strict=True))


def test_the_pipeline_gives_the_scores_of_the_predictor(folder: Path, videos: list[Path]) -> None:
    pipe = transformers.pipeline("video-classification", str(folder))
    model = load_model(folder)
    found = [scores(pipe(str(path), top_k=4)) for path in videos[:3]]
    for path, row in zip(videos, found, strict=False):
        assert row == pytest.approx(predicted(path, model), abs=1e-5)
    assert max(abs(found[0][name] - found[2][name]) for name in NAMES) > 1e-3


@pytest.mark.slow
def test_every_sample_file_gives_the_same(folder: Path, shared_data: Path) -> None:
    pipe = transformers.pipeline("video-classification", str(folder))
    model, count = load_model(folder), 0
    for path in sorted((shared_data / "samples").iterdir()):
        try:
            expected = predicted(path, model)
        except VideoError:
            with pytest.raises(VideoError):
                pipe(str(path))
            continue
        assert scores(pipe(str(path), top_k=4)) == pytest.approx(expected, abs=1e-5), path.name
        count += 1
    assert count >= 14


@pytest.mark.slow
def test_where_the_package_is_not_installed(
    folder: Path, videos: list[Path], tmp_path: Path
) -> None:
    program = (
        "import json, sys\n"
        "sys.modules['video_mobile_former'] = None\n"
        "from transformers import pipeline\n"
        "pipe = pipeline('video-classification', sys.argv[1], trust_remote_code=True)\n"
        "print(json.dumps(pipe(sys.argv[2], top_k=4)))\n"
    )
    environment = {**os.environ, "HF_MODULES_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", program, str(folder), str(videos[0])]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found = scores(json.loads(done.stdout.splitlines()[-1]))
    assert found == pytest.approx(predicted(videos[0], load_model(folder)), abs=1e-5)


@pytest.mark.parametrize("sampling", ["uniform", "dense"])
def test_pixels_are_those_of_evaluation(sampling: Any, videos: list[Path]) -> None:
    spec = network().clip.sampled(sampling)
    processor = VideoMobileFormerVideoProcessor(clip=spec.to_dict(), num_views=2, num_crops=3)
    index = ClipIndex((Clip(str(videos[0]), (0,)),), ("a",), "one file")
    item = ClipDataset(index, spec, train=False, num_views=2, num_crops=3)[0]
    assert isinstance(item, dict)
    expected = normalize(item["clip"], spec).transpose(1, 2)
    found = processor(str(videos[0]))["pixel_values_videos"]
    assert found.shape == (1, 6, 4, 3, 64, 64)
    torch.testing.assert_close(found[0], expected)


@pytest.mark.slow
def test_views_are_averaged_and_arrays_taken(folder: Path) -> None:
    model = VideoMobileFormerForVideoClassification.from_pretrained(folder)
    processor = transformers.models.auto.video_processing_auto.AutoVideoProcessor.from_pretrained(
        folder
    )
    frames = np.random.default_rng(0).integers(0, 256, (9, 70, 80, 3), dtype=np.uint8)
    inputs = processor([frames, frames[::-1]], num_views=2)
    with torch.no_grad():
        logits = model(**inputs).logits
    expected = predicted(frames, load_model(folder), num_views=2, average="logits")
    found = dict(zip(NAMES, logits.softmax(1)[0].tolist(), strict=True))
    assert found == pytest.approx(expected, abs=1e-5)
    assert processor(frames)["pixel_values_videos"].shape == (1, 4, 3, 64, 64)


@pytest.mark.slow
def test_multi_label_scores_and_loss(tmp_path: Path, videos: list[Path]) -> None:
    register()
    save_transformers(network(multi_label=True), tmp_path / "m", code=False)
    assert not list((tmp_path / "m").glob("*.py"))
    pipe = transformers.pipeline("video-classification", str(tmp_path / "m"))
    expected = predicted(videos[0], load_model(tmp_path / "m"))
    assert scores(pipe(str(videos[0]), top_k=4)) == pytest.approx(expected, abs=1e-5)
    x, y = torch.randn(2, 4, 3, 64, 64), torch.tensor([[1, 0, 0, 1], [0, 0, 1, 0]])
    out = pipe.model(pixel_values_videos=x, labels=y)
    expected_loss = nn.BCEWithLogitsLoss()(out.logits, y.float())
    torch.testing.assert_close(out.loss, expected_loss)


@pytest.mark.slow
def test_baselines_are_models_too(tmp_path: Path) -> None:
    model = network("movinet_a0")
    save_transformers(model, tmp_path / "m")
    twin = VideoMobileFormerForVideoClassification.from_pretrained(tmp_path / "m")
    x = torch.randn(1, 3, 4, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(twin(x.transpose(1, 2)).logits, model(x))


@pytest.mark.slow
def test_a_head_for_other_classes(folder: Path) -> None:
    model = VideoMobileFormerForVideoClassification.from_pretrained(
        folder,
        id2label={0: "a", 1: "b"},
        label2id={"a": 0, "b": 1},
        ignore_mismatched_sizes=True,
    )
    old = load_model(folder)
    assert model.network.classifier.weight.shape[0] == 2
    assert 0.001 < model.network.classifier.weight.std() < 0.05
    assert not model.network.classifier.bias.any()
    state = old.state_dict()
    for name, value in model.network.state_dict().items():
        if not name.startswith("classifier"):
            assert torch.equal(value, state[name]), name


class Clips(torch.utils.data.Dataset[dict[str, Tensor]]):
    """Dark and bright clips."""

    def __len__(self) -> int:
        return 16

    def __getitem__(self, i: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(i)
        noise = torch.randn(4, 3, 64, 64, generator=generator)
        return {"pixel_values_videos": noise + 4 * (i % 2), "labels": torch.tensor(i % 2)}


@pytest.mark.slow
def test_trainer_fine_tunes_and_writes_a_checkpoint_of_ours(folder: Path, tmp_path: Path) -> None:
    model = VideoMobileFormerForVideoClassification.from_pretrained(
        folder,
        id2label={0: "dark", 1: "bright"},
        label2id={"dark": 0, "bright": 1},
        ignore_mismatched_sizes=True,
    )
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path / "out"),
        num_train_epochs=4,
        per_device_train_batch_size=4,
        learning_rate=1e-3,
        report_to=[],
        use_cpu=True,
        save_strategy="no",
        seed=0,
    )
    trainer = transformers.Trainer(model=model, args=arguments, train_dataset=Clips())
    first = trainer.train().metrics["train_loss"]
    assert first < 0.6
    trainer.save_model(str(tmp_path / "tuned"))
    ours = load_model(tmp_path / "tuned")
    assert ours.class_names == ("dark", "bright")
    x = torch.stack([Clips()[i]["pixel_values_videos"] for i in range(4)])
    model.eval()
    with torch.no_grad():
        torch.testing.assert_close(ours(x.transpose(1, 2)), model(x).logits, atol=1e-4, rtol=1e-4)


def test_bad_input_is_named(folder: Path, tmp_path: Path) -> None:
    processor = VideoMobileFormerVideoProcessor(clip=network().clip.to_dict())
    with pytest.raises(VideoError, match="nothing"):
        processor(str(tmp_path / "nothing.mp4"))
    with pytest.raises(UserError, match="num_frames"):
        processor(np.zeros((3, 8, 8, 3), np.uint8), num_frames=8)
    with pytest.raises(UserError, match="do_rsize"):
        processor(np.zeros((3, 8, 8, 3), np.uint8), do_rsize=True)
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match="not written by vmf"):
        save_transformers(network(), tmp_path)
    config = transformers.AutoConfig.from_pretrained(folder)
    config.architecture = {"class": "Evil", "arguments": {}}
    with pytest.raises(CheckpointError, match="Evil"):
        VideoMobileFormerForVideoClassification(config)


class Mine(VideoMobileFormer):
    """A network of a module of one's own."""


@pytest.mark.slow
def test_a_network_of_elsewhere_has_no_code_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ARCHITECTURES, "Mine", Mine)
    model = Mine(**{**network().architecture, "num_classes": 4})
    with pytest.raises(CheckpointError, match="code=False"):
        save_transformers(model, tmp_path / "m")
    save_transformers(model, tmp_path / "m", code=False)
    assert type(load_model(tmp_path / "m")) is Mine
