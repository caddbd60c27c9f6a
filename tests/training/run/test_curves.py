"""Curves of a run, from rows that are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from video_mobile_former.errors import UserError
from video_mobile_former.training.run.curves import curves_figure, read_curves, write_curves

ROWS = """row,epoch,step,lr,loss,top1,mean_class,map
step,1,2,0.1,9.0,,,
train,1,4,0.2,3.0,,,
val,1,4,,2.5,0.25,0.2,
step,2,6,0.3,8.0,,,
train,2,8,0.2,2.0,,,
val,2,8,,2.0,0.5,0.4,
step,3,9,0.1,7.0,,,
"""


@pytest.fixture
def metrics(tmp_path: Path) -> Path:
    path = tmp_path / "metrics.csv"
    path.write_text(ROWS)
    return path


def test_lines_stand_at_their_epochs(metrics: Path) -> None:
    found = read_curves(metrics)
    assert found.train_loss == [(1, 3.0), (2, 2.0)]
    assert found.val_loss == [(1, 2.5), (2, 2.0)]
    assert found.scores == {"top1": [(1, 0.25), (2, 0.5)], "mean_class": [(1, 0.2), (2, 0.4)]}
    # Half of epoch 1, its end, half of epoch 2, its end, a quarter of one that is not yet over.
    assert found.rate == [(0.5, 0.1), (1, 0.2), (1.5, 0.3), (2, 0.2), (2.25, 0.1)]
    assert found.epochs == 2


def test_damaged_and_strange_values_are_left_out(metrics: Path) -> None:
    with metrics.open("a") as file:
        file.write("train,3,12,,nan,,,\nval,x,,,,,\ntrain,3")
    assert read_curves(metrics).train_loss == [(1, 3.0), (2, 2.0)]
    with pytest.raises(UserError, match="cannot read"):
        read_curves(metrics.with_name("none.csv"))


def test_what_is_drawn(metrics: Path) -> None:
    loss, scores, rate = curves_figure(read_curves(metrics), best_epoch=2).axes
    assert np.asarray(loss.lines[0].get_xydata()).tolist() == [[1, 3], [2, 2]]
    assert [line.get_label() for line in scores.lines[:2]] == ["top-1", "mean per class"]
    assert np.asarray(loss.lines[-1].get_xdata()).tolist() == [2, 2]  # the best epoch
    assert len(np.asarray(rate.lines[0].get_xdata())) == 5


def test_long_runs_are_thinned_and_end_where_they_end(metrics: Path) -> None:
    rows = "".join(f"train,{e},{e},0.1,{1 / e},,,\n" for e in range(1, 2001))
    metrics.write_text("row,epoch,step,lr,loss,top1,mean_class,map\n" + rows)
    line = np.asarray(curves_figure(read_curves(metrics)).axes[0].lines[0].get_xdata())
    assert (len(line), line[0], line[-1]) == (400, 1, 2000)


@pytest.mark.slow
def test_nothing_is_drawn_before_an_epoch_is_over(metrics: Path) -> None:
    picture = metrics.with_name("curves.png")
    metrics.write_text(ROWS.splitlines()[0] + "\n")
    write_curves(metrics, picture)
    assert not picture.exists()
    metrics.write_text(ROWS)
    write_curves(metrics, picture, 2)
    assert picture.read_bytes().startswith(b"\x89PNG")
