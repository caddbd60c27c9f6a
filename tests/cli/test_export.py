"""``vmf export``, and artefacts given to the other commands."""

import json

import pytest
from torch import nn

from video_mobile_former.cli.main import main
from video_mobile_former.export import exporting
from video_mobile_former.procedural import ProceduralSpec, ProceduralVideo
from video_mobile_former.procedural.write import write_video


@pytest.fixture
def clips(tmp_path):
    """Two clips in class folders of the model's names."""
    spec = ProceduralSpec(families=("motion",), num_frames=8, size=64)
    drawn = ProceduralVideo(spec).batch(0, 2).clips.transpose(1, 2)
    for clip, name in zip(drawn, ("push", "pull"), strict=True):
        path = tmp_path / "clips" / name / "a.mp4"
        path.parent.mkdir(parents=True)
        write_video(path, clip, fps=8)
    return tmp_path / "clips"


@pytest.mark.slow
def test_a_checkpoint_becomes_an_artefact_that_predicts(checkpoint, clips, tmp_path, capsys):
    out = tmp_path / "m.pt2"
    words = ["export", str(checkpoint), "--to", "torch", "--out", str(out), "--data", str(clips)]
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["parity"]["passed"]
    assert told["parity"]["data"] == str(clips)
    assert [clip["name"] for clip in told["parity"]["clips"]][4:] == ["pull/a.mp4", "push/a.mp4"]
    assert told["num_bytes"] == out.stat().st_size
    beside = json.loads((tmp_path / "m.pt2.json").read_text(encoding="utf-8"))
    assert told | beside == told

    found = []
    for model in (checkpoint, out):
        assert main(["predict", str(model), str(clips / "push" / "a.mp4"), "--json"]) == 0
        found.append(json.loads(capsys.readouterr().out))
    eager, exported = (value["results"][0]["predictions"] for value in found)
    assert [row["label"] for row in eager] == [row["label"] for row in exported]
    assert eager[0]["score"] == pytest.approx(exported[0]["score"], abs=1e-5)
    assert found[0]["artefact"] is None
    assert found[1]["artefact"]["runtime"] == "PyTorch (torch.export)"


@pytest.mark.slow
def test_an_artefact_is_evaluated_and_the_report_says_so(artefacts, model, clips, tmp_path, capsys):
    written = artefacts(target="onnx")
    out = tmp_path / "report"
    words = ["evaluate", str(written.path), "--data", str(clips), "--num_workers", "0"]
    assert main([*words, "--out", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["method"]["artefact"] == {
        "target": "onnx",
        "runtime": "ONNX Runtime",
        "form": "frames",
        "precision": "fp32",
        "sha256": written.info.sha256,
    }
    assert told["cost"]["parameters"] == sum(p.numel() for p in model.parameters())
    assert told["cost"]["macs_per_view"] == written.info.macs_per_view
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "ONNX Runtime, graph form frames" in page
    assert "fp32 artefact" in page
    assert str(written.info.sha256) in page


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--to", "onx", "--out", "m.onnx"], "did you mean 'onnx'"),
        (["--to", "onnx", "--out", "m.bin"], "ends in .onnx"),
        (["--to", "torch", "--out", "m.pt2", "--batch", "many"], "--batch: must be a whole number"),
        (["--to", "torch", "--out", "m.pt2", "--size", "8"], "at least 32 pixels"),
        (
            ["--to", "torch", "--out", "m.pt2", "--num_frames", "-1"],
            "argument --num_frames/--frames: must be 1 to 1024, not",
        ),
        (["--to", "onnx", "--out", "m.onnx", "--precision", "int8"], "--calibrate DATA"),
        (["--to", "onnx", "--out", "m.onnx", "--calibrate", "x"], "goes with --precision int8"),
        (["--to", "onnx", "--out", "m.onnx", "--data", "absent"], "absent"),
        (["--to", "onnx"], "--out"),
    ],
)
def test_wrong_input_is_one_line(words, message, checkpoint, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    assert main(["export", str(checkpoint), *words]) == 2
    said = capsys.readouterr()
    assert message in said.err.splitlines()[-1]
    assert said.err.splitlines()[-1].startswith("vmf: error: ")
    assert said.out == ""
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.slow
def test_an_artefact_is_not_exported_again(artefacts, tmp_path, capsys):
    path = artefacts(target="onnx").path
    assert main(["export", str(path), "--to", "torch", "--out", str(tmp_path / "m.pt2")]) == 2
    assert "an artefact cannot be exported again" in capsys.readouterr().err


@pytest.mark.slow
def test_a_model_that_differs_says_on_which_clip(checkpoint, tmp_path, capsys, monkeypatch):
    class Colours(nn.Module):
        def forward(self, clip):
            return clip.mean(dim=(2, 3, 4))

    monkeypatch.setattr(exporting, "lower", lambda *_, **__: Colours())
    words = ["--to", "torch", "--out", str(tmp_path / "m.pt2"), "--form", "volume"]
    assert main(["export", str(checkpoint), *words]) == 2
    assert "m.pt2 is not written: the artefact differs" in capsys.readouterr().err
    assert not (tmp_path / "m.pt2").exists()


@pytest.mark.slow
@pytest.mark.parametrize("option", [["--device", "meta"], ["--precision", "bf16"]])
def test_options_that_an_artefact_cannot_follow(option, artefacts, clips, capsys):
    path = artefacts(target="onnx").path
    assert main(["predict", str(path), str(clips), *option]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
