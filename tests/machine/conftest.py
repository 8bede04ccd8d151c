"""Tests that boot a machine: some minutes and root, so only `make machine` collects them."""

import os
from collections.abc import Iterator

import pytest

from tests.machine.machine import BUILT
from tests.machine.station import Station

collect_ignore_glob = [] if os.environ.get("MACHINE") else ["test_*.py"]


@pytest.fixture(scope="session")
def station(mosquitto_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    """One machine for all tests, installed, its unit running. What a test changes it puts back."""
    assert (BUILT / "disk.img").exists(), "no image of a machine: make machine"
    station = Station(tmp_path_factory.mktemp("station"))
    try:
        station.start()
        yield station
    finally:
        station.stop()
