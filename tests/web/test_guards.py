"""What stands before every request, around a small application."""

import asyncio
import time

import httpx
import pytest
from prometheus_client import CollectorRegistry, Gauge

from video_mobile_former.web.guards import Guard, Places, is_allowed_host, is_loopback
from video_mobile_former.web.metrics import Metrics
from video_mobile_former.web.problems import ProblemError


async def echo(scope, receive, send):
    """Answers with the number of bytes of the body, as the routes would with a problem."""
    count, more = 0, True
    try:
        while more:
            message = await receive()
            count += len(message.get("body") or b"")
            more = message.get("more_body", False)
    except ProblemError as problem:
        await problem.response()(scope, receive, send)
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(count).encode()})


def ask(path="/v1/models", method="GET", *, headers=None, content=None, host="x.test", **options):
    guard = Guard(
        echo,
        **{"metrics": Metrics(), "token": None, "host_names": None, "max_bytes": 100, **options},
    )

    async def asked():
        transport = httpx.ASGITransport(guard)
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
            return await client.request(method, path, headers=headers, content=content)

    return asyncio.run(asked())


def parts(count):
    async def generate():
        for _ in range(count):
            yield b"0123456789"

    return generate()


def test_a_body_is_bounded_whether_or_not_it_says_how_long_it_is():
    assert ask(method="POST", content=b"x" * 100).text == "100"
    assert ask(method="POST", content=b"x" * 101).status_code == 413
    assert ask(method="POST", content=parts(10)).text == "100"
    answer = ask(method="POST", content=parts(11))
    assert answer.status_code == 413
    assert answer.json()["detail"].startswith("an upload has at most")


def test_a_body_that_is_too_long_by_its_own_words_is_not_read():
    async def never():
        raise AssertionError("read")
        yield b""

    headers = {"Content-Length": "101"}
    assert ask(method="POST", content=never(), headers=headers).status_code == 413


@pytest.mark.parametrize("path", ["/v1/models", "/metrics", "/v1/jobs/x", "/v1"])
def test_a_token_keeps_others_out(path):
    answer = ask(path, token="right-token")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    for wrong in ("Bearer wrong-token", "right-token", "Basic right-token", "Bearer ", "bearer"):
        assert ask(path, token="right-token", headers={"Authorization": wrong}).status_code == 401
    right = {"Authorization": "Bearer right-token"}
    assert ask(path, token="right-token", headers=right).status_code == 200


@pytest.mark.parametrize("path", ["/", "/static/app.js", "/health", "/ready", "/openapi.json"])
def test_the_page_and_the_state_need_no_token(path):
    assert ask(path, token="right-token").status_code == 200


def test_tokens_are_compared_in_constant_time():
    """The time of a nearly right token is not told from that of a wrong one."""
    token = "a" * 200
    guard = Guard(echo, metrics=Metrics(), token=token, host_names=None, max_bytes=1)

    def fastest(given):
        times = []
        for _ in range(200):
            begun = time.perf_counter()
            for _ in range(20):
                guard.is_token(given)
            times.append(time.perf_counter() - begun)
        return min(times)

    near, far = fastest(("a" * 199 + "b").encode()), fastest(("b" * 200).encode())
    assert near < 2 * far
    assert far < 2 * near


def test_names_of_strangers_are_not_ours():
    """DNS rebinding: a page of evil.test has its name point to 127.0.0.1."""
    names = ["localhost"]
    assert ask(host="evil.test", host_names=names).status_code == 421
    for host in ("localhost:8000", "127.0.0.1:8000", "[::1]:8000"):
        assert ask(host=host, host_names=names).status_code == 200
    assert ask(host="evil.test", host_names=None).status_code == 200
    assert not is_allowed_host("localhost.evil.test", {"localhost"})
    assert not is_allowed_host("", {"localhost"})
    assert not is_allowed_host("127.0.0.1.evil.test", {"localhost"})
    assert is_allowed_host("LocalHost:80", {"localhost"})


def test_pages_of_other_sites_may_not_post():
    for origin in ("http://evil.test", "null", "http://x.test:81"):
        answer = ask("/v1/predict", "POST", headers={"Origin": origin}, content=b"x")
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers
    own = {"Origin": "http://x.test"}
    assert ask("/v1/predict", "POST", headers=own, content=b"x").status_code == 200


def test_every_answer_has_the_headers_that_close_browsers():
    for answer in (ask("/"), ask("/v1/models"), ask(method="POST", content=b"x" * 101)):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert ask("/v1/models").headers["cache-control"] == "no-store"


def test_places_are_given_back_and_counted_by_caller():
    gauge = Gauge("places", "", registry=CollectorRegistry())
    places = Places("requests", 3, 2, gauge)
    with places.take("a"):
        with places.take("a"):
            with pytest.raises(ProblemError) as many, places.take("a"):
                pass
            assert (many.value.status, int(many.value.headers["Retry-After"]) > 0) == (429, True)
            with places.take("b"), pytest.raises(ProblemError) as full, places.take("c"):
                pass
            assert (full.value.status, int(full.value.headers["Retry-After"]) > 0) == (503, True)
        with places.take("a"), places.take("c"):
            assert places.taken == 3
    assert places.taken == 0
    places.closed = True
    with pytest.raises(ProblemError) as ending, places.take("a"):
        pass
    assert ending.value.status == 503


@pytest.mark.parametrize(
    ("host", "is_ours_alone"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("x", False)],
)
def test_what_only_this_machine_reaches(host, is_ours_alone):
    assert is_loopback(host) == is_ours_alone


def test_made_up_methods_are_one_figure():
    metrics = Metrics()
    for method in ("GET", "BREW", "WHEN", "TEA"):
        ask(method=method, metrics=metrics)
    text = metrics.text().decode()
    assert 'method="other",route="none",status="200"} 3.0' in text
    assert "BREW" not in text
