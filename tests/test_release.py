"""The version is the same wherever it stands."""

import re
from pathlib import Path

import yaml

from video_mobile_former import __version__

ROOT = Path(__file__).parents[1]


def test_changelog_and_citation_name_the_version_and_its_day() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    heads = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert heads[0] == "Unreleased"
    version, day = heads[1].split(" – ")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert version == citation["version"] == __version__
    assert day == citation["date-released"]
