"""One description of a field for Python, YAML and the command line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import pytest

from video_mobile_former.errors import DataError, UserError
from video_mobile_former.ranges import (
    Checked,
    Positive,
    Range,
    as_typed,
    convert,
    docs,
    field_help,
    hints,
    placeholder,
    read_text,
)


@dataclass(frozen=True)
class Base(Checked):
    """A dataclass whose fields others inherit."""

    section: ClassVar[str] = "some"
    error: ClassVar[type[UserError]] = DataError

    count: Annotated[int, Range(1, 9)] = 3
    """How many
    there are."""
    name: str | None = None
    """What it is called."""


@dataclass(frozen=True)
class More(Base):
    """More of them."""

    rates: tuple[Positive, ...] = (0.5,)
    """Several rates."""


_FROM_ONE: Any = Annotated[int, Range(1)]
_TO_NINE: Any = Annotated[int, Range(1, 9)]


@pytest.mark.parametrize(
    ("limits", "inside", "outside", "words"),
    [
        (Range(1, 9), (1, 9), (0, 10), "1 to 9"),
        (Range(1), (1, 1e9), (0.9,), "at least 1"),
        (Range(above=0), (1e-9,), (0, -1), "above 0"),
        (Range(0, below=1), (0, 0.99), (1, -0.1), "0 to below 1"),
        (Range(above=0, most=1), (1,), (0, 1.1), "above 0 to 1"),
        (Range(above=0, below=1), (0.5,), (0, 1), "between 0 and 1"),
    ],
)
def test_ranges(limits: Range, inside: Any, outside: Any, words: str) -> None:
    assert str(limits) == words
    assert all(value in limits for value in inside)
    assert not any(value in limits for value in outside)
    assert float("nan") not in limits


@pytest.mark.parametrize(
    ("hint", "value", "found"),
    [
        (int, 3, 3),
        (float, 3, 3.0),
        (bool, False, False),
        (str, Path("a/b"), "a/b"),
        (Literal["a", "b"], "b", "b"),
        (tuple[float, float], [1, 2], (1.0, 2.0)),
        (tuple[str, ...], [], ()),
        (_FROM_ONE | None, None, None),
        (_FROM_ONE | None, 1, 1),
    ],
)
def test_what_fits_is_converted(hint: Any, value: Any, found: Any) -> None:
    assert convert(hint, value) == found
    assert type(convert(hint, value)) is type(found)


@pytest.mark.parametrize(
    ("hint", "value", "wanted"),
    [
        (int, 2.0, "a whole number"),
        (int, True, "a whole number"),
        (int, "3", "a whole number"),
        (float, float("nan"), "a number"),
        (float, float("inf"), "a number"),
        (float, True, "a number"),
        (bool, 1, "true or false"),
        (str, 5, "text"),
        (str, b"clips", "text"),
        (Literal["a", "b"], "c", "one of a, b"),
        (Literal["a", "b"], ["a"], "one of a, b"),
        (tuple[float, float], [1], "2 numbers in a list such as [0.5, 0.5]"),
        (tuple[float, ...], 0.5, "numbers in a list such as [0.5, 0.75]"),
        (tuple[Positive, ...], [1, 0], "above 0"),
        (tuple[str, ...], "motion", "names in a list such as [one, two]"),
        (Annotated[int, Range(1, 9)], 10, "1 to 9"),
        (_TO_NINE | None, "x", "a whole number, or null"),
    ],
)
def test_what_does_not_fit_says_what_is_wanted(hint: Any, value: Any, wanted: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(wanted)}$"):
        convert(hint, value)


@pytest.mark.parametrize(
    ("hint", "text", "found"),
    [
        (int, "-3", -3),
        (float, "1e-3", 1e-3),
        (bool, "False", False),
        (str, "null", "null"),
        (str | None, "null", None),
        (str, "5", "5"),
        (tuple[float, float], "[0.3,1]", (0.3, 1.0)),
        (tuple[str, ...], "[motion, order]", ("motion", "order")),
        (tuple[str, ...], "[]", ()),
    ],
)
def test_what_a_shell_hands_over(hint: Any, text: str, found: Any) -> None:
    assert read_text(hint, text) == found


@pytest.mark.parametrize(
    ("hint", "text"),
    [(int, "9" * 5000), (float, "nan"), (float, "1e999"), (bool, "yes"), (tuple[float, ...], "1")],
)
def test_what_a_shell_may_not_hand_over(hint: Any, text: str) -> None:
    with pytest.raises(ValueError, match=r"number|true or false"):
        read_text(hint, text)


def test_a_dataclass_refuses_what_its_fields_do_not_take() -> None:
    assert More(rates=[1, 2]).rates == (1.0, 2.0)  # type: ignore[arg-type]  # as JSON gives it
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"count": 0}, "some.count must be 1 to 9, not 0"),
        ({"name": 5}, "some.name must be text, or null, not 5"),
        ({"rates": [0.0]}, r"some.rates must be above 0, not \[0.0\]"),
    ]
    for values, message in wrong:
        with pytest.raises(DataError, match=message):
            More(**values)
    with pytest.raises(DataError) as error:
        Base(name=[1] * 5000)  # type: ignore[arg-type]  # the point of the test
    assert len(str(error.value)) < 300


def test_help_is_read_off_the_fields() -> None:
    assert list(hints(More)) == ["count", "name", "rates"]
    assert docs(More)["count"] == "How many there are."
    assert field_help(More, "count") == "How many there are. Default: 3. Range: 1 to 9."
    assert field_help(More, "name") == "What it is called."
    assert field_help(More, "rates") == "Several rates. Default: [0.5]. Range: above 0."
    assert [placeholder(hint) for hint in hints(More).values()] == ["INT", "TEXT", "[NUMBER,...]"]
    assert [as_typed(value) for value in (None, True, ("a", 1.5))] == ["null", "true", "[a, 1.5]"]
