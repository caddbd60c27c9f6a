"""Adding a data format from outside the package: the whole of it, as an example to copy.

A data set of games is described by one JSON file a game, with what happens when. A format is a
function that yields a :class:`Clip` for each of them and an entry in ``FORMATS``; index, splits,
loader, check, prepare and shards then take ``format: games``, and its name stands in the help.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from video_files import write_video
from video_mobile_former.clip_spec import ClipSpec
from video_mobile_former.data.index.clip import Clip, Event
from video_mobile_former.data.index.formats import FORMATS
from video_mobile_former.data.index.index import ClipIndex, load_index
from video_mobile_former.data.index.source import DataSource, Faults, Format
from video_mobile_former.data.loading.dataset import ClipDataset
from video_mobile_former.data.loading.loader import make_loader
from video_mobile_former.data.prepare.prepare import prepare
from video_mobile_former.data.prepare.write_shards import write_shards
from video_mobile_former.errors import DataError

# The format -----------------------------------------------------------------------------------


def game_rows(source: DataSource, faults: Faults) -> Iterator[Clip[str]]:
    """Yield the games of a folder; what is wrong with one is told, and the others go on."""
    for listing in sorted(source.folder.glob("*.json")):
        game = json.loads(listing.read_text())
        try:
            events = tuple(Event(begin, end, what) for begin, end, what in game["events"])
        except ValueError as error:
            faults.add("malformed", str(listing), str(error), game["video"])
            continue
        yield Clip(
            path=str(source.folder.absolute() / game["video"]),
            labels=tuple(sorted({event.label for event in events})),
            name=game["video"],
            listing=str(listing),
            split=game["part"],
            group=game["teams"],
            events=events,
        )


GAMES = Format(game_rows, "one JSON file a game, with its events", multi_label=True)

# What works with it -----------------------------------------------------------------------------

TIMES = [(0.0, 0.4, "pass"), (0.5, 1.5, "goal")]
SPEC = ClipSpec(num_frames=4, crop_size=16, resize_size=16)


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FORMATS, "games", GAMES)  # in a program: FORMATS["games"] = GAMES


@pytest.fixture
def games(tmp_path: Path) -> Path:
    folder = tmp_path / "games"
    for i, events in enumerate([TIMES, [], TIMES[1:]]):
        write_video(folder / f"{i}.mp4", 40)
        part = "val" if i == 2 else "train"
        game = {"video": f"{i}.mp4", "part": part, "teams": f"{i} against 9", "events": events}
        (folder / f"{i}.json").write_text(json.dumps(game))
    return folder


def told(index: ClipIndex) -> dict[str, list[tuple[float, float, str]]]:
    return {
        Path(clip.name).stem: [
            (event.start_seconds, event.end_seconds, index.class_names[event.label])
            for event in clip.events
        ]
        for clip in index.clips
    }


def test_events_come_from_the_row_to_the_batch(games: Path):
    index = load_index(DataSource(str(games), format="games"))
    assert index.class_names == ("goal", "pass")
    assert told(index) == {"0": TIMES, "1": [], "2": TIMES[1:]}
    assert told(index.split("val")) == {"2": TIMES[1:]}
    back = ClipIndex(index.table.take(np.array([2, 0])), index.class_names, index.source)
    assert told(back) == {"2": TIMES[1:], "0": TIMES}

    dataset = ClipDataset(index, SPEC, train=False, num_views=2)
    for num_workers in (0, 1):
        (batch,) = make_loader(dataset, batch_size=3, num_workers=num_workers)
        assert "records" in batch
        assert "frame_seconds" in batch
        assert batch["labels"].tolist() == [[1, 1], [0, 0], [1, 0]]
        assert batch["records"] == list(index.clips)
        assert batch["records"][2].events == (Event(0.5, 1.5, 0),)
        seconds = batch["frame_seconds"]
        assert seconds.shape == (3, 2, 4)
        # Which frames show a goal: what a head that finds events in time is trained on.
        goal = batch["records"][2].events[0]
        shown = (goal.start_seconds <= seconds[2]) & (seconds[2] < goal.end_seconds)
        assert shown.any()
        assert not shown.all()


def test_times_are_those_of_the_frames(games: Path):
    """Repeats and crops show the same frames; a number drawn into each says which it is."""
    index = load_index(DataSource(str(games), format="games"))
    crops = ClipDataset(index, SPEC, train=False, num_views=2, num_crops=3)[0]
    assert not hasattr(crops, "reason")
    seconds = crops["frame_seconds"]  # type: ignore[index]
    assert seconds.shape == (6, 4)
    assert torch.equal(seconds[0], seconds[2])
    assert (seconds[3] != seconds[2]).any()
    assert (seconds.diff(dim=1) > 0).all()
    repeats = ClipDataset(index, SPEC, train=True, repeats=2)[0]
    assert repeats["clip"].shape[0] == 2  # type: ignore[index]
    assert torch.equal(*repeats["frame_seconds"])  # type: ignore[index]


def test_events_survive_shards_and_prepare(games: Path, tmp_path: Path):
    index = load_index(DataSource(str(games), format="games"))
    write_shards(index, tmp_path / "shards", num_workers=1)
    prepare(index, tmp_path / "prepared", num_workers=1)
    for copy in ("shards", "prepared"):
        again = load_index(str(tmp_path / copy))
        assert told(again) == told(index)
        assert again.class_names == index.class_names
        assert again.splits() == index.splits()
    (tmp_path / "shards" / "shards.json").unlink()
    (tmp_path / "shards" / "sharding.json").unlink()
    headers = load_index(str(tmp_path / "shards"))  # from the JSON beside each video
    assert sorted(told(headers).values()) == sorted(told(index).values())


def test_a_wrong_event_is_a_fault_of_its_clip(games: Path):
    game = json.loads((games / "0.json").read_text())
    (games / "0.json").write_text(json.dumps({**game, "events": [(2.0, 1.0, "goal")]}))
    with pytest.raises(DataError, match=r"0\.json: .*2 s to 1 s"):
        load_index(DataSource(str(games), format="games"))
    faults = Faults(collect=True)
    rest = load_index(DataSource(str(games), format="games"), faults=faults)
    assert [clip.name for clip in rest.clips] == ["1.mp4", "2.mp4"]
    assert [fault.name for fault in faults.found] == ["0.mp4"]
