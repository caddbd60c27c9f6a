"""Count what every model costs and keep it for ``vmf models``: run it when a network has changed.

python tools/count_models.py
"""

from __future__ import annotations

import sys

from video_mobile_former import list_models
from video_mobile_former.console import track
from video_mobile_former.files import write_json
from video_mobile_former.profiling.table import COUNTED, count


def main() -> int:
    """Write the file."""
    write_json(
        COUNTED, {name: count(name) for name in track(list_models(), description="counting")}
    )
    print(COUNTED)
    return 0


if __name__ == "__main__":
    sys.exit(main())
