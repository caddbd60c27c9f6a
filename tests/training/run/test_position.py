from __future__ import annotations

from video_mobile_former.training.run.position import Totals


def test_totals_add_up() -> None:
    totals = Totals()
    totals.add(4, 8.0, 0, {"top1": 1})
    totals.add(0, 0.0, 4, {"top1": 0})
    totals.add(0, 0.0, 1, {"top1": 0})
    assert (totals.clips, totals.loss, totals.figures, totals.failed) == (4, 8.0, {"top1": 1}, 5)
    assert totals.empty_in_a_row == 2
    totals.add(2, 1.0, 0, {"top1": 2})
    assert totals.empty_in_a_row == 0
    assert totals.means() == {"loss": 9 / 6, "top1": 3 / 6}
    assert totals.take_recent() == {"loss": 9 / 6, "top1": 3 / 6, "clips": 6}
    assert totals.take_recent() == {}
