"""The operations themselves are held against PIL in test_randaugment.py."""

from __future__ import annotations

import torch

from video_mobile_former.data.transforms.tables import count_at_once, look_up


def test_counting_at_once_is_counting_one_by_one() -> None:
    rows = torch.randint(0, 256, (5, 3000), dtype=torch.uint8)
    rows[2] = 255
    wanted = torch.stack([torch.bincount(row, minlength=256) for row in rows])
    assert torch.equal(count_at_once(rows), wanted)


def test_each_clip_and_channel_has_its_table() -> None:
    clips = torch.randint(0, 256, (4, 2, 3, 6, 5), dtype=torch.uint8)
    tables = torch.randint(0, 256, (4, 3, 256), dtype=torch.uint8)
    got = look_up(clips, tables)
    for b in range(4):
        for c in range(3):
            assert torch.equal(got[b, :, c], tables[b, c][clips[b, :, c].long()])
