"""Web folders in real Chromium: the same logits, files and cameras, damage, small windows."""

import base64
import json
import shutil
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from browser import chromium, opened
from exported import small_model
from small_streams import small_stream
from video_mobile_former.cli.main import main
from video_mobile_former.data.transforms import normalize
from video_mobile_former.errors import CheckpointError, UserError
from video_mobile_former.export.exporting import export_model
from video_mobile_former.export.loading import load_model
from video_mobile_former.export.request import ExportRequest, check_request
from video_mobile_former.export.stream import ExportedStream
from video_mobile_former.export.targets.table import TARGETS
from video_mobile_former.export.targets.to_web import check_pixels
from video_mobile_former.export.targets.web_runtime import web_runtime
from video_mobile_former.inference import Predictor
from video_mobile_former.procedural import ProceduralSpec, ProceduralVideo
from video_mobile_former.procedural.write import write_video
from web_pages import ISOLATED, served


@pytest.fixture(scope="session")
def runtime() -> None:
    """From the cache or the registry; without either there is nothing to run."""
    try:
        web_runtime(webgpu=True)
    except UserError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def clip_site(runtime, artefacts) -> Path:
    return artefacts(target="web", webgpu=True).path


@pytest.fixture(scope="session")
def stream_site(runtime, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("stream") / "site"
    request = ExportRequest("web", streaming=True, dtype="uint8", channels="last")
    return export_model(small_stream(), out, request).path


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    """Two seconds of H.264, wider than high, whose frames differ."""
    folder = tmp_path_factory.mktemp("video")
    spec = ProceduralSpec(families=("motion",), num_frames=16, size=96)
    clip = ProceduralVideo(spec).batch(0, 1).clips[0].transpose(0, 1)
    wide = torch.cat([clip, clip.flip(-1)], dim=-1)
    write_video(folder / "a.mp4", wide, fps=8)
    return folder / "a.mp4"


CLASSIFY = """async ([encoded, options, steps]) => {
  const { load } = await import("./recognise.js");
  const model = await load(options);
  const pixels = Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0));
  const logits = [];
  const stream = steps ? model.open() : null;
  const length = pixels.length / (steps || 1);
  for (let at = 0; at < pixels.length; at += length) {
    const part = pixels.subarray(at, at + length);
    logits.push([...(await (stream ? stream.step(part) : model.classify(part))).logits]);
  }
  model.close();
  return { logits, backend: model.backend };
}"""


def logits_in(seen, frames: np.ndarray, options: dict | None = None, steps: int = 0):
    encoded = base64.b64encode(frames.tobytes()).decode()
    found = seen.page.evaluate(CLASSIFY, [encoded, options or {}, steps])
    return torch.tensor(found["logits"]), found["backend"]


def noise(frames: int, size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (frames, size, size, 3), dtype=np.uint8)


def normal(frames: np.ndarray, model) -> torch.Tensor:
    return normalize(torch.from_numpy(frames).permute(3, 0, 1, 2)[None], model.clip)


@pytest.mark.slow
@pytest.mark.parametrize(("headers", "threads"), [({}, 1), (ISOLATED, 2)])
@torch.no_grad()
def test_a_clip_gets_the_logits_of_the_model(clip_site, headers, threads):
    model, frames = small_model(), noise(4, 64)
    with (
        served(clip_site, headers) as site,
        chromium() as browser,
        opened(browser, site.url) as seen,
    ):
        found, backend = logits_in(seen, frames, {"threads": 2})
        assert (found - model(normal(frames, model))).abs().max() < 1e-4
        assert (backend["name"], backend["threads"]) == ("wasm", threads)
        assert "WebGPU is not used" in backend["note"]
        seen.check()
        assert all("jspi" not in path for path in site.paths)


@pytest.mark.slow
@torch.no_grad()
def test_a_stream_keeps_its_state_over_64_steps(stream_site):
    model = small_stream()
    frames = noise(64 * model.frames_per_update, 32)
    with served(stream_site) as site, chromium() as browser, opened(browser, site.url) as seen:
        found, _ = logits_in(seen, frames, steps=64)
        expected = model.forward_steps(normal(frames, model))[0]
        assert found.shape == expected.shape
        assert (found - expected).abs().max() < 1e-4
        seen.check()


@pytest.mark.slow
@torch.no_grad()
def test_wrong_answers_of_an_adapter_are_not_used(clip_site, tmp_path):
    """The software adapter of Chromium: what it says counts only if the stored answer is right."""
    shutil.copytree(clip_site, tmp_path / "site")
    arguments = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"]
    model, frames = small_model(), noise(4, 64)
    with (
        served(tmp_path / "site") as site,
        chromium(*arguments) as browser,
        opened(browser, site.url) as seen,
    ):
        found, backend = logits_in(seen, frames, {"webgpu": "software"})
        # Whichever it was, the logits are those of the model.
        assert (found - model(normal(frames, model))).abs().max() < 1e-2
        assert backend["name"] == "webgpu" or "WebGPU is not used" in backend["note"]


@pytest.mark.slow
def test_a_file_is_recognised_as_vmf_predict_does(clip_site, video, tmp_path):
    expected = Predictor(small_model()).predict(video, top_k=3)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(video.read_bytes()[:300])
    with (
        served(clip_site) as site,
        chromium() as browser,
        opened(browser, site.url, width=360, height=740) as seen,
    ):
        page = seen.page
        page.wait_for_selector("html[data-ready]")
        assert seen.sideways() == 0
        page.set_input_files("#file", video)
        page.wait_for_selector("#whole-scores li")
        rows = page.locator("#whole-scores li").all_inner_texts()
        assert [row.split("\n")[0] for row in rows] == list(expected.labels)
        shares = [float(row.split("\n")[1].removesuffix(" %")) for row in rows]
        assert shares == pytest.approx([100 * score for score in expected.scores], abs=3)
        assert seen.sideways() == 0
        page.evaluate("document.querySelector('video').play()")
        page.wait_for_selector("#now-scores li")
        assert seen.faults() == []
        seen.check()
        page.set_input_files("#file", broken)
        page.wait_for_selector("#refused:not([hidden])")
        assert "broken.mp4: this browser cannot play" in page.inner_text("#refused")


@pytest.mark.slow
def test_a_camera_is_followed_and_let_go(stream_site, video, tmp_path):
    with av.open(str(video)) as container:
        pictures = [f.reformat(192, 96, "yuv420p").to_ndarray() for f in container.decode(video=0)]
    drawn = tmp_path / "camera.y4m"
    drawn.write_bytes(
        b"YUV4MPEG2 W192 H96 F8:1 Ip A1:1 C420\n"
        + b"".join(b"FRAME\n" + picture.tobytes() for picture in pictures)
    )
    arguments = [
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={drawn}",
    ]
    with (
        served(stream_site) as site,
        chromium(*arguments) as browser,
        opened(browser, site.url, permissions=["camera"]) as seen,
    ):
        page = seen.page
        page.wait_for_selector("html[data-ready]")
        page.click("#use-camera")
        page.wait_for_selector("#now-scores li")
        page.wait_for_function("document.querySelector('#now-hint').innerText.includes('window,')")
        assert page.locator("#now-scores li bdi").all_inner_texts()[0] in (
            small_stream().class_names or ()
        )
        page.click("#stop")
        assert page.evaluate("document.querySelector('video').srcObject") is None
        assert page.is_visible("#drop")
        seen.check()


@pytest.mark.slow
def test_damage_is_said_on_the_page(clip_site, tmp_path):
    folder = tmp_path / "site"
    shutil.copytree(clip_site, folder)
    model = (folder / "model.onnx").read_bytes()
    with served(folder) as site, chromium() as browser:
        for content, message in (
            (model[:-1] + bytes([model[-1] ^ 1]), "model.onnx is damaged"),
            (model[: len(model) // 2], "model.onnx is damaged"),
            (None, "model.onnx cannot be fetched: the server says 404"),
        ):
            (folder / "model.onnx").unlink(missing_ok=True)
            if content is not None:
                (folder / "model.onnx").write_bytes(content)
            with opened(browser, site.url) as seen:
                seen.page.wait_for_selector("#refused:not([hidden])")
                assert message in seen.page.inner_text("#refused")
        (folder / "model.onnx").write_bytes(model)
        # A right model whose stored answer is another one is not trusted either.
        described = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        described["options"]["check"]["logits"][0] += 1
        (folder / "model.json").write_text(json.dumps(described), encoding="utf-8")
        with opened(browser, site.url) as seen:
            seen.page.wait_for_selector("#refused:not([hidden])")
            assert "a stored answer comes out wrong here" in seen.page.inner_text("#refused")


@pytest.mark.slow
@torch.no_grad()
def test_the_folder_is_an_artefact_like_others(clip_site, stream_site, video, tmp_path, capsys):
    model, frames = small_model(), normal(noise(4, 64), small_model())
    loaded = load_model(clip_site)
    assert (loaded(frames) - model(frames)).abs().max() < 1e-4
    assert isinstance(load_model(stream_site), ExportedStream)
    assert main(["predict", str(clip_site), str(video), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["artefact"]["target"] == "web"
    alone = tmp_path / "alone.onnx"
    shutil.copy(clip_site / "model.onnx", alone)
    assert (load_model(alone)(frames) - model(frames)).abs().max() < 1e-4
    assert main(["export", str(clip_site), "--to", "onnx", "--out", str(tmp_path / "b.onnx")]) == 2
    assert "cannot be exported again" in capsys.readouterr().err

    described = json.loads((clip_site / "model.json").read_text(encoding="utf-8"))
    assert described["model_info"] == {"license": "CC0"}, "how it was trained is not for everybody"
    assert set(described["options"]["files"]) == {
        path.relative_to(clip_site).as_posix()
        for path in clip_site.rglob("*")
        if path.is_file() and path.name != "model.json"
    }

    folder = tmp_path / "site"
    shutil.copytree(clip_site, folder)
    (folder / "CNAME").write_text("example.org")
    check_request(ExportRequest("web"), folder)
    (folder / "index.html").write_text("mine")
    with pytest.raises(UserError, match=r"index\.html was changed"):
        check_request(ExportRequest("web"), folder)
    check_request(ExportRequest("web", overwrite=True), folder)
    (folder / "model.onnx").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match="SHA-256 differs"):
        load_model(folder)
    (folder / "model.json").unlink()
    with pytest.raises(CheckpointError, match=r"model\.json is missing"):
        load_model(folder)


@pytest.mark.parametrize(
    ("wishes", "name", "message"),
    [
        ({"target": "web"}, "site.onnx", "is a folder, not a .onnx"),
        ({"target": "onnx", "webgpu": True}, "m.onnx", "--webgpu goes with --to web"),
        ({"target": "onnx", "runtime": "x"}, "m.onnx", "--runtime goes with --to web"),
        ({"target": "web", "batch": "dynamic"}, "site", "needs a fixed batch"),
    ],
)
def test_wrong_requests_are_refused(wishes, name, message, tmp_path):
    with pytest.raises(UserError, match=message):
        export_model(small_model(), tmp_path / name, ExportRequest(**wishes))


def test_files_of_others_are_not_replaced(tmp_path):
    (tmp_path / "index.html").write_text("a page of mine")
    with pytest.raises(UserError, match=r"index\.html is there and was not written by vmf"):
        check_request(ExportRequest("web"), tmp_path)
    assert TARGETS["web"].info_path(tmp_path) == tmp_path / "model.json"


def test_the_stored_clip_has_all_values_and_moves():
    frames = check_pixels(3, 64)
    assert frames.shape == (3, 64, 64, 3)
    # One value worked out by hand, with arithmetic on whole numbers of any size.
    t, y, x, c = 2, 19, 33, 1
    mixed = ((x + 4 * t) >> 3) * 73856093 ^ (y >> 3) * 19349663 ^ (c + 1) * 83492791
    assert frames[t, y, x, c] == (mixed % 2**32 * 2654435761 % 2**32) >> 24
    assert len(np.unique(frames)) > 100
    assert (frames[2, :, :-8] == frames[0, :, 8:]).all()
    assert (frames[1] != frames[0]).any()
