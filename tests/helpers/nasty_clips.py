"""Clips whose reader hangs, crashes, fills memory or dawdles, by the begin of the file's name.

In a module of its own, so that worker processes can import it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from video_mobile_former.data.limits import check_time
from video_mobile_former.data.loading import dataset
from video_mobile_former.data.loading.dataset import ClipDataset
from video_mobile_former.data.video.reader import VideoReader


class NastyReader(VideoReader):
    """Opens the file first: what happens happens in the middle of a read."""

    def frames(self, *args: Any, **options: Any) -> Any:
        name = Path(self.path).name
        if name.startswith("hang"):
            ctypes.PyDLL(None).sleep(1000)  # keeps the interpreter locked
        elif name.startswith("crash"):
            ctypes.string_at(0)
        elif name.startswith("hog"):
            while True:
                self.hoard = [getattr(self, "hoard", None), np.ones(1 << 20)]
        elif name.startswith("slow"):
            while True:
                time.sleep(0.01)
                check_time()
        elif name.startswith("killed"):
            os.kill(os.getpid(), signal.SIGKILL)
        elif name.startswith("bug"):
            raise RuntimeError("not the file's fault")
        return super().frames(*args, **options)


class NastyDataset(ClipDataset):
    """Reads with the above."""

    def __getitem__(self, key: Any) -> Any:
        with mock.patch.object(dataset, "VideoReader", NastyReader):
            return super().__getitem__(key)
