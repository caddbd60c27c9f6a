"""The accuracy benchmark: budgets are matched, runs learn and are kept, tables say what was run."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

FOLDER = Path(__file__).parents[2] / "benchmarks" / "accuracy"
MODULES = ("record", "networks", "clip_sets", "learning", "summary", "run")


class Benchmark:
    """The modules of the folder, which import each other by their bare names."""

    def __getattr__(self, name: str) -> ModuleType:
        return importlib.import_module(name)


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(FOLDER)
    for name in MODULES:  # other tests have a module of the same bare name
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield Benchmark()
    for name in MODULES:
        sys.modules.pop(name, None)


def bright_or_dark(benchmark: Any) -> Any:
    """Two classes that a few steps tell apart."""
    labels = torch.arange(32) % 2
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 100, (32, 16, 3, 40, 48), generator=generator, dtype=torch.uint8)
    clips = noise + (150 * labels.to(torch.uint8)).view(-1, 1, 1, 1, 1)
    some = benchmark.clip_sets.ClipSet(clips, labels)
    return benchmark.clip_sets.Task("drawn", ("dark", "bright"), ("one", "one"), some, some, False)


@pytest.mark.slow
@pytest.mark.parametrize("size", [48, 64, 112])
def test_networks_of_a_budget_cost_the_same(benchmark: Any, size: int) -> None:
    for budget, entries in benchmark.networks.BUDGETS[size].items():
        costs = [entry.cost(24)["macs_per_view"] for entry in entries]
        assert len(costs) >= 4
        assert all(0.85 <= cost / costs[0] <= 1.2 for cost in costs), (budget, costs)


@pytest.mark.slow
def test_ablations_change_one_thing_each(benchmark: Any) -> None:
    entries = benchmark.networks.ablations(64)
    assert len({entry.row for entry in entries}) == len(entries) == 13
    costs = [entry.cost(5)["macs_per_view"] for entry in entries[:2]]
    assert costs[1] < costs[0], "without tokens it is cheaper"


@pytest.mark.slow
def test_drawn_clips_are_kept_for_the_next_run(
    benchmark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = benchmark.clip_sets
    settings = {"families": ("long_range",), "num_train": 6, "num_test": 4}
    first = sets.procedural_task(48, tmp_path, **settings)
    assert first.train.clips.shape == (6, sets.FRAMES_KEPT[48], 3, 60, 60)
    assert len(first.class_names) == 8
    monkeypatch.setattr(sets, "_draw", None)  # it would be called if they had not been kept
    again = sets.procedural_task(48, tmp_path, **settings)
    assert first.train.labels.tolist() == again.train.labels.tolist()
    assert (first.train.clips == again.train.clips).all()
    assert not (first.test.clips[:4] == first.train.clips[:4]).all()


def test_frames_are_drawn_from_equal_segments(benchmark: Any) -> None:
    chosen = benchmark.learning.chosen
    assert chosen(16, 4, None).tolist() == [2, 6, 10, 14]
    assert chosen(16, 16, None).tolist() == list(range(16))
    drawn = torch.stack([chosen(16, 5, torch.Generator().manual_seed(i)) for i in range(200)])
    edges = torch.arange(5) * 16 / 5
    assert (drawn >= edges.floor()).all()
    assert (drawn < edges + 16 / 5).all()
    assert all(len(column.unique()) >= 3 for column in drawn.T)


@pytest.mark.slow
def test_a_run_learns_and_is_the_same_again(benchmark: Any) -> None:
    task = bright_or_dark(benchmark)
    entry = benchmark.networks.Entry("small", "vmf_500m", 2, 32)
    learn, usual = benchmark.learning.train, benchmark.learning.schedule_of(task, 8)
    long, short = (type(usual)(n, 8, usual.optim, usual.augment) for n in (8, 1))
    found = learn(entry, task, long, 1, "cpu")
    assert found["top1"] > 0.9
    assert found["families"] == {"one": found["top1"]}
    assert [point["step"] for point in found["curve"]] == [8, 16, 24, 32]
    one, again = (learn(entry, task, short, 0, "cpu") for _ in range(2))
    assert one["train_loss"] == again["train_loss"]
    assert one["correct"] == again["correct"]


def made_up(row: str, seed: int, top1: float, minutes: float) -> dict[str, Any]:
    curve = [{"step": 1, "minutes": minutes / 2, "top1": 0.5}]
    curve += [{"step": 2, "minutes": minutes, "top1": top1}]
    about = {"row": row, "data": "d", "seed": seed, "epochs": 1, "clips": None}
    cost = {"num_frames": 8, "size": 64, "macs_per_view": 2e7, "parameters": 2e6}
    result = {"top1": top1, "minutes": minutes, "curve": curve, "families": None}
    return {**about, **cost, **result, "device": "cpu"}


def test_kept_runs_are_not_repeated_and_a_cut_line_is_excluded(
    benchmark: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "compare-64.jsonl"
    benchmark.record.add(path, made_up("vmf (1g)", 0, 0.9, 2.0))
    benchmark.record.add(path, made_up("X3D (1g)", 0, 0.8, 4.0))
    with path.open("a") as stream:
        stream.write('{"row": "vmf')
    runs = benchmark.record.read(path)
    assert "line 3: cut off" in capsys.readouterr().err
    assert [benchmark.record.key_of(run)[0] for run in runs] == ["vmf (1g)", "X3D (1g)"]
    other = benchmark.record.key_of({**runs[0], "lr": 1e-3})
    assert other != benchmark.record.key_of(runs[0]), "another rate is another run"
    assert runs[0]["processor"]
    assert runs[0]["torch"] == torch.__version__
    benchmark.record.add(path, made_up("light CNN (1g)", 0, 0.8, 4.0))
    assert len(benchmark.record.read(path)) == 3, "a run after a cut line stands on its own"


@pytest.mark.slow
def test_tables_and_picture_say_what_was_measured(benchmark: Any, tmp_path: Path) -> None:
    runs = [made_up("vmf (1g)", seed, top1, 2.0) for seed, top1 in ((0, 0.8), (1, 0.9))]
    runs += [made_up("X3D (1g)", seed, 0.75, 4.0) for seed in (0, 1)]
    lines = benchmark.summary.table(runs)
    assert lines == benchmark.summary.table(runs[::-1]), "whoever was run first"
    assert len(lines) == 4
    assert "| vmf (1g) | 8×64² | 20.0 | 2.00 | 85.0 ± 7.1 | 2 | – | 2.0 | 85.0 ± 7.1 |" in lines
    # Half-way through its training, which took twice as long.
    assert lines[3].endswith("| 75.0 ± 0.0 | 2 | -10.0 ± 7.1 | 4.0 | 50.0 ± 0.0 |")
    benchmark.summary.draw({"a set": runs}, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 5000


def test_the_command_lists_what_is_left(
    benchmark: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(benchmark.record, "RESULTS", tmp_path)
    words = ["run.py", "compare", "--data", "a/clips.csv", "--seeds", "3", "--list"]
    monkeypatch.setattr(sys, "argv", words)
    benchmark.run.main()
    left = capsys.readouterr().out.splitlines()
    assert [line.split("seed")[0].split("(")[0].strip() for line in left] == [
        f"a                     {name}" for name in ("vmf", "light CNN", "X3D", "MoViNet")
    ]
    about = {"row": "vmf (1g)", "data": "a", "seed": 3, "epochs": 20, "clips": None}
    for device, count in (("cuda", 4), ("cpu", 3)):
        line = json.dumps({**about, "device": device})
        (tmp_path / "compare-64.jsonl").write_text(line + "\n")
        benchmark.run.main()
        assert len(capsys.readouterr().out.splitlines()) == count
