"""Streams spliced from clips: every frame keeps its label and its place, and nothing is lost."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from video_mobile_former.training.clips.splicing import splice

PLACE = [0, 3, 5, 0]


def numbered(count: int, frames: int = 6) -> tuple[Tensor, Tensor]:
    """Clips whose pixels say clip and frame, and labels that say the clip."""
    clip, frame = torch.arange(count).view(-1, 1), torch.arange(frames)
    values = (100 * clip + frame).float()
    return values[:, None, :, None, None].expand(-1, 3, -1, 2, 2).clone(), torch.arange(count)


@pytest.mark.parametrize("number", [2, 3, 4])
def test_frames_labels_and_times_go_together(number: int) -> None:
    clips, labels = numbered(12)
    streams = splice(clips, labels, number, PLACE)
    assert streams.frames.shape == (12 // number, 3, 6 * number, 2, 2)
    shown = streams.frames[:, 0, :, 0, 0]
    assert torch.equal(shown // 100, streams.targets.float())
    assert torch.equal(shown % 100, streams.since.float())
    assert torch.equal(shown.flatten().sort().values, clips[:, 0, :, 0, 0].flatten())
    # One after another: time goes on within a clip, and a new clip begins at its first frame.
    for row, since in zip(streams.targets, streams.since, strict=True):
        changes = row[1:] != row[:-1]
        assert bool((since[1:][changes] == 0).all())
        assert bool((since[1:][~changes] - since[:-1][~changes] == 1).all())


def test_streams_begin_anywhere_and_repeat_exactly() -> None:
    clips, labels = numbered(200, frames=8)
    first = splice(clips, labels, 2, PLACE).since[:, 0]
    assert first.unique().tolist() == list(range(8))
    again, other = splice(clips, labels, 2, PLACE), splice(clips, labels, 2, [0, 3, 6, 0])
    assert torch.equal(again.since[:, 0], first)
    assert not torch.equal(other.since[:, 0], first)


def test_one_clip_to_a_stream_is_the_clip() -> None:
    clips, labels = numbered(5)
    streams = splice(clips, labels, 1, PLACE)
    assert torch.equal(streams.frames, clips)
    assert torch.equal(streams.targets, labels[:, None].expand(-1, 6))
    assert torch.equal(streams.since, torch.arange(6).expand(5, -1))


def test_what_makes_no_whole_stream_is_left_and_few_clips_make_a_short_one() -> None:
    clips, labels = numbered(5)
    assert splice(clips, labels, 2, PLACE).frames.shape[:1] == (2,)
    assert splice(clips, labels, 8, PLACE).frames.shape == (1, 3, 30, 2, 2)


def test_several_classes_of_a_clip() -> None:
    clips, _ = numbered(4)
    targets = torch.rand(4, 7)
    streams = splice(clips, targets, 2, PLACE)
    assert streams.targets.shape == (2, 12, 7)
    which = (streams.frames[:, 0, :, 0, 0] // 100).long()
    assert torch.equal(streams.targets, targets[which])
