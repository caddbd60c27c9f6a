"""Shared fixtures. Videos are generated here or come from the optional folder ../shared/data."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_configure() -> None:
    # Test processes run side by side; more threads than cores would only slow each other down.
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The optional folder of real clips; tests that need it are skipped where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"optional data folder {SHARED_DATA.name} is not beside this checkout")
    return SHARED_DATA
