"""Drawn attention: where it is bright, what the panels hold, how long frames stay."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from video_mobile_former.data.video.reader import VideoReader
from video_mobile_former.inference.attention import Attention, SeenClip
from video_mobile_former.inference.attention_pictures import (
    attention_frames,
    attention_sheet,
    heatmaps,
    write_attention_video,
)


def attention(tokens: int = 3, frames: int = 4) -> Attention:
    """Token m looks at one place only: frame m, row m, column 3 − m of a 4 × 4 grid."""
    weights = torch.zeros(tokens, frames, 4, 4)
    for m in range(tokens):
        weights[m, m % frames, m % 4, 3 - m % 4] = 1.0
    pictures = torch.full((frames, 3, 64, 64), 128, dtype=torch.uint8)
    return Attention(SeenClip(pictures, 1.0 + 0.25 * np.arange(frames)), weights)


def test_heat_is_where_the_weight_is() -> None:
    heat, peaks = heatmaps(attention().weights, 80)
    assert peaks == pytest.approx([64.0] * 3)  # of 4 × 4 × 4 places
    for m in range(3):
        lit = (heat[m] > 0.9).nonzero()
        assert set(lit[:, 0].tolist()) == {m}
        assert (lit[:, 1].float().mean() / 20).floor() == m
        assert (lit[:, 2].float().mean() / 20).floor() == 3 - m


def test_even_attention_is_a_middle_tone() -> None:
    heat, peaks = heatmaps(torch.full((1, 2, 3, 3), 1 / 18), 30)
    assert peaks == pytest.approx([1.0])
    assert heat.numpy() == pytest.approx(0.5**0.5, abs=1e-4)


@pytest.mark.parametrize(
    ("tokens", "columns", "rows"), [(1, 2, 1), (3, 4, 1), (4, 3, 2), (6, 4, 2)]
)
def test_a_panel_for_the_picture_and_each_token(tokens: int, columns: int, rows: int) -> None:
    frames = list(attention_frames(attention(tokens), label="jump", score=0.5))
    assert len(frames) == 4
    height, width = frames[0].shape[:2]
    assert height % 2 == width % 2 == 0
    assert width == columns * 236 + 12
    # In the frame a token looks at, its panel is the brightest in yellow; elsewhere it is dark.
    for m in range(tokens):
        left = 12 + (m + 1) % columns * 236
        top = 58 + (m + 1) // columns * (26 + 224 + 36 + 12) + 26
        panels = [frame[top : top + 224, left : left + 224] for frame in frames]
        most = [int(panel.astype(int).sum(axis=2).max()) for panel in panels]
        assert int(np.argmax(most)) == m % 4
        bright = np.argwhere(panels[m % 4].astype(int).sum(axis=2) > 500).mean(axis=0) // 56
        assert bright.tolist() == [m % 4, 3 - m % 4]


@pytest.mark.slow
def test_text_of_any_kind_can_be_drawn() -> None:
    for label in ("", "x" * 500, "手を振る", "a\nb\x1b[31m", "<b>"):
        assert next(attention_frames(attention(), label=label)).ndim == 3
        assert attention_sheet(attention(), title=label).width > 400


def test_the_video_shows_the_frames_at_their_times(tmp_path: Path) -> None:
    write_attention_video(tmp_path / "a.mp4", attention(), label="jump", score=0.5)
    with VideoReader(tmp_path / "a.mp4") as reader:
        assert reader.timestamps() == pytest.approx([0, 0.25, 0.5, 0.75, 1.0], abs=1e-3)


def test_padding_is_shown_as_further_steps(tmp_path: Path) -> None:
    one = attention()
    times = np.array([0.0, 0.2, 0.4, 0.4])
    padded = Attention(SeenClip(one.clip.frames, times), one.weights)
    write_attention_video(tmp_path / "a.mp4", padded)
    with VideoReader(tmp_path / "a.mp4") as reader:
        assert reader.timestamps() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8], abs=1e-3)


def test_a_sheet_has_a_row_for_each_token() -> None:
    few, many = attention_sheet(attention(2)), attention_sheet(attention(5))
    assert many.height - few.height == 3 * (112 + 14 + 4)
    assert attention_sheet(attention(2, frames=30)).width == 104 + 8 * 116 + 4
