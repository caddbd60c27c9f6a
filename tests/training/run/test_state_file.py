from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from video_mobile_former.errors import UserError
from video_mobile_former.training.run.state_file import read_state, write_state

_PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
_NESTED = st.recursive(
    _PLAIN,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers(), inner, max_size=3)
    ),
    max_leaves=12,
)


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(value=_NESTED)
def test_plain_values_come_back_equal(value: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("state") / "s.safetensors"
    write_state(path, {"value": value})
    assert read_state(path) == {"value": value}


def test_tensors_come_back_bit_by_bit(tmp_path: Path) -> None:
    path = tmp_path / "s.safetensors"
    state = {
        "a": torch.randn(2, 3),
        "b": [torch.tensor(7), {0: (torch.zeros(0), torch.ones(2, dtype=torch.bfloat16))}],
        "c": torch.randn(4, 5).t(),
        "a/b": torch.arange(3),
    }
    write_state(path, state)
    got = read_state(path)
    assert torch.equal(got["a"], state["a"])
    assert torch.equal(got["a/b"], state["a/b"])
    assert torch.equal(got["c"], state["c"])
    assert got["b"][0].dtype == torch.int64
    assert torch.equal(got["b"][1][0][1], state["b"][1][0][1])
    assert read_state(path, tensors=False)["b"] == [None, {0: (None, None)}]


def test_an_optimizer_s_state(tmp_path: Path) -> None:
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    model(torch.randn(4, 3)).sum().backward()
    optimizer.step()
    write_state(tmp_path / "s", {"optimizer": optimizer.state_dict()})
    again = torch.optim.AdamW(model.parameters(), fused=True)
    again.load_state_dict(read_state(tmp_path / "s")["optimizer"])
    one, two = optimizer.state_dict(), again.state_dict()
    assert one["param_groups"] == two["param_groups"]
    for i, entry in one["state"].items():
        for key, value in entry.items():
            assert torch.equal(value, two["state"][i][key])


def test_other_values_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="/a/0 cannot be part of a state: PosixPath"):
        write_state(tmp_path / "s", {"a": [Path()]})
    assert not (tmp_path / "s").exists()


class _Malicious:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("owned"),))


def test_what_is_no_state_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "s.safetensors"
    with pytest.raises(UserError, match="cannot be read"):
        read_state(path)
    write_state(path, {"a": torch.randn(100)})
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(UserError, match="cannot be read"):
        read_state(path)
    path.write_bytes(pickle.dumps({"a": _Malicious()}))
    with pytest.raises(UserError, match="cannot be read"):
        read_state(path)
    assert not Path("owned").exists()
    save_file({"a": torch.randn(3)}, path)
    with pytest.raises(UserError, match="another version"):
        read_state(path)
