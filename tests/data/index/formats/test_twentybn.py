from __future__ import annotations

import json
from pathlib import Path

import pytest

from format_files import rows_of, touch, write
from video_mobile_former.data.index.index import load_index
from video_mobile_former.data.index.labels import label_names
from video_mobile_former.data.index.source import DataSource, Faults
from video_mobile_former.errors import DataError

SSV2 = label_names("something_something_v2")
HOLDING = "Holding [something] next to [something]"
POKING = "Poking a hole into [some substance]"


def clip(number: str, template: str) -> dict[str, object]:
    label = template.replace("[something]", "a cup").lower()
    return {"id": number, "label": label, "template": template, "placeholders": ["a cup"]}


def something(root: Path, *, head: str = "something-something-v2-") -> Path:
    names = {name: str(i) for i, name in enumerate(SSV2)}
    write(root / f"{head}train.json", json.dumps([clip("78687", HOLDING), clip("42", POKING)]))
    write(root / f"{head}validation.json", json.dumps([clip("7", HOLDING)]))
    write(root / f"{head}test.json", json.dumps([{"id": "99"}]))
    write(root / f"{head}labels.json", json.dumps(dict(sorted(names.items(), reverse=True))))
    return root


@pytest.mark.parametrize("head", ["something-something-v2-", ""])
def test_something_something(tmp_path: Path, head: str, capsys: pytest.CaptureFixture[str]):
    lists = something(tmp_path / "labels", head=head)
    touch(tmp_path / "videos", "78687.webm", "42.mp4", "7/00001.jpg", "99.webm")
    index = load_index(DataSource(str(tmp_path), format="something_something_v2"))
    assert index.class_names == SSV2
    assert [(c.name, index.class_names[c.label], c.split) for c in index.clips] == [
        ("videos/78687.webm", "Holding something next to something", "train"),
        ("videos/42.mp4", "Poking a hole into some substance", "train"),
        ("videos/7", "Holding something next to something", "val"),
    ]
    assert "test.json: its only clip has no label, so it is excluded" in capsys.readouterr().err
    write(lists / "test-answers.csv", "99;Holding something next to something\n")
    rows = rows_of("something_something_v2", tmp_path / "videos", lists)
    assert [(r.name, r.split) for r in rows][-1] == ("99.webm", "test")


def test_something_something_in_another_order_is_refused(tmp_path: Path):
    path = something(tmp_path) / "something-something-v2-labels.json"
    names = {name: i for i, name in enumerate(SSV2)}
    names[SSV2[3]], names[SSV2[5]] = 5, 3
    write(path, json.dumps(names))
    with pytest.raises(DataError) as caught:
        rows_of("something_something_v2", tmp_path)
    assert f"at position 3 (from 0): {SSV2[5]!r} in " in str(caught.value)
    assert str(caught.value).endswith(f"{SSV2[3]!r} in Something-Something V2")
    write(path, json.dumps({**names, SSV2[3]: 500}))
    with pytest.raises(DataError, match=r"labels\.json: positions must be 0 to 173, each once"):
        rows_of("something_something_v2", tmp_path)


def test_other_templates_in_labels_json_are_classes_of_their_own(tmp_path: Path):
    path = write(tmp_path / "train.json", json.dumps([clip("1", "Juggling [something]")]))
    write(tmp_path / "labels.json", json.dumps({"Juggling something": "0", SSV2[2]: "1"}))
    touch(tmp_path, "1.webm")
    index = load_index(
        DataSource(format="something_something_v2", root=str(tmp_path), annotations=str(path))
    )
    assert index.class_names == ("Juggling something", SSV2[2])


def test_something_something_wrong_files(tmp_path: Path):
    path = write(tmp_path / "train.json", '[\n{"id": "1", }]')
    with pytest.raises(DataError, match=r"train\.json:2: not JSON"):
        rows_of("something_something_v2", tmp_path)
    write(path, '{"1": 2}')
    with pytest.raises(DataError, match=r"train\.json: expected a list of clips"):
        rows_of("something_something_v2", tmp_path)
    write(path, json.dumps([clip("1", HOLDING), {"id": 2}, {}, 3]))
    faults = Faults(collect=True)
    assert [r.name for r in rows_of("something_something_v2", tmp_path, faults=faults)] == ["1"]
    texts = [fault.text for fault in faults.found]
    assert texts == ["entry 2 has no id", "entry 3 has no id", "clip 2 has no label"]
    write(path, json.dumps([{"id": "1"}]))
    with pytest.raises(DataError, match="lists no clips with a label; expected a Something"):
        rows_of("something_something_v2", tmp_path)


JESTER = label_names("jester")


def test_jester(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write(tmp_path / "jester-v1-train.csv", "34870;Drumming Fingers\r\n1; Swiping Left\r\n")
    write(tmp_path / "jester-v1-validation.csv", "9;No gesture\n")
    write(tmp_path / "jester-v1-test.csv", "7\n8\n")
    write(tmp_path / "jester-v1-labels.csv", "\n".join(JESTER))
    touch(tmp_path, *(f"20bn-jester-v1/{n}/00001.jpg" for n in (34870, 1, 7, 8)), "v/9.mp4")
    index = load_index(DataSource(str(tmp_path), format="jester"))
    assert index.class_names == JESTER
    assert [(c.name, index.class_names[c.label], c.split) for c in index.clips] == [
        ("20bn-jester-v1/34870", "Drumming Fingers", "train"),
        ("20bn-jester-v1/1", "Swiping Left", "train"),
        ("v/9.mp4", "No gesture", "val"),
    ]
    assert "its 2 clips have no labels" in capsys.readouterr().err
    write(tmp_path / "jester-v1-labels.csv", "\n".join(sorted(JESTER)))
    with pytest.raises(
        DataError, match=r"at position 0 \(from 0\): 'Doing other things' in .*, 'S"
    ):
        rows_of("jester", tmp_path)


def test_jester_with_a_header_and_folders_of_splits(tmp_path: Path):
    header = "video_id,label,frames,label_id,shape,format\n"
    write(tmp_path / "Train.csv", header + '1,Swiping Left,37,0,"(100, 176)",jpg\n')
    write(tmp_path / "Validation.csv", header + '1,thumb up,36,20,"(100, 176)",jpg\n')
    touch(tmp_path, "Train/1/00001.jpg", "Validation/1/00001.jpg")
    rows = rows_of("jester", tmp_path)
    assert [(r.name, r.label, r.split) for r in rows] == [
        ("Train/1", "Swiping Left", "train"),
        ("Validation/1", "Thumb Up", "val"),
    ]


def test_jester_wrong_lines(tmp_path: Path):
    write(tmp_path / "jester-v1-train.csv", "1;Swiping Left\n2\n")
    with pytest.raises(DataError, match=r"jester-v1-train\.csv:2: clip 2 has no label"):
        rows_of("jester", tmp_path)
