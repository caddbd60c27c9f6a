"""The page of a check: verdict, problems, distributions, and pictures of every class."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...files import check_replaceable, write_text
from ...page import Preview, chart_of, render
from ...text import printable, shorten_middle
from ..index.quarantine import check_source, write_quarantine
from ..index.table import SPLITS
from .charts import bar_chart
from .distributions import Distribution, clip_seconds, number, picture_sizes
from .problems import KINDS, SEVERITIES, Problem
from .result import CheckResult

JSON_NAME, QUARANTINE_NAME, PAGE_NAME = "check.json", "quarantine.txt", "check.html"

_FIRST, _MORE = 3, 40
"""Problems of a kind that are shown directly, and in a collapsed section."""
_SIZES = 6
"""Most picture sizes listed."""
_PICTURES = 8
"""Pictures per class."""
_PICTURE_BYTES, _MOVING_BYTES = 3_500_000, 3_500_000
"""Pictures and moving ones on the page, so that a page of many classes still opens on a phone."""
_NAME = 26
"""Characters of a file name below its picture."""

_WORDS = {
    "error": ("Errors", "Fix or allow these before training starts."),
    "unusable": ("Unusable", "Excluded from training by the quarantine list."),
    "warning": ("Warnings", "Likely mistakes; training continues with them."),
    "note": ("Notes", "Good to know; nothing to do."),
}


def check_files(folder: Path) -> list[Path]:
    """What :func:`write_check` writes in a folder."""
    return [folder / name for name in (JSON_NAME, QUARANTINE_NAME, PAGE_NAME)]


def write_check(result: CheckResult, folder: Path, *, overwrite: bool = False) -> Path:
    """Write ``check.json``, ``quarantine.txt`` and ``check.html``, each all or nothing.

    Args:
        result: Outcome of a check.
        folder: Created where it is missing.
        overwrite: Replace files of these names whoever wrote them.

    Returns:
        The path of the page.

    Raises:
        UserError: If one cannot be written or is there and not ours, or jinja2 or matplotlib is
            not installed.
    """
    check_replaceable(check_files(folder), folder / JSON_NAME, overwrite=overwrite)
    page = render_page(result)
    # ASCII: names that are not UTF-8 contain characters that need escapes.
    text = json.dumps(result.to_dict(), indent=2, allow_nan=False)
    write_text(folder / JSON_NAME, text + "\n")
    write_quarantine(folder / QUARANTINE_NAME, result.quarantine, check_source(result.source.place))
    write_text(folder / PAGE_NAME, page)
    return folder / PAGE_NAME


def render_page(result: CheckResult) -> str:
    """Render the self-contained page.

    Args:
        result: Outcome of a check. Its names and paths may be any text; they are escaped.

    Returns:
        HTML without any reference to another file or host.

    Raises:
        UserError: If jinja2 or matplotlib is not installed.
    """
    sheets, excluded = _contact_sheets(result)
    charts = [_chart(one) for one in result.distributions() if len(one.values)]
    rows = result.class_rows()
    return render(
        "data/check/check.html.jinja",
        data=result.source.place,
        form=result.source.format,
        split=result.options.split,
        may_start=result.may_start,
        verdict=result.verdict(),
        full=result.options.full,
        summary=result.summary(),
        missing_share=f"{100 * result.summary()['missing_share']:.1f} %",
        date=result.date[:16].replace("T", " "),
        seconds=number(result.seconds),
        groups=_groups(result),
        charts=charts,
        sizes=picture_sizes(result.facts)[:_SIZES],
        num_sizes=len(picture_sizes(result.facts)),
        splits=[s for s in ("all", *SPLITS) if rows and s in rows[0]["clips"]],
        classes=_class_rows(rows),
        sheets=sheets,
        classes_without_sheet=excluded,
        num_moving=sum(bool(p["preview"].moving) for s in sheets for p in s["pictures"]),
        json_name=JSON_NAME,
        quarantine_name=QUARANTINE_NAME,
    )


def _chart(one: Distribution) -> dict[str, Any]:
    return {
        "title": one.name[:1].upper() + one.name[1:],
        "caption": one.caption(),
        "picture": chart_of(bar_chart(one)),
    }


def _groups(result: CheckResult) -> list[dict[str, Any]]:
    """Problems by severity and kind."""
    kinds = result.kinds()
    groups = []
    for severity in SEVERITIES:
        heading, meaning = _WORDS[severity]
        inside = [
            {
                "kind": kind,
                "count": len(problems),
                "advice": KINDS[kind].advice,
                "first": [_row(one) for one in problems[:_FIRST]],
                "more": [_row(one) for one in problems[_FIRST : _FIRST + _MORE]],
                "unlisted": max(0, len(problems) - _FIRST - _MORE),
            }
            for kind, problems in kinds.items()
            if problems[0].severity == severity
        ]
        if inside:
            groups.append(
                {"severity": severity, "heading": heading, "meaning": meaning, "kinds": inside}
            )
    return groups


def _row(one: Problem) -> dict[str, str]:
    return {"name": one.name, "text": one.text}


def _class_rows(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    largest = max((sum(row["clips"].values()) for row in rows), default=0)
    return [
        {
            "name": row["name"],
            "total": sum(row["clips"].values()),
            "unusable": sum(row["clips"].values()) - sum(row["usable"].values()),
            "clips": row["clips"],
            "shares": {
                split: f"{100 * count / largest:.2f}" if largest else "0"
                for split, count in row["clips"].items()
            },
        }
        for row in rows
    ]


def _contact_sheets(result: CheckResult) -> tuple[list[dict[str, Any]], int]:
    """A few pictures of every class, within the limit for the page."""
    of_class: dict[int, list[dict[str, Any]]] = {}
    seen: set[tuple[int, str]] = set()
    for clip, facts in zip(result.index.clips, result.facts, strict=True):
        if facts.fault or not facts.thumbnail:
            continue
        for label in clip.labels:
            # One video may have many clips.
            if (label, facts.key.path) in seen:
                continue
            seen.add((label, facts.key.path))
            name = clip.name or clip.path
            of_class.setdefault(label, []).append(
                {
                    "preview": Preview(facts.thumbnail, facts.moving),
                    "name": name,
                    "caption": shorten_middle(printable(name.rsplit("/", 1)[-1]), _NAME),
                    "seconds": f"{number(clip_seconds(clip, facts))} s",
                }
            )
    if not of_class:
        return [], 0
    sizes = [len(one["preview"].still) for pictures in of_class.values() for one in pictures]
    room = int(_PICTURE_BYTES / (sum(sizes) / len(sizes)))
    each = max(1, min(_PICTURES, room // len(of_class)))
    sheets = [
        {"name": result.index.class_names[label], "pictures": _spread(pictures, each)}
        for label, pictures in sorted(of_class.items())
    ]
    _limit_moving(sheets[:room])
    return sheets[:room], max(0, len(sheets) - room)


def _spread(pictures: Sequence[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """Some pictures of a class, first those that move, each kind evenly over all."""
    kinds = [[one for one in pictures if bool(one["preview"].moving) == moves] for moves in (1, 0)]
    chosen: list[dict[str, Any]] = []
    for kind in kinds:
        wanted = min(count - len(chosen), len(kind))
        chosen += [kind[i * len(kind) // wanted] for i in range(wanted)]
    return chosen


def _limit_moving(sheets: Sequence[dict[str, Any]]) -> None:
    """Let the first clips of every class move, then the second, until the page is full."""
    room = _MOVING_BYTES
    for place in range(_PICTURES):
        for sheet in sheets:
            if place < len(sheet["pictures"]):
                one = sheet["pictures"][place]
                room -= len(one["preview"].moving)
                if room < 0:
                    one["preview"] = Preview(one["preview"].still)
