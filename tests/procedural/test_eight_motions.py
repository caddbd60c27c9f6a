"""Synthetic clips: the class is in the motion, no frame shows it, files are whole and reusable."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from video_mobile_former.errors import DataError, UserError
from video_mobile_former.procedural import eight_motions
from video_mobile_former.procedural.eight_motions import MOTIONS, render_clip, write_dataset

SMALL = {"size": 32, "num_frames": 4, "fps": 8}


def render(motion: str, seed: int, num_frames: int = 8, size: int = 32) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return render_clip(motion, num_frames=num_frames, size=size, generator=generator)


def read(path: Path) -> Tensor:
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)


# One clip -----------------------------------------------------------------------------------


@settings(deadline=None, max_examples=30)
@given(
    motion=st.sampled_from(MOTIONS),
    seed=st.integers(0, 2**31),
    num_frames=st.integers(1, 9),
    size=st.integers(16, 40),
)
def test_shape_type_and_determinism(motion: str, seed: int, num_frames: int, size: int) -> None:
    clip = render(motion, seed, num_frames, size)
    assert clip.shape == (num_frames, 3, size, size)
    assert clip.dtype == torch.uint8
    assert torch.equal(clip, render(motion, seed, num_frames, size))
    assert clip[0].float().std() > 2  # something is drawn


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**31))
def test_motions_share_their_first_frame_and_differ_later(seed: int) -> None:
    clips = [render(motion, seed) for motion in MOTIONS]
    for clip in clips[1:]:
        assert torch.equal(clip[0], clips[0][0])
    for i, clip in enumerate(clips):
        for other in clips[:i]:
            assert (clip.float() - other.float()).abs().mean() > 0.3


def test_seeds_differ() -> None:
    assert not torch.equal(render("zoom_in", 1)[0], render("zoom_in", 2)[0])


@pytest.mark.parametrize(
    ("motion", "num_frames", "size", "named"),
    [("fly", 8, 32, "fly"), ("zoom_in", 0, 32, "num_frames"), ("zoom_in", 8, 15, "size")],
)
def test_arguments_out_of_range(motion: str, num_frames: int, size: int, named: str) -> None:
    with pytest.raises(UserError, match=named):
        render(motion, 0, num_frames, size)


def still_world(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop background and clutter, so that only the shapes move."""
    draw = eight_motions.draw_scene

    def draw_still(generator: torch.Generator) -> eight_motions.Scene:
        scene = draw(generator)
        scene.backdrop_travel.zero_()
        scene.clutter[:, 2:4] = 0
        scene.clutter[:, 4] = 0
        scene.backdrop.fill_(0.5)
        return scene

    monkeypatch.setattr(eight_motions, "draw_scene", draw_still)


@pytest.mark.parametrize(
    ("motion", "axis", "sign"),
    [("move_right", 2, 1), ("move_left", 2, -1), ("move_down", 1, 1), ("move_up", 1, -1)],
)
def test_moves_go_where_their_name_says(
    motion: str, axis: int, sign: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    still_world(monkeypatch)
    size = 64
    for seed in range(8):
        clip = render(motion, seed, num_frames=12, size=size).float()
        # The picture is a torus, so the shift that fits best is found by trying all.
        errors = torch.stack(
            [(clip[0].roll(shift, dims=axis) - clip[4]).abs().mean() for shift in range(size)]
        )
        shift = (int(errors.argmin()) + size // 2) % size - size // 2
        assert 4 <= sign * shift <= 24, (seed, shift)
        assert errors.min() < 0.35 * errors[0]


@pytest.mark.parametrize(("motion", "axis"), [("swing_horizontal", 2), ("swing_vertical", 1)])
def test_swings_go_out_and_come_back(
    motion: str, axis: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    still_world(monkeypatch)
    size = 64
    for seed in range(8):
        clip = render(motion, seed, num_frames=16, size=size).float()
        errors = torch.stack(
            [(clip[0].roll(shift, dims=axis) - clip[4]).abs().mean() for shift in range(size)]
        )
        assert 4 <= int(errors.argmin()) <= 24, seed
        # Time is mirrored about the middle frame, up to a rounding of the last bit.
        for t in range(1, 8):
            assert (clip[8 - t] - clip[8 + t]).abs().max() <= 1, (seed, t)


def central_shape(motion: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> Tensor:
    """A clip of one shape in the middle of a still picture, of middling size."""
    draw = eight_motions.draw_scene

    def draw_central(generator: torch.Generator) -> eight_motions.Scene:
        scene = draw(generator)
        scene.start[:, :2] = 0.5
        scene.start[:, 2] = 0
        scene.start[:, 3] = 0.4
        scene.sprites[1] = scene.sprites[0]  # both in one place: a single shape
        return scene

    monkeypatch.setattr(eight_motions, "draw_scene", draw_central)
    return render(motion, seed, num_frames=24, size=64).float()


def enlarged(picture: Tensor, scale: float) -> Tensor:
    """Enlarge by ``scale`` about the middle."""
    theta = torch.tensor([[[1 / scale, 0, 0], [0, 1 / scale, 0]]])
    grid = torch.nn.functional.affine_grid(theta, [1, *picture.shape], align_corners=False)
    return torch.nn.functional.grid_sample(
        picture[None], grid, padding_mode="border", align_corners=False
    )[0]


@pytest.mark.parametrize(
    ("motion", "scale"),
    [
        ("zoom_in", 1.2),
        ("zoom_out", 1 / 1.2),
    ],
)
def test_zooms_go_where_their_name_says(
    motion: str, scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    still_world(monkeypatch)
    for seed in range(8):
        with monkeypatch.context() as patch:
            clip = central_shape(motion, seed, patch)
        forward = (enlarged(clip[0], scale) - clip[4]).abs().mean()
        backward = (enlarged(clip[0], 1 / scale) - clip[4]).abs().mean()
        assert forward < backward, seed


# No frame shows the class -------------------------------------------------------------------


def statistics(frames: Tensor) -> Tensor:
    """What a look at single frames (N, 3, S, S) gives: a coarse picture, contrasts, edges."""
    frames = frames.float() / 255
    coarse = torch.nn.functional.adaptive_avg_pool2d(frames, 4).flatten(1)
    spread = torch.nn.functional.adaptive_avg_pool2d(frames**2, 2).flatten(1)
    across = (frames[..., 1:] - frames[..., :-1]).abs().mean((-2, -1))
    down = (frames[..., 1:, :] - frames[..., :-1, :]).abs().mean((-2, -1))
    skew = (frames[..., 1:, 1:] - frames[..., :-1, :-1]).abs().mean((-2, -1))
    # Difference of the two diagonals, and of centre and rim: where a turn or a zoom would show.
    other = (frames[..., 1:, :-1] - frames[..., :-1, 1:]).abs().mean((-2, -1))
    return torch.cat([coarse, spread, across, down, skew, other], 1)


def probe_accuracy(train: Tensor, test: Tensor) -> float:
    """Accuracy of ridge regression from features (N, classes, D) to the class."""
    mean, std = train.mean((0, 1)), train.std((0, 1)) + 1e-6
    classes = train.shape[1]

    def prepared(features: Tensor) -> Tensor:
        z = ((features - mean) / std).flatten(0, 1)
        return torch.cat([z, torch.ones(len(z), 1)], 1)

    x = prepared(train)
    y = torch.eye(classes).repeat(len(train), 1)
    weights = torch.linalg.solve(x.T @ x + 10 * torch.eye(x.shape[1]), x.T @ y)
    predicted = (prepared(test) @ weights).argmax(1)
    return (predicted == torch.arange(classes).repeat(len(test))).float().mean().item()


def different_clips(number: int, num_frames: int) -> Tensor:
    """(number, 8, T, 3, S, S), distinct scenes, so that nothing is alike by construction."""
    return torch.stack(
        [
            torch.stack([render(m, 8 * i + k, num_frames, 32) for k, m in enumerate(MOTIONS)])
            for i in range(number)
        ]
    )


@pytest.fixture(scope="module")
def many_clips() -> Tensor:
    return different_clips(260, num_frames=6)


@pytest.mark.slow
@pytest.mark.parametrize("frame", [0, 3, 5])
def test_probe_on_one_frame_is_at_chance(many_clips: Tensor, frame: int) -> None:
    features = statistics(many_clips[:, :, frame].flatten(0, 1)).unflatten(0, (-1, len(MOTIONS)))
    accuracy = probe_accuracy(features[:160], features[160:])
    # 800 trials at 1/8: one standard deviation is 0.012.
    assert 0.125 - 0.047 < accuracy < 0.125 + 0.047


def test_same_probe_sees_the_class_in_two_frames() -> None:
    """The probe is no straw man: given the motion, it does better than chance."""
    frames = different_clips(80, num_frames=6).float()
    first, second = frames[:, :, 0], frames[:, :, 1]
    # Products of a frame with its shifted successor: the simplest detector of direction.
    products = [
        (first * second.roll(shift, dims=axis)).mean((-3, -2, -1))
        for axis in (-1, -2)
        for shift in (-5, -3, 3, 5)
    ]
    features = torch.stack(products, -1) / (first * second).mean((-3, -2, -1))[..., None]
    assert probe_accuracy(features[:48], features[48:]) > 0.3


def test_state_has_the_same_distribution_in_every_frame() -> None:
    """Kolmogorov–Smirnov: uniform starts stay uniform under every motion and at every time."""
    starts = torch.stack(
        [eight_motions.draw_scene(torch.Generator().manual_seed(seed)).start for seed in range(600)]
    )
    for travel in eight_motions._TRAVEL.values():
        for time in (0.0, 0.37, 0.9):
            state = ((starts + time * torch.tensor(travel)) % 1.0).double()  # (N, shapes, 4)
            sorted_state = state.sort(dim=0).values
            ideal = (torch.arange(600, dtype=torch.float64) + 0.5)[:, None, None] / 600
            # 1.95/sqrt(N) is exceeded once in a thousand.
            assert (sorted_state - ideal).abs().max() < 1.95 / 600**0.5


def test_one_way_motions_have_their_mirror() -> None:
    one_way = [v for name, v in eight_motions._TRAVEL.items() if not name.startswith("swing")]
    assert torch.equal(torch.tensor(one_way).sum(0), torch.zeros(4))
    assert list(MOTIONS) == sorted(MOTIONS)


# Files --------------------------------------------------------------------------------------


def rows_of(index: Path) -> list[dict[str, str]]:
    with index.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.stat().st_ino)
        for path in folder.rglob("*.mp4")
    }


def test_dataset_on_disk(tmp_path: Path) -> None:
    index = write_dataset(tmp_path / "d", clips_per_class={"train": 2, "test": 1}, **SMALL)
    rows = rows_of(index)
    assert len(rows) == 3 * len(MOTIONS)
    assert {row["label"] for row in rows} == set(MOTIONS)
    groups = {(row["group"], row["split"]) for row in rows}
    assert len(groups) == len({group for group, _ in groups}) == 3
    for row in rows:
        clip = read(index.parent / row["path"])
        assert clip.shape == (4, 3, 32, 32)
    with av.open(str(index.parent / rows[0]["path"])) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.average_rate == 8


def test_files_show_the_drawn_clip_and_equal_first_frames(tmp_path: Path) -> None:
    index = write_dataset(
        tmp_path, clips_per_class={"test": 1}, size=64, num_frames=6, fps=8, seed=3
    )
    clips = {row["label"]: read(tmp_path / row["path"]) for row in rows_of(index)}
    for motion, clip in clips.items():
        generator = eight_motions._generator(3, "test-0000")
        drawn = render_clip(motion, num_frames=6, size=64, generator=generator)
        assert (clip.float() - drawn.float()).abs().mean() < 8  # chroma is halved in H.264
        assert torch.equal(clip[0], clips["zoom_in"][0])


def test_splits_do_not_depend_on_each_other(tmp_path: Path) -> None:
    first = write_dataset(tmp_path / "a", clips_per_class={"train": 2, "test": 1}, **SMALL)
    second = write_dataset(tmp_path / "b", clips_per_class={"test": 1}, **SMALL)
    name = "test/zoom_in/0000.mp4"
    assert torch.equal(read(first.parent / name), read(second.parent / name))
    train = read(first.parent / "train/zoom_in/0000.mp4")
    assert not torch.equal(read(first.parent / name), train)


def test_complete_set_is_reused(tmp_path: Path) -> None:
    arguments = {"clips_per_class": {"train": 1}, **SMALL}
    write_dataset(tmp_path, **arguments)
    before = stamps(tmp_path)
    write_dataset(tmp_path, **arguments)
    assert stamps(tmp_path) == before


def test_interrupted_set_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = {"clips_per_class": {"train": 2}, **SMALL}
    write_video, calls = eight_motions.write_video, []

    def stops_midway(path: Path, clip: Tensor, *, fps: int) -> None:
        calls.append(path)
        if len(calls) == 6:
            path.write_bytes(b"half a file")
            raise KeyboardInterrupt
        write_video(path, clip, fps=fps)

    with monkeypatch.context() as patch:
        patch.setattr(eight_motions, "write_video", stops_midway)
        with pytest.raises(KeyboardInterrupt):
            write_dataset(tmp_path, **arguments)
    before = stamps(tmp_path)
    assert len(before) == 5
    assert not (tmp_path / "clips.csv").exists()
    index = write_dataset(tmp_path, **arguments)
    after = stamps(tmp_path)
    assert before.items() <= after.items()
    assert len(after) == len(rows_of(index)) == 16


def test_other_arguments_replace_the_old_clips(tmp_path: Path) -> None:
    write_dataset(tmp_path, clips_per_class={"train": 2, "val": 1}, **SMALL)
    kept = tmp_path / "train" / "notes.txt"
    kept.write_text("not ours")
    index = write_dataset(tmp_path, clips_per_class={"train": 1}, **SMALL, seed=1)
    assert {row["path"] for row in rows_of(index)} == set(stamps(tmp_path))
    assert kept.exists()
    assert json.loads((tmp_path / "eight_motions.json").read_text())["seed"] == 1


def test_foreign_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "holiday.mp4").write_bytes(b"precious")
    with pytest.raises(DataError, match="other things"):
        write_dataset(tmp_path, clips_per_class={"train": 1}, **SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.mp4"]


def test_damaged_note_is_named(tmp_path: Path) -> None:
    (tmp_path / "eight_motions.json").write_text("{")
    with pytest.raises(DataError, match=r"eight_motions\.json"):
        write_dataset(tmp_path, clips_per_class={"train": 1}, **SMALL)


@pytest.mark.parametrize(
    "change",
    [
        {"clips_per_class": {}},
        {"clips_per_class": {"train": 0}},
        {"clips_per_class": {"../up": 1}},
        {"size": 33},
        {"size": 8},
        {"num_frames": 0},
        {"fps": 0},
    ],
)
def test_bad_arguments_write_nothing(tmp_path: Path, change: dict[str, object]) -> None:
    arguments = {"clips_per_class": {"train": 1}, **SMALL, **change}
    with pytest.raises(
        UserError, match=next(iter(change)).replace("clips_per_class", "split|class")
    ):
        write_dataset(tmp_path / "d", **arguments)  # type: ignore[arg-type]
    assert not (tmp_path / "d").exists()
