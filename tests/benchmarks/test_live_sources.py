"""Two cameras for two minutes, one of them in trouble; ``VMF_SOAK_SECONDS`` makes it longer."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from live_sources import GROWTH, WINDOW_SECONDS, soak

from live_parts import save_always_waving

SECONDS = float(os.environ.get("VMF_SOAK_SECONDS", "120"))


@pytest.mark.slow
def test_memory_stays_and_lag_is_shorter_than_a_window(tmp_path: Path) -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("memory of a process is read from /proc")
    model = save_always_waving(tmp_path / "waving")
    found = soak(str(model), SECONDS, trouble_seconds=min(60.0, SECONDS / 4))
    assert found["memory_growth"] < GROWTH
    assert found["calm"]["lag_seconds"] < WINDOW_SECONDS
    assert found["calm"]["reconnects"] == 0
    assert found["troubled"]["reconnects"] >= 2
    assert found["events_started"] == found["events_ended"] >= 4
