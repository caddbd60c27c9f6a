"""The routes, asked over HTTP; answers are held against the commands that run the model here."""

import base64
import json
import socket
import threading

import av
import httpx
import numpy as np
import pytest
import torch

from running_service import until
from video_mobile_former import load_model
from video_mobile_former.cli.main import main
from video_mobile_former.data.video.from_begin import frames_from_begin
from video_mobile_former.inference.attention import token_attention
from video_mobile_former.inference.stream import StreamPredictor

PROBLEM = {"type", "title", "status", "detail"}


@pytest.fixture(scope="module")
def client(service):
    with service.client() as found:
        yield found


def printed(capsys, *words):
    assert main([*words, "--json", "--device", "cpu"]) in (0, 1)
    return json.loads(capsys.readouterr().out)["results"]


def sent(path):
    return {"file": (path.name, path.read_bytes())}


def problem(answer, status):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found = answer.json()
    assert set(found) == PROBLEM
    assert found["status"] == status
    assert "\n" not in found["detail"]
    return found["detail"]


def finished(client, answer):
    assert answer.status_code == 202, answer.text
    place = answer.headers["location"]
    return until(lambda: (found := client.get(place).json())["state"] not in _OPEN and found, 90)


_OPEN = ("waiting", "running")


@pytest.mark.slow
def test_models_say_what_they_take(client):
    first, second = client.get("/v1/models").json()["models"]
    assert (first["name"], second["name"]) == ("small", "live")
    assert first["classes"] == ["a", "b", "c", "background"]
    assert first["clip"] == {
        "frames": 3,
        "size": 32,
        "seconds": 2.0,
        "crop": pytest.approx(32 / 37),  # of the short side
    }
    assert (first["streaming"], second["streaming"]) == (False, True)
    assert first["attention"]
    assert first["parameters"] > 0 < first["macs_per_view"]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "place"), [("small", "small"), ("live", "stream")])
def test_scores_are_those_of_vmf_predict(client, parts, videos, capsys, name, place):
    wanted = printed(capsys, "predict", str(parts / place), *map(str, videos), "--num_views", "2")
    for path, result in zip(videos, wanted, strict=True):
        answer = client.post(f"/v1/predict?model={name}&num_views=2&top_k=3", files=sent(path))
        found = answer.json()
        assert [one["label"] for one in found["predictions"]] == [
            one["label"] for one in result["predictions"][:3]
        ]
        scores = [one["score"] for one in found["predictions"]]
        assert scores == pytest.approx([o["score"] for o in result["predictions"][:3]], abs=2e-6)
        assert found["cost"]["macs_total"] == 2 * found["cost"]["macs_per_view"]
        assert found["timings"]["total_ms"] >= found["timings"]["decode_ms"] > 0


def test_bytes_alone_are_a_video_too(client, videos):
    kind = {"Content-Type": "application/octet-stream"}
    answer = client.post("/v1/predict", content=videos[0].read_bytes(), headers=kind)
    assert answer.json()["predictions"] == _predictions(client, videos[0])


def _predictions(client, path):
    return client.post("/v1/predict", files=sent(path)).json()["predictions"]


@pytest.mark.slow
def test_callers_at_once_get_their_own_answers(service, client, videos):
    """Clips of several callers go through the model together."""
    alone = [_predictions(client, path) for path in videos]
    found = [[] for _ in videos]

    def ask(number):
        with service.client() as own:
            for _ in range(3):
                found[number].append(_predictions(own, videos[number]))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(videos))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for wanted, answers in zip(alone, found, strict=True):
        for answer in answers:
            assert [one["label"] for one in answer] == [one["label"] for one in wanted]
            scores = [one["score"] for one in answer]
            assert scores == pytest.approx([one["score"] for one in wanted], abs=2e-6)
    batches = {
        line.split()[0]: float(line.split()[1])
        for line in client.get("/metrics").text.splitlines()
        if line.startswith("vmf_batch_clips")
    }
    assert batches['vmf_batch_clips_bucket{le="+Inf"}'] >= 1


@pytest.mark.slow
def test_files_that_cannot_be_read_get_the_sentence_of_the_command(
    client, parts, shared_data, capsys
):
    files = sorted(
        path
        for folder in ("hostile/headers", "hostile/playlists", "odd")
        for path in (shared_data / folder).iterdir()
        if path.is_file() and path.stat().st_size < 4e6 and path.suffix != ".md"
    )
    assert len(files) > 15
    wanted = printed(capsys, "predict", str(parts / "small"), *map(str, files), "--top_k", "1")
    refused = 0
    for path, result in zip(files, wanted, strict=True):
        answer = client.post("/v1/predict?top_k=1", files=sent(path))
        if "error" not in result and answer.status_code == 200:
            found = answer.json()["predictions"][0]
            assert found["score"] == pytest.approx(result["predictions"][0]["score"], abs=2e-6)
            continue
        refused += 1
        detail = problem(answer, 422)
        assert detail.startswith(f"{path.name}: ")
        assert str(path.parent) not in detail
        if "error" in result and "memory" not in result["error"]:
            shared = result["error"].split(";")[0]
            assert shared in detail or "at most" in detail, (detail, shared)
    assert refused >= 4
    assert client.get("/health").status_code == 200


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("model=small2", "did you mean 'small'"),
        ("top_k=0", "top_k"),
        ("num_views=4", "at most 3"),
        ("top_k=many", "top_k"),
    ],
)
def test_wrong_values_are_refused_by_name(client, videos, query, words):
    assert words in problem(client.post(f"/v1/predict?{query}", files=sent(videos[0])), 422)


def test_names_of_callers_reach_no_file_and_no_terminal(client, service):
    name = "../../etc/\x1b[31mpasswd\u202e.mp4"
    answer = client.post("/v1/predict", files={"file": (name, b"no video")})
    detail = problem(answer, 422)
    assert ".." not in detail
    assert "\x1b" not in detail
    assert "\u202e" not in detail
    assert not service.uploads()


def test_what_is_nowhere_is_a_problem_too(client):
    problem(client.get("/v1/nothing"), 404)
    problem(client.get("/v1/predict"), 405)
    problem(client.get("/v1/jobs/nobody-knows"), 404)
    assert "at its address" not in problem(client.delete("/v1/jobs/nobody-knows"), 404)


def test_addresses_are_refused_unless_hosts_are_allowed(client):
    answer = client.post("/v1/predict", json={"url": "http://127.0.0.1:1/x.mp4"})
    assert "fetches nothing" in problem(answer, 403)
    assert "url" in problem(client.post("/v1/predict", json=["x"]), 422)


def test_a_job_finds_what_vmf_find_finds(client, parts, videos, capsys):
    (wanted,) = printed(capsys, "find", str(parts / "small"), str(videos[2]), "--on", "0.25")
    answer = client.post("/v1/events?on=0.25&attention=true", files=sent(videos[2]))
    job = finished(client, answer)
    assert (job["state"], job["progress"], job["problem"]) == ("done", 1.0, None)
    result = job["result"]
    assert result["duration_seconds"] == wanted["duration_seconds"]
    assert [(e["label"], e["start_seconds"], e["end_seconds"]) for e in result["events"]] == [
        (e["label"], e["start_seconds"], e["end_seconds"]) for e in wanted["events"]
    ]
    found = [event["score"] for event in result["events"]]
    assert found == pytest.approx([event["score"] for event in wanted["events"]], abs=2e-6)
    assert found
    scores = np.array([window["scores"] for window in result["windows"]])
    assert scores.shape == (len(result["windows"]), 4)
    assert scores.sum(axis=1) == pytest.approx(1, abs=1e-3)
    mean = dict(zip(result["labels"], scores.mean(axis=0), strict=True))
    for one in result["predictions"]:
        assert one["score"] == pytest.approx(mean[one["label"]], abs=1e-4)
    seen = result["attention"]
    maps = np.frombuffer(base64.b64decode(seen["maps"]), np.uint8)
    maps = maps.reshape(len(seen["times"]), seen["tokens"], seen["rows"], seen["columns"])
    assert (maps.max(axis=(2, 3)) == 255).all()
    assert seen["times"] == sorted(seen["times"])
    assert seen["times"][-1] <= wanted["duration_seconds"]
    assert client.delete(f"/v1/jobs/{job['id']}").status_code == 204
    problem(client.get(f"/v1/jobs/{job['id']}"), 404)


def test_attention_is_that_of_the_model_in_this_process(client, parts, videos):
    """The first window of a job, computed here from the frames that the reader gives."""
    job = finished(client, client.post("/v1/events?attention=true", files=sent(videos[0])))
    seen = job["result"]["attention"]
    predictor = StreamPredictor(load_model(parts / "small"), device="cpu")
    choose = predictor.chooser()
    slots = [slot for pair in frames_from_begin(videos[0]) for slot in choose(*pair)][:3]
    assert [round(slot.seconds, 3) for slot in slots] == seen["times"][:3]
    clip = torch.from_numpy(np.stack([slot.frame for slot in slots])).permute(3, 0, 1, 2)
    weights = token_attention(predictor.scorer.model, clip)
    assert weights.shape[1] == 3
    rows, columns = seen["rows"], seen["columns"]
    pooled = torch.nn.functional.adaptive_avg_pool2d(weights, (rows, columns)).transpose(0, 1)
    wanted = (pooled / pooled.amax(dim=(2, 3), keepdim=True) * 255).round().numpy()
    maps = np.frombuffer(base64.b64decode(seen["maps"]), np.uint8)
    found = maps.reshape(len(seen["times"]), seen["tokens"], rows, columns)[:3].astype(float)
    assert np.abs(found - wanted).max() <= 1


def test_a_job_with_a_bad_video_fails_and_says_why(client, service):
    answer = client.post("/v1/events", files={"file": ("notes.mp4", b"no video at all")})
    job = finished(client, answer)
    assert job["state"] == "failed"
    assert job["problem"]["detail"].startswith("notes.mp4: not a video")
    assert not service.uploads()


def test_settings_of_events_are_checked_before_the_video_is_read(client, videos):
    answer = client.post("/v1/events?on=0.2&off=0.4", files=sent(videos[0]))
    assert "off" in problem(answer, 422)


def test_the_description_is_whole(client):
    found = client.get("/openapi.json").json()
    assert {"/v1/models", "/v1/predict", "/v1/events", "/v1/jobs/{number}"} <= set(found["paths"])
    schemas = found["components"]["schemas"]
    references = json.dumps(found).split("#/components/schemas/")[1:]
    assert {text.partition('"')[0] for text in references} <= set(schemas)
    assert schemas["Prediction"]["example"]["predictions"]
    body = found["paths"]["/v1/predict"]["post"]["requestBody"]["content"]
    assert {"multipart/form-data", "application/json", "application/octet-stream"} <= set(body)


def test_limits_on_seconds_frames_and_pixels(client, tmp_path):
    def write(name, width, height, frames, rate):
        path = tmp_path / name
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=rate)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.options = {"threads": "1", "preset": "ultrafast"}
            picture = av.VideoFrame(width, height, "yuv420p")
            for plane in picture.planes:
                plane.update(bytes(plane.buffer_size))
            for _ in range(frames):
                picture.pts = None
                container.mux(stream.encode(picture))
            container.mux(stream.encode(None))
        return path

    long = write("long.mp4", 32, 32, 40, 1)
    many = write("many.mp4", 32, 32, 2100, 120)
    wide = write("wide.mp4", 1280, 960, 2, 10)
    for path, words in ((long, "lasts 39 s"), (many, "2100 frames"), (wide, "1280×960")):
        assert words in problem(client.post("/v1/predict", files=sent(path)), 422)
        job = finished(client, client.post("/v1/events", files=sent(path)))
        assert words in job["problem"]["detail"]


def test_callers_who_hang_up_leave_nothing_behind(service, videos):
    body = videos[0].read_bytes()
    address = httpx.URL(service.url)
    request = httpx.Request("POST", f"{service.url}/v1/predict", files={"file": ("x.mp4", body)})
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    whole = f"POST /v1/predict HTTP/1.1\r\n{head}\r\n".encode() + request.read()
    for share in (0.01, 0.5, 1.0, 1.0):  # of what they would send
        with socket.create_connection((address.host, address.port or 80)) as caller:
            caller.sendall(whole[: round(share * len(whole))])
    until(lambda: not service.uploads())
    with service.client() as client:
        assert client.post("/v1/predict", files=sent(videos[0])).status_code == 200
        assert "vmf_places_in_use 0.0" in client.get("/metrics").text
