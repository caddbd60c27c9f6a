"""The table of a benchmark."""

from __future__ import annotations

from made_up_rows import row
from video_mobile_former.benchmark.table import WIDTH, format_rows


def test_what_all_rows_share_stands_above() -> None:
    text = format_rows([row("vmf_1g", 50.0), row("vmf_2g", 100.0)])
    lines = text.splitlines()
    assert lines[0] == "clips of 16×224², eager, form frames, fp32, 1 thread, batch 1"
    assert lines[2].split() == ["model", "ms", "±", "clips/s", "ms/GMAC", "MB"]
    assert lines[3].split() == ["vmf_1g", "50.0", "10", "%", "20.0", "50.0", "123"]
    assert "Clock: processor time with one thread." in text
    assert "Logits differ" not in text


def test_what_differs_is_a_column_and_the_table_stays_narrow() -> None:
    rows = [
        row("a/very/long/path/of/a/checkpoint/folder/best", 5.25, runtime="executorch"),
        row("vmf_2g", 12345.6, runtime="onnx", form="volume", threads=2, clock="wall", rounds=5),
        row("x3d_s", 99.0, batch=8, num_frames=13, size=160, max_difference=3e-7),
        row("x3d_m", 99.0, precision="int8", max_difference=5e-7),
    ]
    text = format_rows(rows)
    assert max(len(line) for line in text.splitlines()) <= WIDTH
    for word in ("executorch", "13×160²", "volume", "int8", "12345.6", "5.25", "ms/GMAC"):
        assert word in text
    assert "a/v…" in text
    assert "5 to 15 rounds" in text
    assert "processor time with one thread, wall-clock time with several" in text
    assert "at most 5.0e-07" in text


def test_what_was_not_measured_is_excluded() -> None:
    text = format_rows([row("vmf_1g", 50.0, peak_memory_mb=None, ms_per_gmac=None)])
    assert "MB" not in text
    assert "ms/GMAC" not in text


def test_a_stream_is_compared_by_its_frames() -> None:
    clip = row("vmf_1g", 64.0)
    stream = row("vmf_1g_stream", 20.0, num_frames=4, streams=True, ms_per_frame=5.0)
    text = format_rows([clip, stream])
    assert "ms/frame" in text
    assert "5.00" in text
    assert "one step" in text
    assert max(len(line) for line in text.splitlines()) <= WIDTH
    assert "ms/frame" not in format_rows([clip])
