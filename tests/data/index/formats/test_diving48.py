from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from format_files import rows_of, touch, write
from video_mobile_former.data.index.index import load_index
from video_mobile_former.data.index.labels import label_names
from video_mobile_former.data.index.source import DataSource, Faults
from video_mobile_former.errors import DataError

NAMES = label_names("diving48")
VOCABULARY = [name.split("+") for name in NAMES]


def clip(name: str, label: Any) -> dict[str, Any]:
    return {"vid_name": name, "label": label, "start_frame": 0, "end_frame": 146}


def diving(root: Path, *clips: dict[str, Any], version: str = "V2") -> Path:
    write(root / f"Diving48_{version}_train.json", json.dumps(clips))
    write(root / f"Diving48_{version}_test.json", json.dumps([clip("-xyz_00003", 47)]))
    write(root / "Diving48_vocab.json", json.dumps(VOCABULARY))
    return root


def test_clips_of_a_video_are_a_group(tmp_path: Path):
    diving(tmp_path / "annotations", clip("_8Vy3dlHg2w_00000", 2), clip("_8Vy3dlHg2w_00001", "5"))
    diving(tmp_path / "annotations", clip("_8Vy3dlHg2w_00000", 2), clip("_8Vy3dlHg2w_00001", "5"))
    touch(tmp_path / "rgb", "_8Vy3dlHg2w_00000.mp4", "_8Vy3dlHg2w_00001/1.jpg", "-xyz_00003.mp4")
    index = load_index(DataSource(str(tmp_path), format="diving48"))
    assert index.class_names == NAMES
    assert [(c.label, c.split, c.group) for c in index.clips] == [
        (2, "train", "_8Vy3dlHg2w"),
        (5, "train", "_8Vy3dlHg2w"),
        (47, "test", "-xyz"),
    ]
    assert {c.start_seconds for c in index.clips} == {None}


def test_version_2_wins(tmp_path: Path):
    diving(tmp_path, clip("a_00000", 1), version="V1")
    diving(tmp_path, clip("b_00000", 1))
    assert [r.name for r in rows_of("diving48", tmp_path)] == ["b_00000", "-xyz_00003"]


def test_another_vocabulary_is_refused(tmp_path: Path):
    path = diving(tmp_path, clip("a_00000", 1)) / "Diving48_vocab.json"
    write(path, json.dumps(VOCABULARY[::-1]))
    with pytest.raises(DataError, match=r"position 0 \(from 0\): 'Reverse\+Dive\+NoTwis\+TUCK' in"):
        rows_of("diving48", tmp_path)
    write(path, "3")
    with pytest.raises(DataError, match="expected a list of classes"):
        rows_of("diving48", tmp_path)


@pytest.mark.parametrize("label", [48, -1, None, [1]])
def test_labels_out_of_range(tmp_path: Path, label: Any):
    diving(tmp_path, clip("a_00000", label), {"label": 3})
    faults = Faults(collect=True)
    assert len(rows_of("diving48", tmp_path, faults=faults)) == 1
    assert [f.text for f in faults.found] == [
        f"a_00000 has label {label!r}, not 0 to 47",
        "entry 1 has no vid_name",
    ]
    with pytest.raises(DataError, match=r"V2_train\.json: a_00000 has label"):
        rows_of("diving48", tmp_path)
