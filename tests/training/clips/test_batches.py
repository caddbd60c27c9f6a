from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from video_mobile_former.clip_spec import ClipSpec
from video_mobile_former.data.index.index import load_index
from video_mobile_former.data.loading.dataset import ClipDataset
from video_mobile_former.data.loading.loader import WorkersEndedError, make_loader
from video_mobile_former.training.clips.batches import guarded
from video_mobile_former.training.run.interrupt import StopRequest, StopTraining


@pytest.mark.slow
def test_batches_go_on_from_the_position(clips_csv: Path) -> None:
    spec = ClipSpec(num_frames=2, crop_size=32, resize_size=32)
    index = load_index(clips_csv).split("train")
    loader = make_loader(ClipDataset(index, spec, train=True), batch_size=8, num_workers=0)

    def batches(epoch: int, batch: int = 0) -> list[list[int]]:
        loader.start_at(epoch, batch)
        return [b["indices"].tolist() for b in guarded(loader, StopRequest())]

    whole = batches(0)
    assert len(whole) == 3
    assert batches(0, 2) == whole[2:]
    again = batches(1)
    assert sorted(i for b in again for i in b) == sorted(i for b in whole for i in b)
    assert again != whole


def test_the_end_of_the_data_workers_may_be_a_wish_to_stop() -> None:
    def dies(error: Exception) -> Any:
        yield 1
        raise error

    stop = StopRequest()
    with pytest.raises(WorkersEndedError, match="gone"):
        list(guarded(dies(WorkersEndedError("gone")), stop))
    stop.requested = True
    with pytest.raises(RuntimeError, match="something else"):
        list(guarded(dies(RuntimeError("something else")), stop))
    with pytest.raises(StopTraining):
        list(guarded(dies(WorkersEndedError("gone")), stop))
