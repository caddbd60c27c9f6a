"""``python -m video_mobile_former`` is ``vmf``."""

import sys

from .cli.main import main

sys.exit(main())
