from __future__ import annotations

from video_mobile_former.training.run.position import Totals


def test_totals_add_up() -> None:
    totals = Totals()
    totals.add(4, 8.0, 1, 0)
    totals.add(0, 0.0, 0, 4)
    totals.add(0, 0.0, 0, 1)
    assert (totals.clips, totals.loss, totals.correct, totals.failed) == (4, 8.0, 1, 5)
    assert totals.empty_in_a_row == 2
    totals.add(2, 1.0, 2, 0)
    assert totals.empty_in_a_row == 0
    assert totals.recent == [6, 9.0, 3]
