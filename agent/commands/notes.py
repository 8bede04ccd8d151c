"""What a daemon at work has written down last about itself, its link and its hardware."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from agent.store_path import NOTE
from protocol.vocabulary import ClockState


def note_in(state_dir: Path) -> dict[str, Any]:
    """Its note; empty where there is none that can be read. Whether its daemon still runs, a note cannot know."""
    try:
        note = json.loads((state_dir / NOTE).read_text())
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def clock_in(note: Mapping[str, Any]) -> ClockState | None:
    """What it says of the clock."""
    with suppress(ValueError):
        return ClockState(str(note.get("clock")))
    return None


def hardware_in(note: Mapping[str, Any], device_id: str) -> dict[str, Any]:
    """What it says of a device: `connected` and `position`; empty where it says nothing."""
    hardware = note.get("hardware")
    device = hardware.get(device_id) if isinstance(hardware, dict) else None
    return device if isinstance(device, dict) else {}
