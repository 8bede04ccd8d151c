"""What somebody could do who has taken over the daemon, tried from inside the unit's own sandbox."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from tests.machine.station import Station

PROBE = "/opt/fluss-gateway/bin/python /opt/fluss-gateway/probe.py probe.json"


def told_inside(station: Station) -> dict[str, Any]:
    """What the probe tells that runs as a command of the unit itself."""
    # A probe that fails must not keep the unit from starting: that would be tried again for ever.
    station.change(f"ExecStartPre=-{PROBE} {station.line_port}")
    try:
        return _told(station, "/var/lib/private/fluss-agent")
    finally:
        station.change()


def told_outside(station: Station) -> dict[str, Any]:
    """What the same probe tells as root, without a sandbox."""
    station.machine.sh(f"{PROBE} {station.line_port}", within_s=180)
    return _told(station, "/root")


def _told(station: Station, folder: str) -> dict[str, Any]:
    return dict(json.loads(station.machine.sh(f"cat {folder}/probe.json && rm {folder}/probe.json")))


def allowed(answers: dict[str, str]) -> set[str]:
    return {what for what, answer in answers.items() if answer == "allowed"}


async def test_what_is_needed_works_and_nothing_else(
    station: Station, record_property: Callable[[str, object], None]
) -> None:
    async with station.line():
        inside = await asyncio.to_thread(told_inside, station)
        outside = await asyncio.to_thread(told_outside, station)
    assert allowed(outside["forbidden"]) == set(outside["forbidden"]), (
        "control: without a sandbox all of it is possible"
    )
    assert allowed(inside["forbidden"]) == set()
    assert allowed(inside["needed"]) == set(inside["needed"])
    strangers = [
        program
        for program in inside["executable"]
        if not program.startswith(("/opt/fluss-gateway/bin/", "/usr/bin/python3", "/usr/lib/python3"))
    ]
    assert strangers == [], "programs that are not Python's and could be started"
    record_property("tried:probes from inside the sandbox", len(inside["forbidden"]))
