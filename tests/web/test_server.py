"""Sockets, signals, crashes and slow callers of a whole service."""

import contextlib
import json
import os
import signal
import socket
import threading
import time

import av
import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from running_service import running_service, until
from video_mobile_former.errors import UserError
from video_mobile_former.web.server import bind


def head(path, length, kind="application/octet-stream"):
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {length}\r\n\r\n"
    ).encode()


def answer(sock):
    """All that comes until the other end hangs up."""
    found = b""
    while data := sock.recv(65536):
        found += data
    return found.decode()


def opened(service):
    return socket.create_connection(("127.0.0.1", service.port), timeout=60)


def test_who_sends_too_slowly_gets_an_answer_and_is_hung_up_on(service):
    with opened(service) as sock:
        sock.sendall(head("/v1/predict", 1000) + b"x" * 10)
        found = answer(sock)
    assert found.startswith("HTTP/1.1 408 ")
    assert "no byte came" in found
    assert not service.uploads()


def test_who_announces_too_much_is_told_before_sending_it(service):
    with opened(service) as sock:
        sock.sendall(head("/v1/predict", 10**9))
        begun = time.monotonic()
        found = answer(sock)
    assert found.startswith("HTTP/1.1 413 ")
    assert time.monotonic() - begun < 20  # the rest is not waited for


def test_who_never_ends_a_body_without_a_length_is_stopped(service):
    with opened(service) as sock:
        start = head("/v1/predict", 1).replace(b"Content-Length: 1", b"Transfer-Encoding: chunked")
        sock.sendall(start)
        chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        sock.settimeout(30)
        try:
            for _ in range(200):  # 13 MB of 4 that are allowed
                sock.sendall(chunk)
        except OSError:
            return  # hung up on while sending
        assert "413" in answer(sock).splitlines()[0]


def test_no_connection_without_a_request_stays_open(service):
    with opened(service) as silent, opened(service) as drip:
        drip.sendall(b"GET /health HTTP/1.1\r\nX: ")
        begun = time.monotonic()

        def go_on():
            try:
                while time.monotonic() - begun < 60:
                    drip.sendall(b"x")
                    time.sleep(0.5)
            except OSError:
                return

        threading.Thread(target=go_on, daemon=True).start()
        assert silent.recv(100) == b""
        with contextlib.suppress(ConnectionResetError):
            assert drip.recv(100) == b""
        assert time.monotonic() - begun < 40


@pytest.mark.slow
def test_a_killed_worker_costs_nobody_an_answer(service, videos):
    answers = []

    def ask():
        with service.client() as client:
            for _ in range(4):
                files = {"file": ("a.mp4", videos[0].read_bytes())}
                answers.append(client.post("/v1/predict", files=files, timeout=90).status_code)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in service.workers():
        os.kill(number, signal.SIGKILL)
    for thread in threads:
        thread.join()
    assert len(answers) == 16
    assert set(answers) <= {200, 500, 503}
    assert answers.count(200) >= 12
    with service.client() as client:
        assert "vmf_worker_deaths_total 0.0" not in client.get("/metrics").text


def test_a_port_that_is_taken_is_an_error_of_one_line():
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"127.0.0.1 port {port}"):
            bind("127.0.0.1", port)
    with pytest.raises(UserError, match="cannot listen"):
        bind("no-such-host.invalid", 0)


@pytest.mark.slow
def test_a_stop_lets_what_runs_finish_and_leaves_nothing(parts, videos, tmp_path):
    """SIGTERM while a video is being sent and a job runs: both get their answers."""
    with running_service(tmp_path, str(parts / "small"), "--token", "token-of-test") as service:
        allowed = {"Authorization": "Bearer token-of-test"}
        content = videos[0].read_bytes()
        with service.client(headers=allowed) as client, opened(service) as sock:
            files = {"file": ("a.mp4", content)}
            place = client.post("/v1/events", files=files).headers["location"]
            start = head("/v1/predict", len(content))
            sock.sendall(
                start[:-2] + b"Authorization: Bearer token-of-test\r\n\r\n" + content[:100]
            )
            until(service.uploads)
            service.process.send_signal(signal.SIGTERM)
            until(lambda: client.get("/ready").status_code == 503)
            refused = client.post("/v1/predict", files=files)
            assert refused.status_code == 503
            assert int(refused.headers["retry-after"]) > 0
            job = until(
                lambda: (j := client.get(place).json())["state"] in ("done", "failed") and j, 30
            )
            assert job["state"] == "done"
            assert client.get("/health").status_code == 200
            sock.sendall(content[100:])
            found = sock.recv(65536).decode()
            assert found.startswith("HTTP/1.1 200 ")
        assert service.process.wait(30) == 0
        assert not list(tmp_path.glob("vmf-uploads-*/*"))
        assert any("ending" in line for line in service.said)


@pytest.mark.slow
def test_a_token_a_kill_and_the_next_start(parts, videos, tmp_path):
    token = {"VMF_SERVE_TOKEN": "token-of-test"}
    words = [str(parts / "small"), "--stop_seconds", "1", "--upload_seconds", "600",
             "--idle_seconds", "600", "--host", "0.0.0.0"]  # fmt: skip
    with running_service(tmp_path, *words, env=token) as service:
        service.url = f"http://127.0.0.1:{service.port}"
        with service.client() as client:
            assert client.get("/health").status_code == 200
            refused = client.get("/v1/models")
            assert (refused.status_code, refused.json()["status"]) == (401, 401)
            allowed = {"Authorization": "Bearer token-of-test"}
            assert client.get("/v1/models", headers=allowed).status_code == 200
        address = f"ws://127.0.0.1:{service.port}/v1/stream"
        with (
            pytest.raises(InvalidStatus),
            connect(address, subprotocols=[Subprotocol("bearer.wrong")], proxy=None),
        ):
            pass
        start = '{"type": "start", "format": "rgb", "width": 8, "height": 8}'
        with connect(
            address, subprotocols=[Subprotocol("bearer.token-of-test")], proxy=None
        ) as one:
            assert one.subprotocol == "bearer.token-of-test"
            one.send(start)
            with connect(address, proxy=None) as two:
                two.send('{"token": "token-of-test"}')
                two.send(start)
                two.send('{"type": "end"}')
        with connect(address, proxy=None) as three:
            three.send('{"token": "wrong"}')
            assert json.loads(three.recv(30))["status"] == 401
        with opened(service) as sock:
            begin = head("/v1/predict", 1000)[:-2] + b"Authorization: Bearer token-of-test\r\n\r\n"
            sock.sendall(begin + b"x" * 10)
            (left,) = until(service.uploads)
            service.process.kill()
            service.process.wait()
    assert left.exists()
    with running_service(tmp_path, *words[:3]) as service:
        assert not left.exists()
        # An upload that never ends does not keep the service from ending.
        with opened(service) as sock:
            sock.sendall(head("/v1/predict", 1000) + b"x")
            until(service.uploads)
            assert service.stop(signal.SIGINT) == 0


@pytest.mark.slow
def test_hosts_that_may_be_fetched_from(parts, videos, tmp_path):
    """A video from a second service's own page is fetched by the first; a private host is not."""
    import http.server

    class Files(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(videos[0].read_bytes())

        def log_message(self, format, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files) as files:
        threading.Thread(target=files.serve_forever, daemon=True).start()
        host = f"127.0.0.1:{files.server_address[1]}"
        with (
            running_service(tmp_path, str(parts / "small"), "--url_host", host) as service,
            service.client() as client,
        ):
            found = client.post("/v1/predict", json={"url": f"http://{host}/x.mp4"})
            sent = client.post("/v1/predict", files={"file": ("x.mp4", videos[0].read_bytes())})
            assert found.json()["predictions"] == sent.json()["predictions"]
            refused = client.post("/v1/predict", json={"url": "http://localhost/x.mp4"})
            assert refused.status_code == 403
            with pytest.raises(httpx.TimeoutException):
                client.post("/v1/predict", json={"url": f"http://{host}/x"}, timeout=0.001)
            until(lambda: not service.uploads())
        files.shutdown()


@pytest.mark.slow
def test_tight_limits_hold_and_say_when_to_come_again(parts, videos, tmp_path):
    """Of requests at once, of jobs, of connections and of memory."""
    words = ["--waiting", "2", "--per_caller", "2", "--jobs_waiting", "0", "--connections", "8"]
    words += ["--idle_seconds", "120"]  # who sends slowly stays for as long as the test looks
    with (
        running_service(tmp_path, str(parts / "small"), *words, "--memory_mb", "64") as service,
        service.client() as client,
        contextlib.ExitStack() as open_ones,
    ):
        files = {"file": ("a.mp4", videos[0].read_bytes())}
        assert client.post("/v1/predict", files=files).status_code == 200
        for _ in range(2):  # two that are being received
            sock = open_ones.enter_context(opened(service))
            sock.sendall(head("/v1/predict", 1000) + b"x")
        until(lambda: len(service.uploads()) == 2, 60)
        refused = client.post("/v1/predict", files=files)
        assert refused.status_code in (429, 503)
        assert int(refused.headers["retry-after"]) > 0
        open_ones.pop_all().close()
        until(lambda: client.post("/v1/predict", files=files).status_code == 200, 30)

        # One job is being received; there is room for no other.
        sock = open_ones.enter_context(opened(service))
        sock.sendall(head("/v1/events", 1000) + b"x")
        until(service.uploads, 60)
        refused = client.post("/v1/events", files=files)
        assert refused.status_code == 503
        assert "jobs run or wait" in refused.json()["detail"]
        assert int(refused.headers["retry-after"]) > 0
        open_ones.pop_all().close()

        silent = [open_ones.enter_context(opened(service)) for _ in range(12)]
        until(lambda: sum(map(_is_hung_up_on, silent)) >= 4, 60)
        # The client of this test holds one or two of the eight.
        assert sum(map(_is_hung_up_on, silent)) <= 6
        open_ones.pop_all().close()
        until(lambda: client.get("/health").status_code == 200, 30)

        large = tmp_path / "large.mp4"
        _write_large(large)
        with service.client() as other:
            answer = other.post("/v1/predict", files={"file": ("l.mp4", large.read_bytes())})
        assert answer.status_code == 422, answer.text
        assert "memory" in answer.json()["detail"]
        assert client.post("/v1/predict", files=files).status_code == 200


def _is_hung_up_on(sock):
    sock.setblocking(False)
    try:
        return sock.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def _write_large(path):
    """A small file whose pictures take much memory to decode."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 4096, 2304, "yuv420p"
        stream.options = {"threads": "1", "preset": "ultrafast", "refs": "4"}
        frame = av.VideoFrame(4096, 2304, "yuv420p")
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        for _ in range(8):
            frame.pts = None
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
