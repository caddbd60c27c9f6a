"""The command ``vmf serve``: what it refuses before it listens."""

import socket

import pytest

from mobile_models import small_model
from video_mobile_former.cli.main import main
from video_mobile_former.errors import UserError
from video_mobile_former.web.served import choose, serve_model, split_names


def refused(capsys, *words):
    assert main(["serve", *words]) == 2
    said = capsys.readouterr()
    assert not said.out
    assert said.err.count("\n") == 1
    return said.err


@pytest.mark.parametrize(
    ("words", "about"),
    [
        (["nowhere"], "nowhere"),
        (["vmf_500m"], "untrained"),
        (["x", "--port", "70000"], "port"),
        (["x", "--max_mb", "0"], "max_mb"),
        (["x", "--token", "short"], "token"),
        (["x", "--token", "with space and more"], "token"),
        (["x", "--url_host", "http://y"], "url_host"),
        (["a=x", "a=y"], "two models"),
        (["x", "--host", "no-such-host.invalid"], "cannot listen"),
        (["x", "--max_mbs", "3"], "did you mean --max_mb"),
    ],
)
def test_wrong_words_are_one_line(capsys, words, about):
    more = [] if "--port" in words else ["--port", "0"]
    assert about in refused(capsys, *words, *more)


def test_a_port_that_is_taken_is_said_before_models_are_loaded(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"port {port}" in refused(capsys, "nowhere", "--port", port)


def test_names_of_models(tmp_path):
    best = tmp_path / "fight" / "best"
    best.mkdir(parents=True)
    assert split_names([str(best), "b=x", "runs/other/last", "other"]) == [
        ("fight", str(best)),
        ("b", "x"),
        ("other", "runs/other/last"),
        ("other-2", "other"),
    ]
    named = tmp_path / "a=b"
    named.mkdir()
    assert split_names([str(named)])[0][1] == str(named)


@pytest.mark.slow
def test_a_model_is_chosen_by_its_name():
    first, second = (serve_model(name, small_model(), device="cpu") for name in ("one", "two"))
    models = [first, second]
    assert choose(models, None) is choose(models, "") is choose(models, "one") is first
    assert choose(models, "two") is second
    with pytest.raises(UserError, match="did you mean 'two'"):
        choose(models, "two2")
