"""Bodies of requests, honest and otherwise, without a service."""

import asyncio
from types import SimpleNamespace

import httpx
import pytest
from starlette.requests import Request

from video_mobile_former.errors import UserError
from video_mobile_former.web.failures import GoneError
from video_mobile_former.web.folder import UploadFolder
from video_mobile_former.web.problems import ProblemError
from video_mobile_former.web.receiving import Timing, json_of, receive_file

USUAL = Timing(idle_seconds=5, seconds=10)


@pytest.fixture
def folder(tmp_path):
    with UploadFolder(tmp_path, 1e6) as found:
        yield found


def request(kind, chunks, *, last="end"):
    """A request whose body comes in chunks and then ends, stops coming, or is given up."""
    waiting = list(chunks)

    async def receive():
        if waiting:
            chunk = waiting.pop(0)
            more = bool(waiting) or last != "end"
            return {"type": "http.request", "body": chunk, "more_body": more}
        if last == "hang":
            await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    headers = [(b"content-type", kind.encode())]
    return Request({"type": "http", "method": "POST", "headers": headers}, receive)


def received(folder, kind, chunks, *, timing=USUAL, last="end"):
    """Name, content and the ending of the file."""
    with folder.upload() as upload:
        name = asyncio.run(receive_file(request(kind, chunks, last=last), timing, upload))
        return SimpleNamespace(
            name=name, content=upload.path.read_bytes(), suffix=upload.path.suffix
        )


def form(content, name="clip.mp4", field="file", more=None):
    """A form as a common client writes it: its Content-Type and body."""
    built = httpx.Request("POST", "http://x", files={**(more or {}), field: (name, content)})
    return built.headers["content-type"], built.read()


@pytest.mark.parametrize("size", [1, 7, 64, 100_000])
def test_a_form_in_chunks_of_any_size(folder, size):
    content = bytes(range(256)) * 8 + b"\r\n--" * 50
    kind, body = form(content, more={"note": ("n.txt", b"other")})
    chunks = [body[i : i + size] for i in range(0, len(body), size)]
    found = received(folder, kind, chunks)
    assert (found.name, found.suffix) == ("clip.mp4", ".mp4")
    assert found.content == content
    assert folder.taken == 0


def test_names_are_cut_to_their_last_part_and_printable(folder):
    kind, body = form(b"x", name="..\\a/b\u202e.MKV")
    found = received(folder, kind, [body])
    assert found.name == "b\\u202e.MKV"
    assert found.suffix == ".mkv"
    assert received(folder, *_one(form(b"x", name="x.m3u8"))).suffix == ""


def _one(pair):
    return pair[0], [pair[1]]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "last boundary"),
        (b"--b\r\nContent-Disposition: form-data; name=file\r\n\r\nabc", "last boundary"),
        (b"no form", ""),
        (b"--b\r\nContent-Disposition: form-data; name=x\r\n\r\nabc\r\n--b--\r\n", "named file"),
        (2 * b"--b\r\nContent-Disposition: form-data; name=file\r\n\r\nabc\r\n", "two parts"),
        (99 * b"--b\r\nContent-Disposition: form-data; name=x\r\n\r\nabc\r\n", "more than"),
        (b"--b\r\nX: " + b"x" * 40_000 + b"\r\n\r\nabc\r\n--b--\r\n", ""),
        (b"--b\r\n" + b"X: y\r\n" * 9000 + b"\r\nabc\r\n--b--\r\n", ""),
    ],
)  # fmt: skip
def test_forms_that_are_none(folder, body, words):
    kind = "multipart/form-data; boundary=b"
    with pytest.raises(ProblemError) as refused:
        received(folder, kind, [body[i : i + 1000] for i in range(0, len(body), 1000)] or [b""])
    assert refused.value.status == 400
    assert words in refused.value.detail
    assert folder.taken == 0
    assert not [path for path in folder.path.iterdir() if path.name != ".lock"]


@pytest.mark.parametrize("kind", ["text/plain", "", "application/x-www-form-urlencoded"])
def test_other_bodies_are_refused_before_they_are_read(folder, kind):
    with pytest.raises(ProblemError) as refused:
        received(folder, kind, [b"x"], last="hang")
    assert refused.value.status == 415


def test_a_form_without_a_boundary(folder):
    with pytest.raises(ProblemError, match="boundary"):
        received(folder, "multipart/form-data", [b"x"])


def test_bytes_as_they_are_and_none_at_all(folder):
    assert received(folder, "video/mp4", [b"ab", b"c"]).content == b"abc"
    with pytest.raises(ProblemError, match="empty"):
        received(folder, "application/octet-stream", [b""])


def test_senders_who_stop_and_senders_who_dawdle(folder):
    kind, body = form(b"x" * 100)
    idle = Timing(idle_seconds=0.05, seconds=10)
    with pytest.raises(ProblemError, match="no byte came") as stopped:
        received(folder, kind, [body[:50]], timing=idle, last="hang")
    assert stopped.value.status == 408
    with pytest.raises(ProblemError, match="took longer"):
        received(folder, kind, [body[:50]], timing=Timing(5, 0.05), last="hang")
    with pytest.raises(GoneError):
        received(folder, kind, [body[:50]], last="gone")


def test_what_the_folder_has_no_room_for(tmp_path):
    with UploadFolder(tmp_path, 1000) as folder:
        kind, body = form(b"x" * 1001)
        with pytest.raises(ProblemError) as full:
            received(folder, kind, [body])
        assert (full.value.status, "Retry-After" in full.value.headers) == (503, True)
        assert folder.taken == 0


def test_small_json_only():
    found = asyncio.run(json_of(request("application/json", [b'{"url":', b' "x"}']), USUAL))
    assert found == {"url": "x"}
    with pytest.raises(ProblemError) as large:
        asyncio.run(json_of(request("application/json", [b" " * 20_000]), USUAL))
    assert large.value.status == 413
    for bad in (b"{", b"[" * 5000, b'{"a": 1, "a": 2}', b"\xff"):
        with pytest.raises(UserError):
            asyncio.run(json_of(request("application/json", [bad]), USUAL))
