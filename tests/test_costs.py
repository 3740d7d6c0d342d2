"""What the project costs a user, where it can be counted and is not a matter of the machine."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.startup import heavy_modules_loaded
from benchmarks.transfers.memory import MIB, measure


def test_importing_and_constructing_loads_nothing_heavy() -> None:
    assert heavy_modules_loaded() == []


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_transfer_keeps_no_file_in_memory(tmp_path: Path) -> None:
    measured = measure(256 * MIB, tmp_path)

    assert measured.intact
    assert measured.within_bars, measured
