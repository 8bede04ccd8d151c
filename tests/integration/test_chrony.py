"""A real chronyd is asked over its command port, as root and as nobody else would ask it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.chrony import Tracking, ask
from tests.conftest import gone_if_missing
from tests.counterparts.chronyd import CHRONYC, CHRONYD, Chronyd, time_client, time_server
from tests.counterparts.ports import free_port
from tests.counterparts.waiting import until


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Chronyd, int]]:
    """A chronyd that gives the time of this machine, for want of a better one, and its NTP port."""
    gone_if_missing("chrony", CHRONYD and CHRONYC)
    chronyd, port = time_server(tmp_path / "server")
    with chronyd:
        yield chronyd, port


async def heard(chronyd: Chronyd) -> tuple[Tracking, list[str]]:
    """What it says to us, and between two of our questions the same to its own chronyc."""
    while True:
        before = await ask(chronyd.command_port)
        fields = chronyd.tracking()
        after = await ask(chronyd.command_port)
        assert before is not None
        assert after is not None
        if before.reference == after.reference and abs(before.at - after.at) <= 1:
            return after, fields


async def test_chronyd_with_a_source_vouches_for_the_clock_in_the_words_of_chronyc(
    server: tuple[Chronyd, int], tmp_path: Path
) -> None:
    with time_client(tmp_path / "client", server[1]) as client:

        async def synchronised() -> bool:
            tracking = await ask(client.command_port)
            return tracking is not None and tracking.synchronised

        await until(synchronised, within_s=30)
        tracking, fields = await heard(client)
    assert (f"{tracking.reference:08X}", str(tracking.stratum)) == (fields[0], fields[2])
    assert (tracking.leap, fields[-1]) == (0, "Normal")
    assert tracking.at / 1000 == pytest.approx(float(fields[3]), abs=0.1)


async def test_chronyd_that_has_not_corrected_the_clock_does_not_vouch_for_it(
    server: tuple[Chronyd, int], tmp_path: Path
) -> None:
    """It calls itself synchronised while the clock is half a minute slow: chronyc says "Normal" too."""
    with time_client(tmp_path / "client", server[1], "offset", "30") as client:
        await until(lambda: client.tracking()[-1] == "Normal", within_s=30)
        tracking, fields = await heard(client)
    assert not tracking.synchronised
    assert tracking.correction_s == pytest.approx(float(fields[4]), abs=0.01)
    assert tracking.correction_s == pytest.approx(30, abs=1)
    assert tracking.at / 1000 == pytest.approx(float(fields[3]) - 30, abs=1), (
        "by the board's clock, not by the right one"
    )


async def test_chronyd_that_serves_the_boards_own_time_does_not_vouch_for_it(server: tuple[Chronyd, int]) -> None:
    """`local stratum` on a board without a battery says "Normal" in 1970."""
    tracking, fields = await heard(server[0])
    assert fields[-1] == "Normal"
    assert tracking.leap == 0
    assert not tracking.synchronised


async def test_chronyd_that_hears_no_source_does_not_vouch_for_the_clock(
    server: tuple[Chronyd, int], tmp_path: Path
) -> None:
    with time_client(tmp_path / "client", free_port()) as client:
        tracking, fields = await heard(client)
    assert fields[-1] == "Not synchronised"
    assert not tracking.synchronised
