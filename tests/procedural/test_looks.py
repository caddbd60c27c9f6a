"""Random numbers, patterns, outlines and files."""

import csv
from pathlib import Path

import pytest
import torch

from video_mobile_former.data.index.index import load_index
from video_mobile_former.errors import DataError, UserError
from video_mobile_former.procedural import ProceduralSpec, write_procedural
from video_mobile_former.procedural.draws import Draws
from video_mobile_former.procedural.shapes import SPRITE, draw_masks
from video_mobile_former.procedural.sheet import write_sheets
from video_mobile_former.procedural.textures import PATTERNS, SIDE, draw_bank

TINY = ProceduralSpec(families=("order",), size=32)


def test_draws_are_uniform_and_unrelated():
    draws = Draws.of(0, 0, torch.arange(2000))
    values = draws.uniform(6)
    assert 0 <= float(values.min()) < float(values.max()) < 1
    assert (values.mean(0) - 0.5).abs().max() < 0.03
    both = torch.corrcoef(torch.cat([values, draws.fork("other").uniform(6)], 1).T)
    assert (both - torch.eye(12)).abs().max() < 0.1
    neighbours = torch.corrcoef(torch.stack([values[1:, 0], values[:-1, 0]]))[0, 1]
    assert abs(float(neighbours)) < 0.1
    assert draws.whole(1, high=3).unique().tolist() == [0, 1, 2]
    assert abs(float(draws.normal(1).std()) - 1) < 0.08


def test_patterns_are_tiles_of_equal_strength():
    bank = draw_bank(Draws.of(0, 0, torch.arange(2 * len(PATTERNS))))
    assert bank.shape == (2 * len(PATTERNS), 2, SIDE, SIDE)
    assert 0 <= float(bank.min()) < float(bank.max()) <= 1
    assert bool((bank.std((2, 3)) > 0.1).all())
    for dim in (2, 3):  # the seam is no rougher than what lies inside
        inside = bank.diff(dim=dim).abs().mean((2, 3))
        seam = (bank.select(dim, 0) - bank.select(dim, -1)).abs().mean(2)
        assert bool((seam < 3 * inside + 0.02).all())


def test_natural_patterns_have_falling_spectra():
    draws = Draws.of(0, 0, torch.arange(8))
    power = torch.fft.rfft2(PATTERNS["natural"](draws)).abs().square().mean(0)
    assert power[1:4, 1:4].mean() > 30 * power[24:40, 24:40].mean()


def test_outlines_look_different_when_turned():
    masks = draw_masks(Draws.of(0, 0, torch.arange(60)))[:, 0]
    assert masks.shape == (60, SPRITE, SPRITE)
    area = masks.mean((1, 2))
    assert bool((area > 0.1).all())
    turned = masks.flip(1, 2)
    assert bool(((masks - turned).abs().mean((1, 2)) > 0.02).all())


def test_written_clips_are_a_data_set(tmp_path: Path):
    path = write_procedural(tmp_path / "clips", TINY, {"train": 2, "test": 1}, seed=0)
    rows = list(csv.DictReader(path.read_text().splitlines()))
    index = load_index(path)
    assert len(rows) == len(index.clips) == 3 * len(index.class_names)
    assert {row["split"] for row in rows} == {"train", "test"}
    groups = {row["group"] for row in rows}
    assert len(groups) == 3
    one = tmp_path / "clips" / rows[0]["path"]
    before = one.read_bytes()
    one.unlink()
    write_procedural(tmp_path / "clips", TINY, {"train": 2, "test": 1}, seed=0)
    assert one.read_bytes() == before
    write_procedural(tmp_path / "clips", TINY, {"train": 1}, seed=1)
    assert len(list((tmp_path / "clips").rglob("*.mp4"))) == len(index.class_names)


def test_folders_of_others_and_wrong_numbers_are_refused(tmp_path: Path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="other things"):
        write_procedural(tmp_path, TINY, {"train": 1})
    with pytest.raises(UserError, match="clips_per_class"):
        write_procedural(tmp_path / "new", TINY, {})
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "procedural.json").write_text("{}")
    with pytest.raises(DataError, match="damaged"):
        write_procedural(damaged, TINY, {"train": 1})


def test_sheets_have_a_row_for_each_class(tmp_path: Path):
    from PIL import Image

    (path,) = write_sheets(tmp_path, TINY)
    assert path.name == "sheet-order.png"
    with Image.open(path) as picture:
        assert picture.height == 8 * 34
