"""Videos by their address, from servers of this machine that behave and others that do not."""

import contextlib
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from running_service import until
from video_mobile_former.errors import UserError
from video_mobile_former.web import fetching
from video_mobile_former.web.fetching import Fetcher, Host, read_hosts
from video_mobile_former.web.folder import UploadFolder
from video_mobile_former.web.problems import ProblemError
from video_mobile_former.web.receiving import Timing

CONTENT = bytes(range(256)) * 40


class _Server(BaseHTTPRequestHandler):
    seen: list[str] = []  # noqa: RUF012 - of the test that runs

    def do_GET(self):
        self.seen.append(self.headers["Host"])
        kind, _, rest = self.path.lstrip("/").partition("/")
        if kind == "go":
            self.send_response(302)
            self.send_header("Location", rest.replace("!", "/"))
            self.end_headers()
        elif kind == "missing":
            self.send_error(404)
        elif kind == "drip":
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):
                while True:
                    self.wfile.write(b"x")
                    time.sleep(0.05)
        else:
            self.send_response(200)
            if kind != "unannounced":
                self.send_header("Content-Length", str(len(CONTENT) * (1 + (kind == "short"))))
            self.end_headers()
            self.wfile.write(CONTENT)

    def log_message(self, format, *args):
        pass


@pytest.fixture
def port():
    _Server.seen.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), _Server) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def fetched(tmp_path, url, *hosts, max_bytes=10**6, timing=None, stop=None):
    fetcher = Fetcher(read_hosts(hosts), max_bytes)
    with UploadFolder(tmp_path, 1e9) as folder, folder.upload() as upload:
        name = fetcher.fetch(url, timing or Timing(5, 10), upload, stop or threading.Event())
        return name, upload.path.read_bytes()


def refused(tmp_path, url, *hosts, **options):
    with pytest.raises(ProblemError) as found:
        fetched(tmp_path, url, *hosts, **options)
    return found.value


def test_a_named_address_is_fetched(tmp_path, port):
    host = f"127.0.0.1:{port}"
    assert fetched(tmp_path, f"http://{host}/clip.mp4?key=secret", host) == (
        f"http://{host}/clip.mp4",
        CONTENT,
    )
    assert fetched(tmp_path, f"http://{host}/unannounced", host)[1] == CONTENT
    assert fetched(tmp_path, f"http://{host}/go/!x", host)[1] == CONTENT


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "http://user:word@127.0.0.1/x",
        "http://127.0.0.1@elsewhere.test/x",
        "http://127.0.0.1:1/x",
        "http://127.0.0.1.evil.test/x",
        "http://elsewhere.test/x",
        "https://127.0.0.1/x",
        "http://127.0.0.1\r\nX: y/",
        "http://127.0.0.1/ x",
        "http://[::1",
        "//127.0.0.1/x",
        "http://" + "a" * 3000,
        "",
    ],
)
def test_addresses_that_were_not_allowed(tmp_path, url, monkeypatch):
    monkeypatch.setattr(socket, "create_connection", lambda *a, **k: pytest.fail("asked"))
    assert refused(tmp_path, url, "127.0.0.1:80").status == 403


def test_nothing_is_fetched_where_nothing_is_allowed(tmp_path):
    assert "fetches nothing" in refused(tmp_path, "http://127.0.0.1/x").detail


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "192.168.0.9", "169.254.169.254", "100.64.0.1", "0.0.0.0", "::1",
     "fd00::7", "fe80::1%eth0", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::", "224.0.0.1"],
)  # fmt: skip
def test_names_that_stand_for_private_addresses(tmp_path, address, monkeypatch):
    """The operator allowed a name; who owns the name may still not point into the house."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: found)
    monkeypatch.setattr(socket, "create_connection", lambda *a, **k: pytest.fail("asked"))
    problem = refused(tmp_path, "http://media.test/x", "media.test")
    assert (problem.status, "private address" in problem.detail) == (403, True)


def test_what_a_name_stands_for_is_looked_up_once(tmp_path, port, monkeypatch):
    """DNS rebinding between the check and the connection: the address that was checked is asked."""
    answers = [("127.0.0.1", port), ("10.0.0.1", port)]
    real = socket.getaddrinfo

    def look_up(host, *rest, **more):
        if host != "media.test":
            return real(host, *rest, **more)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", answers.pop(0))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    hosts = (f"media.test:{port}", "127.0.0.1")
    assert fetched(tmp_path, f"http://media.test:{port}/x", *hosts)[1] == CONTENT
    assert _Server.seen == [f"media.test:{port}"]
    assert len(answers) == 1


def test_redirects_stay_with_their_host(tmp_path, port):
    host = f"127.0.0.1:{port}"
    problem = refused(
        tmp_path, f"http://{host}/go/http:!!localhost:{port}!x", host, f"localhost:{port}"
    )
    assert (problem.status, "another host" in problem.detail) == (403, True)
    assert refused(tmp_path, f"http://{host}/go/http:!!10.0.0.1!x", host).status == 403
    assert len(_Server.seen) == 2
    loop = f"http://{host}/go/" + "!go!" * 30
    assert refused(tmp_path, loop, host).status in (403, 413, 502)


def test_answers_that_are_none(tmp_path, port):
    host = f"127.0.0.1:{port}"
    assert "404" in refused(tmp_path, f"http://{host}/missing", host).detail
    assert "before the end" in refused(tmp_path, f"http://{host}/short", host).detail
    for path in ("clip", "unannounced"):
        assert refused(tmp_path, f"http://{host}/{path}", host, max_bytes=100).status == 413
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        gone = f"127.0.0.1:{closed.getsockname()[1]}"
    assert refused(tmp_path, f"http://{gone}/x", gone).status == 502


def test_a_server_that_drips_is_given_up(tmp_path, port):
    host = f"127.0.0.1:{port}"
    begun = time.monotonic()
    problem = refused(tmp_path, f"http://{host}/drip", host, timing=Timing(5, 0.5))
    assert problem.status == 504
    assert time.monotonic() - begun < 5
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    assert refused(tmp_path, f"http://{host}/drip", host, stop=stop).status == 502
    until(lambda: not any(t.name == "vmf-fetch" for t in threading.enumerate()))


def test_hosts_as_typed():
    assert read_hosts(["Media.lan", "10.0.0.7:8080", "[fd00::7]:81"]) == (
        Host("media.lan", None),
        Host("10.0.0.7", 8080),
        Host("fd00::7", 81),
    )
    for wrong in ("http://x", "x/y", "*.x", "a@b", "x:99999", ""):
        with pytest.raises(UserError, match="url_host"):
            read_hosts([wrong])
    assert fetching._is_public("93.184.216.34")
    assert fetching._is_public("2606:2800:220:1::1")
