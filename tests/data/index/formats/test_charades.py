from __future__ import annotations

from pathlib import Path

import pytest

from format_files import rows_of, touch, write
from video_mobile_former.data.index.index import load_index
from video_mobile_former.data.index.labels import label_names
from video_mobile_former.data.index.source import DataSource, Faults
from video_mobile_former.errors import DataError

NAMES = label_names("charades")
HEADER = "id,subject,scene,quality,relevance,verified,script,objects,descriptions,actions,length\n"
TRAIN = (
    'YSKX3,HR43,Bedroom,6,7,Yes,"A person, tidying.",blanket;pillow,"Tidies, ""well"".",'
    "c077 12.10 18.00;c079 11.80 17.30;c077 0.00 5.00,17.46\n"
    "46GP8,HR43,Kitchen,6,7,Yes,A person cooks.,food,Cooks.,,24.83\n"
)
TEST = "N11GT,0KZ7,Stairs,6,7,No,A person sneezes.,,Sneezes.,c153 24.30 29.50,33.00\n"


def charades(root: Path, train: str = TRAIN) -> Path:
    write(root / "Charades_v1_train.csv", HEADER + train)
    write(root / "Charades_v1_test.csv", HEADER + TEST)
    lines = (f"c{i:03} {name}\n" for i, name in enumerate(NAMES))
    write(root / "Charades_v1_classes.txt", "".join(lines))
    return root


def test_a_clip_has_all_actions_of_its_video(tmp_path: Path):
    charades(tmp_path / "Charades")
    touch(tmp_path, "Charades_v1_480/YSKX3.mp4", "Charades_v1_480/46GP8.mp4")
    touch(tmp_path, "Charades_v1_rgb/N11GT/N11GT-000001.jpg")
    index = load_index(DataSource(str(tmp_path), format="charades"))
    assert index.multi_label
    assert index.class_names == NAMES
    assert [(c.name.rpartition("/")[2], c.labels, c.split, c.group) for c in index.clips] == [
        ("YSKX3.mp4", (77, 79), "train", "HR43"),
        ("46GP8.mp4", (), "train", "HR43"),
        ("N11GT", (153,), "test", "0KZ7"),
    ]
    assert {c.end_seconds for c in index.clips} == {None}


def test_classes_in_another_order_are_refused(tmp_path: Path):
    path = charades(tmp_path) / "Charades_v1_classes.txt"
    write(path, f"c000 {NAMES[1]}\nc001 {NAMES[0]}\n")
    with pytest.raises(DataError, match=r"position 0 \(from 0\): 'Putting clothes somewhere' in"):
        rows_of("charades", tmp_path)
    write(path, f"c000 {NAMES[0]}\nc002 {NAMES[2]}\n")
    with pytest.raises(DataError, match=r"classes\.txt:2: expected 'c001 name', not 'c002 Taking"):
        rows_of("charades", tmp_path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("A,B,,,,,,,,c157 0 1,3\n", "action 'c157 0 1' does not begin with c000 to c156"),
        ("A,B,,,,,,,,jump 0 1,3\n", "action 'jump 0 1' does not begin"),
        ("A,B,c001\n", "3 fields where the header has 11"),
        (",B,,,,,,,,c001 0 1,3\n", "id is empty"),
    ],
)
def test_wrong_lines(tmp_path: Path, line: str, message: str):
    charades(tmp_path, TRAIN + line)
    with pytest.raises(DataError, match=rf"train\.csv:4: {message}"):
        rows_of("charades", tmp_path)
    faults = Faults(collect=True)
    assert len(rows_of("charades", tmp_path, faults=faults)) == 3
    assert len(faults.found) == 1


def test_a_list_of_another_kind(tmp_path: Path):
    write(tmp_path / "train.csv", "id,length\nA,3\n")
    with pytest.raises(DataError, match="no column 'actions' in its header; expected a Charades"):
        rows_of("charades", tmp_path)
