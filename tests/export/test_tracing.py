"""What libraries print does not reach the terminal, and what comes after does."""

import logging
import os
import sys
import warnings

import pytest

from video_mobile_former.console import quiet


def test_prints_of_python_and_of_native_code_are_dropped(capfd):
    with quiet(output=True):
        print("from python")
        print("from python", file=sys.stderr)
        os.write(1, b"from native code")
        os.write(2, b"from native code")
        logging.getLogger("library").error("from a logger")
        warnings.warn("from a warning", stacklevel=1)
    print("ours")
    os.write(2, b"ours too")
    out, err = capfd.readouterr()
    assert (out, err) == ("ours\n", "ours too")


def test_errors_still_come_and_the_terminal_is_given_back(capfd):
    with pytest.raises(RuntimeError, match="broken"), quiet(output=True):
        raise RuntimeError("broken")
    os.write(1, b"ours")
    assert capfd.readouterr().out == "ours"
