from __future__ import annotations

from pathlib import Path

import pytest

from video_mobile_former.training.run.lost import ProcessLostError, watching_others
from video_mobile_former.training.run.run_folder import RunFolder

GLOO = "[../gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:25997"


@pytest.mark.parametrize("saved", [True, False])
def test_a_failed_exchange_is_one_line_that_says_how_to_go_on(saved: bool, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    if saved:
        run.save_state({"finished": False})
    with pytest.raises(ProcessLostError) as error, watching_others(run, 2):
        raise RuntimeError(GLOO)
    text = str(error.value)
    assert "\n" not in text
    assert text.endswith("continues it from its saved state" if saved else "starts it anew")


@pytest.mark.parametrize(("world_size", "message"), [(1, GLOO), (2, "shapes do not match")])
def test_other_errors_stay_what_they_are(world_size: int, message: str, tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    with (
        pytest.raises(RuntimeError, match=message[-10:]) as error,
        watching_others(run, world_size),
    ):
        raise RuntimeError(message)
    assert not isinstance(error.value, ProcessLostError)
