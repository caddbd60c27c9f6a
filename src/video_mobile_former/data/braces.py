"""Names of many numbered files in one, as shells write them: ``shard-{000000..000012}.tar``."""

from __future__ import annotations

import re

from ..errors import DataError

_GROUP = re.compile(r"\{([^{}]*)\}")
_MOST = 1_000_000


def expand_braces(pattern: str) -> list[str]:
    """Write out the names that a pattern stands for.

    ``{000..012}`` counts, keeping leading zeros; ``{a,b}`` takes each. Several groups multiply.

    Args:
        pattern: A path or URL.

    Returns:
        The names in the order of the pattern; the pattern itself where it has no braces.

    Raises:
        DataError: If a group is not understood or the names are too many to be meant.
    """
    names = [""]
    end = 0
    for group in _GROUP.finditer(pattern):
        between, end = pattern[end : group.start()], group.end()
        choices = _choices(group[1], pattern)
        if len(names) * len(choices) > _MOST:
            raise DataError(f"{pattern}: stands for more than {_MOST} files")
        names = [f"{name}{between}{choice}" for name in names for choice in choices]
    rest = pattern[end:]
    if "{" in rest or "}" in rest:
        raise DataError(f"{pattern}: a brace without its partner")
    return [name + rest for name in names]


def _choices(text: str, pattern: str) -> list[str]:
    numbers = re.fullmatch(r"(\d+)\.\.(\d+)", text)
    if numbers is None:
        if "," not in text:
            raise DataError(f"{pattern}: {{{text}}} must be like {{000..012}} or {{a,b}}")
        return text.split(",")
    first, last = int(numbers[1]), int(numbers[2])
    if first > last or last - first >= _MOST:
        raise DataError(f"{pattern}: {{{text}}} must count upwards, to at most {_MOST} files")
    width = len(numbers[1])
    return [f"{number:0{width}d}" for number in range(first, last + 1)]
