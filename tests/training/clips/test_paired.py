"""Which unlabelled clips a labelled batch gets depends on its epoch and place alone."""

from __future__ import annotations

from typing import Any

import pytest

from video_mobile_former.training.clips.paired import PairedLoader


class Batches:
    """A loader that says where it is."""

    source = "here"

    def __init__(self, count: int):
        self.count, self.at = count, (0, 0)

    def __len__(self) -> int:
        return self.count

    def start_at(self, epoch: int, batch: int = 0) -> None:
        self.at = (epoch, batch)

    def __iter__(self) -> Any:
        epoch, first = self.at
        self.at = (epoch + 1, 0)
        for number in range(first, self.count):
            yield {"place": (epoch, number)}

    def names(self, indices: Any) -> list[str]:
        return [f"clip {i}" for i in indices]


def places(paired: Any) -> list[Any]:
    return [(batch["place"], batch["unlabelled"]["place"]) for batch in paired]


@pytest.mark.parametrize("others", [1, 2, 3, 7])
def test_others_go_on_from_epoch_to_epoch(others: int) -> None:
    paired: Any = PairedLoader(Batches(3), Batches(others))  # type: ignore[arg-type]
    whole = [pair for _ in range(4) for pair in places(paired)]
    assert [first for first, _ in whole] == [(e, b) for e in range(4) for b in range(3)]
    assert [second for _, second in whole] == [divmod(i, others) for i in range(12)]
    for done in range(12):
        epoch, batch = divmod(done, 3)
        again: Any = PairedLoader(Batches(3), Batches(others))  # type: ignore[arg-type]
        again.start_at(epoch, batch)
        rest = [pair for _ in range(4 - epoch) for pair in places(again)]
        assert rest == whole[done:]
    assert (len(paired), paired.source, paired.names([2])) == (3, "here", ["clip 2"])
