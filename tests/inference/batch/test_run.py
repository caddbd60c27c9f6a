"""Rows are made once, in the order of the list, whatever happens to workers."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest

from deadly_model import deadly_job
from mobile_models import small_model
from video_files import write_video
from video_mobile_former.errors import UserError
from video_mobile_former.export.loading import load_model
from video_mobile_former.inference import Predictor
from video_mobile_former.inference.batch.costs import Meter
from video_mobile_former.inference.batch.job import BatchJob
from video_mobile_former.inference.batch.local import LocalEngine
from video_mobile_former.inference.batch.model_files import ModelFiles
from video_mobile_former.inference.batch.rows import EncodedRow
from video_mobile_former.inference.batch.run import run_batch
from video_mobile_former.inference.batch.sources import batch_items

SERIAL = LocalEngine(0)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint, and a folder of six videos, one of them broken and one white."""
    folder = tmp_path_factory.mktemp("batch")
    small_model().save_pretrained(folder / "model")
    for number in range(4):
        write_video(folder / "clips" / f"{number}.mp4", 6 + number, fps=10)
    white = [np.full((64, 96, 3), 255, np.uint8)] * 6
    write_video(folder / "clips" / "white.mp4", white, fps=10)
    (folder / "clips" / "broken.mp4").write_text("no video")
    return folder


@pytest.fixture
def job(parts: Path) -> BatchJob:
    model = ModelFiles.read(str(parts / "model"))
    return BatchJob(model=model, load=partial(load_model, threads=1), device="cpu")


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_rows_are_those_of_the_predictor(parts: Path, job: BatchJob, tmp_path: Path) -> None:
    items = batch_items([parts / "clips"])
    result = run_batch(job, items, tmp_path / "a.jsonl", SERIAL)
    assert (result.num_files, result.num_failed, result.done_before) == (6, 1, 0)
    predictor = Predictor(load_model(parts / "model"), device="cpu")
    rows = lines(tmp_path / "a.jsonl")
    assert [row["path"] for row in rows] == [item.path for item in items]
    for row in rows:
        if "broken" in row["path"]:
            assert row.keys() == {"path", "error"}
            continue
        found = predictor.predict(row["path"])
        assert tuple(row["labels"]) == found.labels
        assert row["scores"] == pytest.approx(found.scores, abs=1e-6)
        assert (row["num_frames"], row["padded"]) == (found.num_frames, found.padded)
    assert rows[1]["duration_seconds"] == pytest.approx(0.7)


@pytest.mark.slow
def test_parquet_and_json_lines_say_the_same(parts: Path, job: BatchJob, tmp_path: Path) -> None:
    items = batch_items([parts / "clips"])
    for rows, more in (("labels", {}), ("embeddings", {"tokens": True}), ("events", {})):
        kind = replace(job, rows=rows, **more)
        for name in ("a.parquet", "a.jsonl"):
            run_batch(kind, items, tmp_path / rows / name, SERIAL)
        table = parquet.read_table(tmp_path / rows / "a.parquet")
        plain = [{k: v for k, v in row.items() if v is not None} for row in table.to_pylist()]
        assert plain == lines(tmp_path / rows / "a.jsonl")
        made = json.loads((table.schema.metadata or {})[b"vmf"])
        assert (made["rows"], made["options"]["model"]) == (rows, job.model.digest)
    assert table.num_rows == 6


@pytest.mark.slow
def test_a_run_goes_on_with_what_is_missing(parts: Path, job: BatchJob, tmp_path: Path) -> None:
    items = batch_items([parts / "clips"])
    out, journal = tmp_path / "a.jsonl", tmp_path / "a.jsonl.progress.jsonl"
    run_batch(job, items, out, SERIAL)
    whole, kept = out.read_bytes(), journal.read_bytes().splitlines(keepends=True)
    out.unlink()
    journal.write_bytes(b"".join(kept[:4]) + kept[4][:40])  # killed in the middle of a line
    result = run_batch(job, list(reversed(items))[:5], out, SERIAL)
    assert (result.done_before, result.kept) == (2, 1)
    result = run_batch(job, items, out, SERIAL)
    assert (result.done_before, result.costs.files) == (6, 0)
    assert out.read_bytes() == whole
    clips = parts / "clips"
    other = write_video(tmp_path / "new.mp4", 9, fps=10)
    result = run_batch(job, batch_items([other, clips / "1.mp4"]), out, SERIAL)
    assert (result.done_before, result.kept) == (1, 5)
    assert [Path(row["path"]).name for row in lines(out)[:2]] == ["new.mp4", "1.mp4"]
    assert len(lines(out)) == 7


def test_changed_files_are_done_again_and_failed_ones_on_request(
    job: BatchJob, tmp_path: Path
) -> None:
    clip, bad = write_video(tmp_path / "a.mp4", 6, fps=10), tmp_path / "b.mp4"
    bad.write_text("no video")
    items, out = batch_items([clip, bad]), tmp_path / "o.jsonl"
    first = run_batch(job, items, out, SERIAL)
    assert (first.costs.files, first.num_failed) == (2, 1)
    assert run_batch(job, items, out, SERIAL, retry_failed=True).costs.files == 1
    before = lines(out)
    write_video(clip, 30, fps=10)
    second = run_batch(job, items, out, SERIAL)
    assert (second.costs.files, second.done_before) == (1, 1)
    assert lines(out)[0] != before[0]
    assert len(lines(out)) == 2


@pytest.mark.slow
def test_other_options_and_foreign_files_are_refused(
    parts: Path, job: BatchJob, tmp_path: Path
) -> None:
    items, out = batch_items([parts / "clips" / "0.mp4"]), tmp_path / "a.jsonl"
    run_batch(job, items, out, SERIAL)
    before = out.read_bytes()
    for changed in ({"top_k": 2}, {"num_views": 2}, {"rows": "events"}):
        with pytest.raises(UserError, match=f"{next(iter(changed))} .*--restart"):
            run_batch(replace(job, **changed), items, out, SERIAL)
    assert out.read_bytes() == before
    run_batch(replace(job, top_k=2), items, out, SERIAL, restart=True)
    assert len(lines(out)[0]["labels"]) == 2
    foreign = tmp_path / "theirs.parquet"
    foreign.write_bytes(b"PAR1")
    with pytest.raises(UserError, match="--overwrite"):
        run_batch(job, items, foreign, SERIAL)
    assert foreign.read_bytes() == b"PAR1"
    run_batch(job, items, foreign, SERIAL, overwrite=True)
    assert parquet.read_table(foreign).num_rows == 1
    (tmp_path / "b.jsonl.progress.jsonl").write_text("mine\n")
    with pytest.raises(UserError, match="not written by vmf batch"):
        run_batch(job, items, tmp_path / "b.jsonl", SERIAL)


def test_parts_of_a_file_are_rows_of_their_own(parts: Path, job: BatchJob, tmp_path: Path) -> None:
    clip = write_video(tmp_path / "long.mp4", 40, fps=10)
    listing = tmp_path / "l.csv"
    listing.write_text(f"path,start_seconds,end_seconds\n{clip},0,1\n{clip},2,4\n{clip},90,\n")
    items = batch_items([listing])
    run_batch(job, items, tmp_path / "o.parquet", SERIAL)
    rows = parquet.read_table(tmp_path / "o.parquet").to_pylist()
    assert [row["start_seconds"] for row in rows] == [0.0, 2.0, 90.0]
    assert [row["duration_seconds"] for row in rows] == [pytest.approx(1), pytest.approx(2), None]
    assert "90 s" in rows[2]["error"]
    with pytest.raises(UserError, match="whole files"):
        run_batch(replace(job, rows="events"), items, tmp_path / "e.jsonl", SERIAL)


@pytest.mark.slow
def test_workers_that_end_are_replaced(parts: Path, tmp_path: Path) -> None:
    items = batch_items([parts / "clips"])
    tame = deadly_job(parts / "model", tmp_path / "tame", 0)
    run_batch(tame, items, tmp_path / "serial.jsonl", SERIAL)
    once = deadly_job(parts / "model", tmp_path / "once", 1)
    run_batch(once, items, tmp_path / "once.jsonl", LocalEngine(2))
    assert len(list((tmp_path / "once").iterdir())) == 1
    assert (tmp_path / "once.jsonl").read_bytes() == (tmp_path / "serial.jsonl").read_bytes()
    twice = deadly_job(parts / "model", tmp_path / "twice", 99)
    # Two in a forward pass: the neighbour of the deadly one has its row all the same.
    run_batch(twice, items, tmp_path / "twice.jsonl", LocalEngine(2, 2))
    rows, wanted = lines(tmp_path / "twice.jsonl"), lines(tmp_path / "serial.jsonl")
    for row, want in zip(rows, wanted, strict=True):
        if "white" in row["path"]:
            assert "signal 9" in row["error"]
            assert "twice" in row["error"]
        else:
            assert row.keys() == want.keys()
            assert row.get("scores", []) == pytest.approx(want.get("scores", []), abs=1e-5)
    assert len(list((tmp_path / "twice").iterdir())) == 2


def test_costs_are_those_of_the_rate_since_the_first_row() -> None:
    now = [0.0]
    meter = Meter(100, cores=4, dollars_per_core_hour=0.5, clock=lambda: now[0])
    row = EncodedRow("a", "{}", 36.0, False)
    now[0] = 50.0  # workers start
    meter.add([row])
    now[0] = 60.0
    meter.add([row] * 10)
    costs = meter.costs()
    assert costs.seconds_left == pytest.approx(89)  # a second a file
    assert costs.video_hours == pytest.approx(0.11)
    assert costs.total_video_hours == pytest.approx(1.0)
    assert costs.total_core_hours == pytest.approx(4 * 149 / 3600)
    assert costs.total_dollars == pytest.approx(0.5 * 4 * 149 / 3600)
    assert "11 of 100 files" in costs.line()
