"""Long clips with a cue: frames between cue and question tell nothing, nor does either alone."""

import dataclasses

import pytest
import torch
from torch import Tensor

from video_mobile_former.errors import UserError
from video_mobile_former.procedural import FAMILIES, ProceduralSpec, ProceduralVideo
from video_mobile_former.procedural.cast import SUBSTEPS, Cast, sample_cast
from video_mobile_former.procedural.families import TABLE
from video_mobile_former.procedural.families.recall import CUE_FRAMES, KINDS, QUESTION_FRAMES
from video_mobile_former.procedural.keyed_random import KeyedRandom
from video_mobile_former.procedural.sheet import shown_frames

SPEC = ProceduralSpec(families=("recall",), size=32, num_frames=40)
GAPS = {64: 80, 256: 272}
"""Frames between cue and question, and the length of the clip."""


def same_scenes(spec: ProceduralSpec, clips: int = 3) -> dict[str, Tensor]:
    """Clips of every class in the same scenes: (B, 3, T, S, S)."""
    video = ProceduralVideo(spec, seed=4)
    places = torch.arange(clips)
    return {
        name: video.draw(2, places, torch.full((clips,), k)).clips
        for k, name in enumerate(video.class_names)
    }


def cast_of(name: str, clips: int = 600, frames: int = 40) -> Cast:
    random = KeyedRandom.of(0, 0, torch.arange(clips))
    cast = sample_cast(random.fork("cast"), dataclasses.replace(SPEC, num_frames=frames))
    TABLE["recall"][name](cast, random.fork("recall"))
    return cast


def event(cast: Cast, start: int, end: int) -> Tensor:
    """What is seen from one frame to another, (n,) positions in KINDS, -1 for nothing."""
    part = slice(start * SUBSTEPS, end * SUBSTEPS)
    lit = cast.glow[:, 0, part].amax(1) == 1
    away = cast.opacity[:, 0, part].amin(1) == 0
    sizes = cast.size[:, 0, part]
    grown = sizes.amax(1) > 1.5 * cast.size[:, 0].amin(1)
    assert bool((lit.int() + away.int() + grown.int() <= 1).all())
    return torch.where(lit, 0, torch.where(away, 1, torch.where(grown, 2, -1)))


@pytest.mark.slow
@pytest.mark.parametrize(("gap", "frames"), GAPS.items())
def test_frames_between_cue_and_question_are_the_same_in_all_classes(gap: int, frames: int):
    assert frames - CUE_FRAMES - QUESTION_FRAMES == gap
    clips = list(same_scenes(dataclasses.replace(SPEC, num_frames=frames), 2).values())
    between = slice(CUE_FRAMES, frames - QUESTION_FRAMES)
    for other in clips[1:]:
        assert torch.equal(other[:, :, between], clips[0][:, :, between])
        assert torch.equal(other[:, :, 0], clips[0][:, :, 0])
        assert not torch.equal(other, clips[0])
    assert clips[0][:, :, between].float().std(2).mean() > 1, "something happens meanwhile"


def test_the_cue_is_what_its_class_is_called():
    for k, kind in enumerate(KINDS):
        cast = cast_of(f"recall_{kind}")
        assert bool((event(cast, 0, CUE_FRAMES) == k).all())
        assert bool((event(cast, CUE_FRAMES, 40) == -1).all()), "nothing is asked"


def test_neither_the_cue_nor_the_question_tells_same_from_other():
    found = {}
    for name in ("asked_same", "asked_other"):
        cast = cast_of(name)
        first, last = event(cast, 0, CUE_FRAMES), event(cast, 40 - QUESTION_FRAMES, 40)
        assert bool((event(cast, CUE_FRAMES, 40 - QUESTION_FRAMES) == -1).all())
        assert bool(((first == last) == (name == "asked_same")).all())
        found[name] = (torch.bincount(first, minlength=3), torch.bincount(last, minlength=3))
    assert torch.equal(found["asked_same"][0], found["asked_other"][0])
    for counts in (*found["asked_same"], *found["asked_other"]):
        # 600 clips: a standard deviation of 11.5 around 200 of each.
        assert (counts - 200).abs().max() < 50


@pytest.mark.slow
def test_the_cue_is_seen_in_several_whole_frames():
    for kind in KINDS:
        clips = same_scenes(SPEC)
        changed = (clips[f"recall_{kind}"].float() - clips["asked_same"].float()).abs().amax(1)
        others = [c for name, c in clips.items() if name.startswith("recall") and kind not in name]
        apart = [
            (clips[f"recall_{kind}"].float() - o.float()).abs().amax((1, 3, 4)) for o in others
        ]
        for frames in apart:  # (B, T)
            assert bool(((frames[:, :CUE_FRAMES] > 40).sum(1) >= 3).all())
        assert changed[:, 0].max() == 0


def test_families_of_streams_are_named_not_taken_by_default():
    assert not {"recall", "background"} & set(FAMILIES)
    assert not {"recall", "background"} & set(ProceduralVideo(ProceduralSpec()).class_family)
    video = ProceduralVideo(dataclasses.replace(SPEC, families=("background", "motion", "recall")))
    assert list(dict.fromkeys(video.class_family)) == ["motion", "recall", "background"]
    assert video.class_names[-1] == "nothing"
    with pytest.raises(UserError, match="recall"):
        ProceduralSpec(families=("remember",))


def test_sheets_show_where_a_long_clip_tells_its_class():
    assert shown_frames("motion", 16, 8) == [0, 2, 4, 6, 9, 11, 13, 15]
    assert shown_frames("recall", 80, 8) == [0, 3, 5, 8, 71, 74, 76, 79]
    assert shown_frames("recall", 6, 8) == [0, 1, 2, 3, 4, 5]
