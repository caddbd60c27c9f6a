"""Live streams over a WebSocket, to a service in a process of its own."""

import json
import struct
import threading
import time
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from running_service import until
from video_mobile_former import load_model
from video_mobile_former.data.video.from_begin import frames_from_begin
from video_mobile_former.inference.stream import StreamPredictor


def opened(service, query="", **options):
    return connect(
        f"ws://127.0.0.1:{service.port}/v1/stream{query}", proxy=None, open_timeout=60, **options
    )


def rest(socket, seconds=60):
    """All messages to the end, and the code it was closed with."""
    found = []
    try:
        while True:
            found.append(json.loads(socket.recv(seconds)))
    except ConnectionClosed as closed:
        return found, closed.rcvd and closed.rcvd.code


def frame(seconds, picture):
    return struct.pack("<d", seconds) + bytes(picture)


def jpeg(picture):
    height, width = picture.shape[:2]
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuvj420p"
    encoder.time_base = Fraction(1, 25)
    shown = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuvj420p")
    shown.pts = 0
    return b"".join(bytes(p) for p in [*encoder.encode(shown), *encoder.encode(None)])


@pytest.fixture(scope="module")
def frames(videos):
    """Times and whole pictures of a video."""
    given: Any = frames_from_begin(videos[1])
    return [(seconds, picture.rgb(64).copy()) for seconds, picture in given]


def send_all(service, frames, start, encode, query=""):
    with opened(service, query) as socket:
        socket.send(json.dumps(start))
        for seconds, picture in frames:
            socket.send(frame(seconds, encode(picture)))
            time.sleep(0.02)  # below the rate that is allowed, so that none is skipped
        socket.send(json.dumps({"type": "end"}))
        return rest(socket)


@pytest.mark.parametrize(("name", "place"), [("small", "small"), ("live", "stream")])
def test_raw_frames_get_the_scores_of_a_stream_in_this_process(service, parts, frames, name, place):
    height, width = frames[0][1].shape[:2]
    start = {"type": "start", "format": "rgb", "width": width, "height": height, "on": 0.2}
    found, code = send_all(service, frames, start, np.ndarray.tobytes, f"?model={name}")
    assert code == 1000
    lags = [message for message in found if message["type"] == "lag"]
    assert lags
    assert all(message["lag_seconds"] >= 0 for message in lags)
    predictor = StreamPredictor(load_model(parts / place), device="cpu")
    wanted = {round(s.end_seconds, 3): s for s in predictor.predict(iter(frames))}
    scores = [message for message in found if message["type"] == "scores"]
    assert scores
    if lags[-1]["frames_skipped"] or lags[-1]["windows_skipped"]:
        pytest.skip("this machine was too busy to see every frame")
    for message in scores[:-1]:
        ours = wanted[message["end_seconds"]]
        best = message["predictions"][0]
        assert best["score"] == pytest.approx(float(ours.probabilities.max()), abs=2e-4)
        assert best["label"] == predictor.label(int(ours.probabilities.argmax()))
    states = [message["state"] for message in found if message["type"] == "event"]
    assert states.count("start") == states.count("end") > 0


def test_jpeg_frames_are_seen_as_raw_ones_are(service, frames):
    start = {"type": "start", "format": "jpeg"}
    found, code = send_all(service, frames[:30], start, jpeg)
    assert code == 1000
    assert [message for message in found if message["type"] == "scores"]


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([b"bytes first"], "first message"),
        (["no json"], "JSON"),
        (['{"type": "begin"}'], "start"),
        (['{"type": "start", "format": "gif"}'], "jpeg, rgb"),
        (['{"type": "start", "size": 3}'], "size"),
        (['{"type": "start", "on": 0.2, "off": 0.9}'], "off"),
        (['{"type": "start", "format": "rgb", "width": 16000, "height": 16000}'], "too large"),
        (['{"type": "start"}', b"short"], "8 bytes"),
        (['{"type": "start"}', frame(float("nan"), b"x")], "number"),
        (['{"type": "start"}', frame(0, b"no picture")], "not a JPEG"),
        (['{"type": "start"}', frame(0, b"\xff\xd8\xff" + b"x" * 500)], "damaged"),
        (['{"type": "start", "format": "rgb", "width": 8, "height": 8}', frame(0, b"xxx")], "192"),
        (['{"type": "start"}', '{"type": "stop"}'], "end"),
        (['{"type": "start"}', "x" * 5000], "4096"),
    ],
)
def test_what_is_wrong_is_told_before_the_end(service, messages, words):
    with opened(service) as socket:
        for message in messages:
            socket.send(message)
        found, code = rest(socket)
    assert code == 1008
    (problem,) = [message for message in found if message["type"] == "problem"]
    assert words in problem["detail"]
    assert problem["status"] == 422


@pytest.mark.slow
def test_pictures_that_would_be_huge(service):
    """A small JPEG of many pixels, and messages that are too long."""
    with opened(service) as socket:
        socket.send('{"type": "start"}')
        socket.send(frame(0, jpeg(np.zeros((2400, 2400, 3), np.uint8))))
        found, _ = rest(socket)
    assert "too large" in found[-1]["detail"]
    with opened(service) as socket:
        socket.send('{"type": "start"}')
        try:
            socket.send(b"x" * 7_000_000)
        except ConnectionClosed:
            pass
        else:
            assert rest(socket)[1] == 1009


def test_who_sends_nothing_is_asked_to_leave(service):
    with opened(service) as socket:
        found, code = rest(socket)
    assert (found[-1]["status"], code) == (408, 1008)
    with opened(service) as socket:
        socket.send('{"type": "start"}')
        found, code = rest(socket)
    assert (found[-1]["status"], code) == (408, 1008)


def test_no_more_streams_than_allowed_and_places_come_back(service):
    start = '{"type": "start", "format": "rgb", "width": 8, "height": 8}'
    over = threading.Event()

    def go_on(socket):
        number = 0
        while not over.wait(0.1):
            socket.send(frame(number / 10, bytes(192)))
            number += 1

    with service.client() as client, opened(service) as one, opened(service) as two:
        threads = [threading.Thread(target=go_on, args=(socket,)) for socket in (one, two)]
        for socket, thread in zip((one, two), threads, strict=True):
            socket.send(start)
            thread.start()
        until(lambda: "vmf_streams 2.0" in client.get("/metrics").text, 60)
        with opened(service) as three:
            three.send(start)
            found, code = rest(three)
        over.set()
        for thread in threads:
            thread.join()
    assert (found[-1]["status"], code) == (503, 1001)
    with service.client() as client:
        until(lambda: "vmf_streams 0.0" in client.get("/metrics").text, 60)
    with opened(service) as again:
        again.send(start)
        again.send(frame(0, bytes(192)))
        again.send('{"type": "end"}')
        assert rest(again)[1] == 1000


def test_more_frames_than_allowed_are_passed_over(service):
    start = '{"type": "start", "format": "rgb", "width": 8, "height": 8}'
    with opened(service, "?model=live") as socket:
        socket.send(start)
        for number in range(400):
            socket.send(frame(number / 30, bytes(192)))
        socket.send('{"type": "end"}')
        _, code = rest(socket)
    assert code == 1000
    with service.client() as client:
        text = client.get("/metrics").text
    (skipped,) = [
        float(line.split()[1])
        for line in text.splitlines()
        if line.startswith('vmf_stream_frames_total{fate="skipped"}')
    ]
    assert skipped > 0


def test_pages_of_other_sites_and_unknown_models_are_refused(service):
    for options in ({"origin": "http://evil.test"}, {}):
        with pytest.raises(InvalidStatus) as refused, opened(service, "?model=x", **options):
            pass
        assert refused.value.response.status_code == (403 if options else 422)
        assert json.loads(refused.value.response.body)["detail"]
