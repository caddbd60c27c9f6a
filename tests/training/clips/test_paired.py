"""Which unlabelled clips a labelled batch gets depends on its epoch and place alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from video_mobile_former.errors import DataError
from video_mobile_former.training.clips.paired import PairedLoader


class Batches:
    """A loader that says where it is."""

    source = "here"

    def __init__(self, count: int, failed: Callable[[int, int], range] = lambda *_: range(0)):
        self.count, self.at, self.failed = count, (0, 0), failed

    def __len__(self) -> int:
        return self.count

    def start_at(self, epoch: int, batch: int = 0) -> None:
        self.at = (epoch, batch)

    def __iter__(self) -> Any:
        epoch, first = self.at
        self.at = (epoch + 1, 0)
        for number in range(first, self.count):
            failures = list(self.failed(epoch, number))
            yield {
                "place": (epoch, number),
                "labels": range(4 - len(failures)),
                "failures": failures,
            }

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


@pytest.mark.parametrize(
    ("others", "failed", "batches"),
    [
        (5, 2, None),  # half of them
        (5, 3, 5),  # more, seen when all were given once
        (100, 4, 20),  # none can be read, which needs no whole round
        (1, 4, 1),
    ],
)
def test_others_that_cannot_be_read_end_the_run(
    others: int, failed: int, batches: int | None
) -> None:
    paired: Any = PairedLoader(
        Batches(3),  # type: ignore[arg-type]
        Batches(others, lambda *_: range(failed)),  # type: ignore[arg-type]
    )
    given = 0

    def go_on() -> None:
        nonlocal given
        for _ in range(10):
            for _ in paired:
                given += 1

    if batches is None:
        go_on()
        assert given == 30
        return
    with pytest.raises(DataError, match=r"here: .* read"):
        go_on()
    assert given == batches - 1


def test_bad_clips_of_an_earlier_round_are_forgotten() -> None:
    paired: Any = PairedLoader(
        Batches(3),  # type: ignore[arg-type]
        Batches(2, lambda epoch, _: range(2 if epoch == 0 else 3)),  # type: ignore[arg-type]
    )
    with pytest.raises(DataError, match="6 of 8 clips without labels"):
        places(paired) + places(paired)
