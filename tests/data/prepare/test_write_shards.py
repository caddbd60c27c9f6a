from __future__ import annotations

import dataclasses
import json
import os
import tarfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from video_files import numbered_frame, read_number, write_video
from video_mobile_former.cli.main import main
from video_mobile_former.clip_spec import ClipSpec
from video_mobile_former.data.index.clip import Clip, Event
from video_mobile_former.data.index.formats.shard_list import Shard, ShardList
from video_mobile_former.data.index.index import ClipIndex, load_index
from video_mobile_former.data.index.quarantine import read_quarantine
from video_mobile_former.data.index.source import DataSource
from video_mobile_former.data.loading.dataset import ClipDataset
from video_mobile_former.data.loading.loader import ClipLoader, make_loader
from video_mobile_former.data.prepare.settings import ShardSettings
from video_mobile_former.data.prepare.write_shards import write_shards
from video_mobile_former.data.video.reader import VideoReader
from video_mobile_former.errors import DataError, UserError

ENDINGS = ("mp4", "avi", "mkv")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirteen clips; the first frame of each carries its number."""
    folder = tmp_path_factory.mktemp("data")
    lines = ["path,label,split,group"]
    for i in range(13):
        ending = ENDINGS[i % 3]
        write_video(folder / f"c{i}.{ending}", [numbered_frame(i)] * (i + 1))
        lines.append(f"c{i}.{ending},{'ab'[i % 2]},{('train', 'train', 'val')[i % 3]},g{i // 4}")
    (folder / "clips.csv").write_text("\n".join(lines) + "\n")
    return folder


def content(index: ClipIndex) -> dict[str, tuple]:
    """What the clips are, by name."""
    out = {}
    for clip in index.clips:
        with VideoReader(clip.path, offset=clip.offset, size=clip.size) as reader:
            times = reader.timestamps()
            number = read_number(reader.frames([0])[0].permute(1, 2, 0).numpy())
        labels = [index.class_names[label] for label in clip.labels]
        out[clip.name] = (labels, clip.split, clip.group, len(times), number)
    assert len(out) == len(index)
    return out


@pytest.mark.slow
def test_round_trip(data: Path, tmp_path: Path):
    index = load_index(str(data / "clips.csv"))
    out = tmp_path / "out"
    result = write_shards(index, out, ShardSettings(clips_per_shard=4))
    assert (result.clips, result.failures) == (13, ())
    assert result.bytes == sum(path.stat().st_size for path in out.glob("*.tar"))
    for named in (out, out / "shards.json"):
        again = load_index(str(named))
        assert again.class_names == index.class_names
        assert content(again) == content(index)
        assert again.source == str(named)
    # One split in each shard, and at most four clips.
    for file in {clip.path for clip in again.clips}:
        inside = [clip for clip in again.clips if clip.path == file]
        assert len(inside) <= 4
        assert len({clip.split for clip in inside}) == 1
    numbers = again.table.shard
    assert numbers is not None
    pairs = {(number, clip.path) for number, clip in zip(numbers, again.clips, strict=True)}
    assert len(pairs) == len(set(numbers)) == result.shards
    assert index.table.shard is None


def test_processes_and_workers_share_the_clips_and_resume(data: Path, tmp_path: Path):
    write_shards(load_index(str(data / "clips.csv")), tmp_path, ShardSettings(clips_per_shard=3))
    index = load_index(str(tmp_path))
    spec = ClipSpec(num_frames=2, crop_size=16, resize_size=16)

    def loader(rank: int, workers: int) -> ClipLoader:
        return make_loader(
            ClipDataset(index, spec, train=True, seed=3),
            batch_size=2,
            num_workers=workers,
            drop_last=False,
            rank=rank,
            world_size=2,
            shuffle="shards",
            shard_window=2,
        )

    alone = [[batch["indices"].tolist() for batch in loader(rank, 0)] for rank in (0, 1)]
    drawn = Counter(clip for batches in alone for clips in batches for clip in clips)
    assert set(drawn) == set(range(13))
    assert drawn.total() == 14  # one twice, so that both processes have as many
    helped = loader(1, 2)
    seen, state = [], {}
    for batch in helped:
        seen.append((batch["indices"].tolist(), batch["clips"].sum().item()))
        if len(seen) == 2:
            state = helped.state_dict()
    assert [clips for clips, _ in seen] == alone[1]
    resumed = loader(1, 0)
    resumed.load_state_dict(state)
    rest = [(batch["indices"].tolist(), batch["clips"].sum().item()) for batch in resumed]
    assert rest == seen[2:]


def test_tars_read_without_their_list(data: Path, tmp_path: Path):
    index = load_index(str(data / "clips.csv"))
    write_shards(index, tmp_path, ShardSettings(clips_per_shard=5))
    count = len(list(tmp_path.glob("*.tar")))
    again = load_index(f"{tmp_path}/shard-{{000000..{count - 1:06d}}}.tar")
    known = {number: rest for *rest, number in content(index).values()}
    assert {number: rest for *rest, number in content(again).values()} == known
    assert {clip.name[-8:] for clip in again.clips} == {f"{i:08d}" for i in range(13)}
    assert again.clips[0].name.startswith("shard-000000.tar/")


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # it leaves files open
def test_other_libraries_read_them(data: Path, tmp_path: Path):
    webdataset = pytest.importorskip("webdataset")
    index = load_index(str(data / "clips.csv"))
    write_shards(index, tmp_path, ShardSettings(clips_per_shard=20))
    files = sorted(str(path) for path in tmp_path.glob("*.tar"))
    samples = list(webdataset.WebDataset(files, shardshuffle=False, empty_check=False))
    assert len(samples) == 13
    for sample in samples:
        described = json.loads(sample["json"])
        ending = described["name"].rpartition(".")[2]
        assert sample[ending] == (data / described["name"]).read_bytes()
        clip = next(clip for clip in index.clips if clip.name == described["name"])
        assert described["label_name"] == index.class_names[clip.label]
        assert described["label"] == clip.label
        assert (described["split"], described["group"]) == (clip.split, clip.group)


def test_the_same_input_gives_the_same_bytes(data: Path, tmp_path: Path):
    index = load_index(str(data / "clips.csv"))
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write_shards(index, tmp_path / name, ShardSettings(clips_per_shard=20, seed=seed))
    first = (tmp_path / "a" / "shard-000000.tar").read_bytes()
    assert (tmp_path / "b" / "shard-000000.tar").read_bytes() == first
    assert (tmp_path / "c" / "shard-000000.tar").read_bytes() != first


def test_only_what_is_missing_or_changed_is_made_again(data: Path, tmp_path: Path):
    index, settings = load_index(str(data / "clips.csv")), ShardSettings(clips_per_shard=3)
    made = write_shards(index, tmp_path, settings)
    assert write_shards(index, tmp_path, settings).reused == made.shards
    before = (tmp_path / "shards.json").read_text()
    (tmp_path / "shard-000001.tar").write_bytes(b"cut")
    (tmp_path / "shard-000002.tar").unlink()
    (tmp_path / "shards.json").unlink()
    with pytest.raises(DataError, match="not finished"):
        load_index(str(tmp_path))
    assert write_shards(index, tmp_path, settings).reused == made.shards - 2
    assert (tmp_path / "shards.json").read_text() == before
    # With fewer clips other shards are planned; those of before that are too many go.
    fewer = dataclasses.replace(index, clips=index.clips[:6])
    left = write_shards(fewer, tmp_path, settings)
    assert left.clips == 6
    assert len(list(tmp_path.glob("*.tar"))) == left.shards < made.shards
    assert len(load_index(str(tmp_path))) == 6
    with pytest.raises(UserError, match="made with clips_per_shard 3, not 2"):
        write_shards(index, tmp_path, ShardSettings(clips_per_shard=2))


@pytest.fixture
def multi(data: Path) -> ClipIndex:
    """Clips with two classes, one and none, one of them a part of its file."""
    rows = ["path,label,start_seconds,end_seconds", "c0.mp4,a|b,,", "c3.mp4,a,0,0.1", "c6.mp4,,,"]
    (data / "multi.csv").write_text("\n".join(rows) + "\n")
    return load_index(DataSource(str(data / "multi.csv"), multi_label=True))


def test_several_labels_parts_and_strange_names(data: Path, multi: ClipIndex, tmp_path: Path):
    strange = os.fsdecode(os.fsencode(data / "b") + b"\xff.mp4")
    Path(strange).write_bytes((data / "c0.mp4").read_bytes())
    clip = dataclasses.replace(multi.clips[0], path=strange, name="b\udcff.mp4")
    index = dataclasses.replace(multi, clips=[*multi.clips, clip])
    write_shards(index, tmp_path / "out")
    again = load_index(str(tmp_path / "out"))
    assert again.multi_label
    assert content(again) == content(index)
    part = next(clip for clip in again.clips if clip.name == "c3.mp4")
    assert (part.start_seconds, part.end_seconds) == (0.0, 0.1)
    file = next((tmp_path / "out").glob("*.tar"))
    assert load_index(str(file)).multi_label


def test_what_fails_is_named_and_nothing_else_is_lost(data: Path, tmp_path: Path):
    index = load_index(str(data / "clips.csv"))
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "frames").mkdir()
    more = [
        dataclasses.replace(index.clips[0], path=str(tmp_path / name), name=name)
        for name in ("gone.mp4", "empty.mp4", "frames")
    ]
    index = dataclasses.replace(index, clips=[*index.clips, *more])
    result = write_shards(index, tmp_path / "out")
    failed = dict(result.failures)
    assert set(failed) == {"gone.mp4", "empty.mp4", "frames"}
    assert failed["empty.mp4"] == "the file is empty"
    assert "prepare" in failed["frames"]
    assert set(read_quarantine(tmp_path / "out" / "failed.txt")) == set(failed)
    assert len(load_index(str(tmp_path / "out"))) == 13


def test_command(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    words = ["data", "shard", str(data / "clips.csv"), "--out", str(tmp_path / "out")]
    assert main([*words, "--clips_per_shard", "7"]) == 0
    shown = capsys.readouterr().out
    assert "clips   13 in 3 shards" in shown
    assert f"next    vmf train --data {tmp_path / 'out'}" in shown
    assert main([*words, "--clips_per_shard", "7", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["reused"] == 3
    (tmp_path / "out.txt").write_text("c3.mp4\tdull\nc12.mp4\n")
    words[4] = str(tmp_path / "fewer")
    capsys.readouterr()
    assert main([*words, "--quarantine", str(tmp_path / "out.txt"), "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["clips"] == 11
    assert f"2 of 13 clips are excluded by {tmp_path / 'out.txt'}" in captured.err
    (tmp_path / "out.txt").write_text("c3.mp4\n")
    assert main([*words, "--quarantine", str(tmp_path / "out.txt"), "--max_mb", "1"]) == 2
    assert f"1 of 13 clips is excluded by {tmp_path / 'out.txt'}" in capsys.readouterr().err
    (tmp_path / "out.txt").write_text("".join(f"c{i}.{e}\n" for i in range(13) for e in ENDINGS))
    assert main([*words, "--quarantine", str(tmp_path / "out.txt")]) == 2
    for option, value in (("--max_mb", "0"), ("--clips_per_shard", "0"), ("--num_workers", "0")):
        assert main([*words, option, value]) == 2


def test_sizes_are_kept_below_the_limit(data: Path, tmp_path: Path):
    index = load_index(str(data / "clips.csv"))
    total = sum((data / clip.name).stat().st_size for clip in index.clips)
    result = write_shards(index, tmp_path, ShardSettings(max_mb=total / 3e6))
    assert result.shards >= 3
    for path in tmp_path.glob("*.tar"):
        with tarfile.open(path) as tar:
            members = tar.getmembers()
        inside = sum(512 + -(-member.size // 512) * 512 for member in members)
        assert inside <= total / 3 or len(members) == 2


names = st.text(st.characters(codec="utf-8") | st.just("\udcff"), max_size=8)
clips = st.builds(
    Clip,
    path=st.just(""),
    name=names,
    offset=st.integers(0, 2**40),
    size=st.integers(0, 2**40),
    labels=st.lists(st.integers(0, 2), max_size=3).map(tuple),
    group=st.none() | names,
    start_seconds=st.none() | st.floats(0, 1e6),
    end_seconds=st.none() | st.floats(0, 1e6),
    events=st.lists(
        st.builds(Event, st.floats(0, 9), st.floats(9.5, 99), st.integers(0, 2)), max_size=2
    ).map(tuple),
)


def _shard(file: str, bytes: int, split: str | None, clips: list[Clip[int]]) -> Shard:
    inside = (dataclasses.replace(clip, path=file, split=split) for clip in clips)
    return Shard(file, bytes, split, tuple(inside))


shard = st.builds(
    _shard,
    file=names,
    bytes=st.integers(0, 2**40),
    split=st.sampled_from([None, "train", "val", "test"]),
    clips=st.lists(clips, max_size=4),
)


@pytest.mark.slow
@settings(deadline=None, max_examples=25)
@given(st.lists(shard, max_size=3).map(tuple), st.booleans())
def test_a_list_of_shards_survives_writing(shards: tuple[Shard, ...], multi_label: bool):
    listed = ShardList(("a", "b", "ü"), multi_label, shards)
    assert ShardList.loads(listed.dumps().encode(), "x") == listed


_OUT_OF_RANGE = """{"format": 1, "class_names": ["a"], "multi_label": false, "shards": [
{"file": "x", "bytes": 1, "split": null,
"clips": {"name": ["n"], "offset": [0], "size": [1], "labels": [[1]]}}]}"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no list of shards"),
        ("[]", "no list of shards"),
        ('{"format": 2}', "has format 2, and this version reads 1"),
        ('{"format": 1, "class_names": ["a"], "multi_label": false, "shards": [{}]}', "damaged"),
        (_OUT_OF_RANGE, "damaged"),
    ],
)
def test_a_damaged_list_is_said(tmp_path: Path, text: str, message: str):
    (tmp_path / "shards.json").write_text(text)
    with pytest.raises(DataError, match=message):
        load_index(str(tmp_path))
