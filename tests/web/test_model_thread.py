"""The thread of the models: batches of several callers, streams in turn, and its end."""

import threading
import time

import pytest
import torch

from mobile_models import small_model
from video_mobile_former.inference.stream import StreamPredictor
from video_mobile_former.web.failures import StoppedError
from video_mobile_former.web.model_thread import ModelThread
from video_mobile_former.web.served import serve_model


@pytest.fixture(scope="module")
def model():
    return serve_model("small", small_model(), device="cpu")


@pytest.fixture
def clips():
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randint(256, (views, 3, 3, 32, 32), dtype=torch.uint8, generator=generator)
        for views in (1, 2, 1, 3, 1)
    ]


def started(model, **options):
    batches = []
    options = {"batch_size": 8, "on_batch": lambda count, seconds: batches.append(count), **options}
    thread = ModelThread([model], **options)
    thread.start()
    return thread, batches


def test_clips_of_several_callers_go_through_together_and_are_told_apart(model, clips):
    thread, batches = started(model)
    with thread.coming(model):
        begun = threading.Event()
        thread.call(lambda: begun.wait(10))  # so that all of them wait before the first pass
        futures = [thread.score(model, one) for one in clips]
        begun.set()
        found = [future.result(30) for future in futures]
    assert batches == [8]
    assert {one.batch for one in found} == {8}
    for one, scored in zip(clips, found, strict=True):
        wanted = model.predictor.scorer(one[None])[0]
        torch.testing.assert_close(torch.from_numpy(scored.probabilities), wanted)
    thread.stop()


def test_a_clip_waits_only_for_those_that_are_being_read(model, clips):
    thread, batches = started(model, batch_seconds=20.0)
    begun = time.monotonic()
    thread.score(model, clips[0]).result(30)
    assert time.monotonic() - begun < 15  # nobody else was coming
    with thread.coming(model):
        waiting = thread.score(model, clips[0])
        time.sleep(0.2)
        assert not waiting.done()
    waiting.result(10)  # the other gave up
    assert batches == [1, 1]
    thread.stop()
    short, _ = started(model, batch_seconds=0.01)
    with short.coming(model):
        short.score(model, clips[0]).result(30)  # the wait is over, whoever comes
    short.stop()


@pytest.mark.slow
def test_streams_and_clips_take_turns(model, clips):
    """Scores of a stream are those of a predictor alone, whatever goes on beside it."""
    generator = torch.Generator().manual_seed(1)
    frames = [
        (i / 10, torch.randint(256, (40, 40, 3), dtype=torch.uint8, generator=generator).numpy())
        for i in range(60)
    ]
    wanted = list(StreamPredictor(small_model(), device="cpu").predict(frames))
    thread, _ = started(model, batch_size=1)
    found, ended = [], threading.Event()
    stream = thread.open(model, found.append, lambda error: ended.set(), newest=False).result(10)
    choose = model.predictor.chooser()
    futures = []
    for pair in frames:
        stream.push(choose(*pair))
        futures.append(thread.score(model, clips[0]))
    stream.end()
    assert ended.wait(60)
    for future in futures:
        future.result(30)
    assert [one.end_seconds for one in found] == [one.end_seconds for one in wanted]
    for one, other in zip(found, wanted, strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-6)
    thread.stop()


def test_a_stream_that_fails_does_not_end_the_others(model):
    thread, _ = started(model)
    errors, scores, ended = [], [], threading.Event()

    def break_down(one):
        raise KeyError("x")

    bad = thread.open(model, break_down, errors.append, newest=False).result(10)
    good = thread.open(model, scores.append, lambda error: ended.set(), newest=False).result(10)
    choose, other = model.predictor.chooser(), model.predictor.chooser()
    picture = torch.zeros(40, 40, 3, dtype=torch.uint8).numpy()
    for i in range(40):
        bad.push(choose(i / 10, picture))
        good.push(other(i / 10, picture))
    good.end()
    assert ended.wait(30)
    assert [type(error) for error in errors] == [KeyError]
    assert scores
    thread.stop()


def test_the_end_fails_what_waits(model, clips):
    thread, _ = started(model)
    ended, running, go_on = [], threading.Event(), threading.Event()
    thread.open(model, print, ended.append, newest=True).result(10)
    thread.call(lambda: (running.set(), go_on.wait(10)))
    running.wait(10)
    waiting = [thread.score(model, clips[0]), thread.call(lambda: 1)]
    threading.Timer(0.2, go_on.set).start()
    thread.stop()
    for future in waiting:
        with pytest.raises(StoppedError):
            future.result(5)
    assert [type(error) for error in ended] == [StoppedError]
    with pytest.raises(StoppedError):
        thread.score(model, clips[0])
    assert not thread.is_running
