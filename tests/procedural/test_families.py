"""What classes promise, measured on poses and pixels."""

import dataclasses

import pytest
import torch
from torch import Tensor

from video_mobile_former.procedural import ProceduralSpec, ProceduralVideo
from video_mobile_former.procedural.cast import SUBSTEPS, Cast, sample_cast
from video_mobile_former.procedural.families import EVENTS, TABLE
from video_mobile_former.procedural.keyed_random import KeyedRandom
from video_mobile_former.procedural.spec import FRAMES_OF_EVENTS
from video_mobile_former.procedural.targets import target_values

PLAIN = ProceduralSpec(
    size=64, motion_blur=0, clutter=0, occluders=0, blips=0, background_motion=0, illumination=0
)


def play(family: str, name: str, clips: int = 60) -> Cast:
    random = KeyedRandom.of(0, 0, torch.arange(clips))
    cast = sample_cast(random.fork("cast"), ProceduralSpec())
    TABLE[family][name](cast, random.fork(family))
    return cast


def targets(family: str, name: str, clips: int = 60) -> dict[str, Tensor]:
    cast = play(family, name, clips)
    values, masks = target_values([(torch.arange(clips), cast, family)], cast.view)
    return {key: value for key, value in values.items() if bool(masks[key].all())}


def moves(cast: Cast) -> Tensor:
    """From frame to frame, (n, T - 1, 2), of the first actor."""
    return cast.xy[:, 0, ::SUBSTEPS].diff(dim=1)


@pytest.mark.parametrize(
    ("name", "step"), [("left", (-1, 0)), ("right", (1, 0)), ("up", (0, -1)), ("down", (0, 1))]
)
def test_directions(name: str, step: tuple[int, int]):
    found = targets("motion", f"move_{name}")["direction"]
    torch.testing.assert_close(found, torch.tensor([step]).float().expand(60, 2))
    cast = play("long_range", f"cue_{name}")
    assert bool(((moves(cast)[:, 0] * torch.tensor(step)).sum(1) > 0.05).all())


def test_changes_have_their_sign():
    assert bool((targets("motion", "speed_up")["acceleration"] > 0.5).all())
    assert bool((targets("motion", "slow_down")["acceleration"] < -0.5).all())
    assert bool((targets("motion", "spin_clockwise")["rotation"] > 0.3).all())
    assert bool((targets("motion", "spin_anticlockwise")["rotation"] < -0.3).all())
    assert bool((targets("motion", "grow")["growth"] > 0.3).all())
    assert bool((targets("motion", "shrink")["growth"] < -0.3).all())
    assert bool((targets("camera", "pan_left")["view"][:, 0] > 0.2).all())
    assert bool((targets("camera", "tilt_up")["view"][:, 1] > 0.2).all())
    assert bool((targets("camera", "zoom_in")["view"][:, 2] > 0.1).all())
    assert bool((targets("camera", "roll_clockwise")["view"][:, 3] < -0.3).all())


def test_arrow_tells_swings_that_fade_from_those_that_build_up():
    cast = play("periodic", "swing_horizontal", 200)
    arrow = cast.family_targets["arrow"]
    spread = [half.std(1) for half in cast.xy[:, 0, :, 0].chunk(2, dim=1)]
    fades = spread[1] < spread[0]
    assert 0.3 < arrow.float().mean() < 0.7
    assert (fades == (arrow == 1)).float().mean() > 0.8


def test_order_classes_have_the_same_events_in_another_order():
    for one, other in [("up_then_right", "right_then_up"), ("turn_then_go", "go_then_turn")]:
        first, second = targets("order", one), targets("order", other)
        assert torch.equal(first["first_event"], second["last_event"])
        assert torch.equal(first["last_event"], second["first_event"])
    way = moves(play("order", "up_then_right"))
    assert bool((way[:, :2, 1] < -0.02).all())
    assert bool((way[:, -2:, 0] > 0.02).all())
    assert EVENTS[int(targets("order", "flash_then_go")["first_event"][0])] == "flash"


def gaps(name: str) -> Tensor:
    """Distance of the two from frame to frame, (n, T)."""
    xy = play("interaction", name).xy[:, :2, ::SUBSTEPS]
    return (xy[:, 0] - xy[:, 1]).norm(dim=-1)


def test_interactions():
    starts = [gaps(name)[:, 0] for name in TABLE["interaction"]]
    for start in starts[1:]:
        torch.testing.assert_close(start, starts[0])
    assert bool((gaps("chase").diff(dim=1) < 0).all())
    assert gaps("follow").diff(dim=1).abs().max() < 1e-4
    assert bool((gaps("escape").diff(dim=1) > 0).all())
    touch = play("interaction", "collide").size[:, :2, 0].sum(1)
    nearest = gaps("collide").amin(1)
    assert bool((nearest > 0.5 * touch).all())
    assert bool((gaps("collide")[:, -1] > nearest + 0.03).all())
    assert bool((gaps("pass").amin(1) < 0.1).all())
    torch.testing.assert_close(gaps("exchange")[:, -1], gaps("exchange")[:, 0])
    assert gaps("avoid").amin() > 0.1
    assert (gaps("push")[:, -1] - gaps("push")[:, -2]).abs().max() < 1e-4


@pytest.mark.parametrize(
    "group",
    [
        ("cue_left", "cue_right", "cue_up", "cue_down"),
        ("turn_clockwise", "turn_anticlockwise"),
        ("same_lamp", "other_lamp"),
    ],
)
def test_after_the_first_quarter_all_long_range_classes_are_alike(group: tuple[str, ...]):
    """The ways of the darts and the flashes that come later have one distribution."""
    seen = []
    for name in group:
        cast = play("long_range", name, 2000)
        later = cast.time >= 0.25
        steps = cast.xy[:, 0, later][:, ::SUBSTEPS].diff(dim=1)
        lit = cast.glow[:, :2, later].amax(2)
        seen.append((steps.mean(0), steps.std(0), lit.mean(0)))
        early = cast.time < 0.25
        assert (cast.xy[:, 0, early].std(1).max() > 0.05) or cast.glow[:, :2, early].max() == 1
    for other in seen[1:]:
        for one, two in zip(seen[0], other, strict=True):
            # Four standard errors of the difference of means of 2,000 clips.
            assert (one - two).abs().max() < 4 * 0.16 / 1000**0.5
    if group[0] == "cue_left":  # here even the numbers are the same
        ways = [play("long_range", name).xy[:, 0, 8:].diff(dim=1) for name in group]
        for way in ways[1:]:
            torch.testing.assert_close(way, ways[0], atol=1e-5, rtol=0)


def test_the_relation_is_not_in_either_dart():
    for name, turn in (("turn_clockwise", 1), ("turn_anticlockwise", -1)):
        known = play("long_range", name, 400).family_targets
        first, last = known["first_event"], known["last_event"]
        for events in (first, last):
            assert torch.bincount(events, minlength=4).min() > 60
        x, y = (torch.tensor([[-1, 0], [1, 0], [0, -1], [0, 1]])[e] for e in (first, last))
        # With y downwards the cross product is positive for a turn clockwise.
        assert bool((x[:, 0] * y[:, 1] - x[:, 1] * y[:, 0] == turn).all())


@pytest.mark.slow
def test_pixels_move_as_the_target_says():
    """The shift between frames, found by correlating them, is that of the poses."""
    spec = dataclasses.replace(PLAIN, families=("motion",), contrast=1.0, num_frames=16)
    video = ProceduralVideo(spec, seed=1)
    label = torch.full((8,), video.class_names.index("move_right"))
    batch = video.draw(0, torch.arange(8), label)
    # The background stands still, so what is different from the mean is what moves.
    clips = batch.clips.float().mean(1)
    moving = clips - clips.median(1, keepdim=True).values
    spectrum = torch.fft.fft2(moving)
    product = spectrum[:, 1:] * spectrum[:, :-1].conj()
    peak = torch.fft.ifft2(product).real.flatten(2).argmax(-1)
    row, column = peak // 64, peak % 64
    expected = batch.targets["speed"][:, 0] * 64 / 16
    assert (row == 0).float().mean() > 0.9
    near = (column - expected[:, None]).abs() <= 1
    assert near.float().mean() > 0.9


@pytest.mark.slow
def test_the_background_goes_where_the_view_says():
    spec = dataclasses.replace(PLAIN, families=("camera",), num_frames=4)
    video = ProceduralVideo(spec, seed=0)
    for name, turns in (("roll_anticlockwise", 1), ("roll_clockwise", -1)):
        label = torch.tensor([video.class_names.index(name)])
        batch = video.draw(0, torch.tensor([3]), label)
        angle = float(batch.targets["view"][0, 3])
        assert angle * turns > 0
        first, last = batch.clips[0, :, 0].float(), batch.clips[0, :, -1].float()

        def turned(picture: Tensor, by: float) -> Tensor:
            cos, sin = float(torch.tensor(by).cos()), float(torch.tensor(by).sin())
            # A picture turned clockwise (y downwards) is looked up turned back.
            look = torch.tensor([[[cos, sin, 0.0], [-sin, cos, 0.0]]])
            grid = torch.nn.functional.affine_grid(look, [1, 3, 64, 64], align_corners=False)
            return torch.nn.functional.grid_sample(picture[None], grid, align_corners=False)[0]

        def apart(one: Tensor, other: Tensor) -> float:
            return float((one - other)[:, 20:44, 20:44].abs().mean())

        assert apart(turned(first, angle), last) < 0.5 * apart(turned(first, -angle), last)


@pytest.mark.slow
def test_bodies_are_seen_and_move():
    spec = dataclasses.replace(PLAIN, families=("limbs",), contrast=1.0)
    video = ProceduralVideo(spec, seed=0)
    batch = video.batch(0, len(video.class_names))
    changed = batch.clips.float().std(2).mean(1)  # (B, S, S)
    assert bool(((changed > 8).float().mean((1, 2)) > 0.01).all())
    assert bool((batch.targets["count"] == 1).all())


def test_lamps_are_seen_in_any_frame_of_each_eighth():
    """So that a choice of frames for training does not miss what decides the class."""
    glow = play("long_range", "other_lamp").glow[:, :2].amax(1)  # (n, F)
    assert glow[:, 0].max() == 0
    eighths = glow.unflatten(1, (8, 4))[:, :, ::2].amin(2)  # two frames of sixteen in each
    assert bool((eighths[:, :2].amax(1) == 1).all())
    assert bool((eighths[:, 6:].amax(1) == 1).all())


@pytest.mark.slow
def test_events_fall_between_frames_where_these_are_few() -> None:
    # Eight frames show every event; of four, scenes exist in which two classes are the same.
    family, alike = "long_range", []
    for frames in (4, FRAMES_OF_EVENTS[family]):
        spec = dataclasses.replace(PLAIN, families=(family,), num_frames=frames)
        video = ProceduralVideo(spec, seed=0)
        places = torch.arange(6)
        first, second = (
            video.draw(0, places, torch.full((6,), video.class_names.index(name))).clips
            for name in ("same_lamp", "other_lamp")
        )
        alike.append(sum(map(torch.equal, first, second)))
    assert alike[0] > 0
    assert alike[1] == 0


@pytest.mark.parametrize("name", ["walk", "jump", "bow", "wriggle"])
def test_bodies_may_be_smaller_and_else_do_the_same(name: str):
    random = KeyedRandom.of(0, 0, torch.arange(200))
    full, small = (
        sample_cast(random.fork("cast"), ProceduralSpec(body_size=size)) for size in (1.0, 0.25)
    )
    for cast in (full, small):
        TABLE["limbs"][name](cast, random.fork("limbs"))
    assert full.bodies is not None
    assert small.bodies is not None
    middle = [body[..., :2].mean((1, 2)) for body in (full.bodies, small.bodies)]
    assert (middle[0] - middle[1]).abs().max() < 0.3  # where they stood is where they stand
    lengths = [(b[..., 2:] - b[..., :2]).norm(dim=-1) for b in (full.bodies, small.bodies)]
    ratio = (lengths[1] / lengths[0])[:, 0, 0]
    torch.testing.assert_close(ratio, small.body_scale)
    assert 0.25 <= ratio.min() < 0.3
    assert 0.95 < ratio.max() <= 1.0
    assert bool((full.body_scale == 1).all())


@pytest.mark.slow
def test_small_bodies_take_fewer_pixels():
    alike = dataclasses.replace(PLAIN, families=("limbs",), contrast=1.0)
    still = dataclasses.replace(alike, body_size=0.25)
    moved = [
        (clips.diff(dim=2).abs().amax(1) > 20).float().mean()
        for clips in (ProceduralVideo(s, seed=0).batch(0, 40).clips.float() for s in (alike, still))
    ]
    assert moved[1] < 0.6 * moved[0], "limbs are thinner too, not only shorter"
