"""What `fluss-agent explain` says, to a program and to a person."""

import json
from pathlib import Path
from typing import Any

from agent import exits
from tests.conftest import gone_if_missing
from tests.counterparts.typed import Done
from tests.counterparts.wristwatch import FAKETIME, Wristwatch


def object_in(done: Done) -> dict[str, Any]:
    assert done.returncode in {exits.OK, exits.REFUSED}, done.stderr
    said = json.loads(done.stdout)
    assert isinstance(said, dict)
    assert (done.returncode == exits.OK) == (said["decision"] == "allowed")
    assert (said["reason"] is None) == (said["decision"] == "allowed")
    return said


def told(done: Done) -> list[dict[str, str]]:
    """What a person is told, device by device."""
    assert done.returncode in {exits.OK, exits.REFUSED}, done.stderr
    return [dict(line.split("\t") for line in block.splitlines()) for block in done.stdout.split("\n\n")]


def woken(home: Path) -> Wristwatch:
    """The clock of a board that has just woken, on which no time service has spoken."""
    gone_if_missing("libfaketime", FAKETIME)
    return Wristwatch(home, "@1970-01-01 00:10:00")
