"""Lists of clips to exclude, written and read back."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from video_mobile_former.data.index.quarantine import (
    check_source,
    default_quarantine,
    is_check_of,
    read_quarantine,
    write_quarantine,
)
from video_mobile_former.errors import DataError

# Names as the system gives them: any bytes but a null, those that are not UTF-8 as surrogates.
NAMES = st.binary(max_size=12).map(
    lambda name: name.replace(b"\0", b"").decode("utf-8", "surrogateescape")
)
ODD = st.text(st.sampled_from('a\t\n\r "#\\/\x85\u2028é\udcff'), max_size=8)


@pytest.mark.slow
@given(st.dictionaries(NAMES | ODD, st.text(st.sampled_from("ab:, é"), max_size=8), max_size=4))
def test_every_name_survives(
    tmp_path_factory: pytest.TempPathFactory, entries: dict[str, str]
) -> None:
    path = tmp_path_factory.mktemp("q") / "quarantine.txt"
    write_quarantine(path, entries, "made up")
    assert read_quarantine(path) == {name: reason.strip() for name, reason in entries.items()}
    assert path.read_bytes().startswith(b"# made up\n")


def test_a_plain_name_is_written_plainly(tmp_path: Path) -> None:
    path = tmp_path / "quarantine.txt"
    write_quarantine(path, {"a/b c.mp4": "cut off:\n3 of 5\tframes", r"C:\new\t.mp4": "x"}, "s\nt")
    assert path.read_text() == "# s t\na/b c.mp4\tcut off: 3 of 5 frames\nC:\\new\\t.mp4\tx\n"


def test_what_people_write(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(
        b'\xef\xbb\xbf# mine\r\n\r\n a.mp4 \r\n"b.mp4\tno end\r\nc.mp4\tx\ty\n#d.mp4\n"5"\n5'
    )
    assert read_quarantine(path) == {"a.mp4": "", '"b.mp4': "no end", "c.mp4": "x\ty", "5": ""}


def test_a_missing_list_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.txt: No such file"):
        read_quarantine(tmp_path / "none.txt")


def test_whose_list_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = default_quarantine("sets/clips.csv")
    assert path == Path("clips-check/quarantine.txt")
    assert default_quarantine("sets/clips/") == path
    assert default_quarantine(".").parent.name == f"{tmp_path.stem}-check"
    assert not is_check_of(path, "sets/clips.csv")
    write_quarantine(path, {}, check_source("sets/clips.csv"))
    assert path.read_text() == f"# vmf data check {tmp_path}/sets/clips.csv\n"
    assert is_check_of(path, tmp_path / "sets" / "clips.csv")
    assert not is_check_of(path, "other/clips.csv")
    odd = tmp_path / " two\nlines"
    write_quarantine(path, {}, check_source(odd))
    assert is_check_of(path, odd)
