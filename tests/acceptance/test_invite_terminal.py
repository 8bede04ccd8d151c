"""The import at a terminal: the question, the widths, and what a long list leaves to look at."""

import asyncio
import os
import re
import sys
from pathlib import Path

from rich.cells import cell_len

from simulator import exits
from tests.acceptance.test_invite import ROOT, SAMPLE, office, written
from tests.counterparts.agent import Agent
from tests.counterparts.cloud import PANEL
from tests.counterparts.terminal import Terminal

__all__ = ["office"]

COMMAND = (sys.executable, "-P", "-m", "simulator", "cloud", "invite")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


async def test_person_at_a_terminal_is_asked(office: Agent) -> None:
    words = [*COMMAND, str(SAMPLE), "--config", str(office.file), "--permission", "Always"]

    def imported() -> int:
        with Terminal(80, words, ENVIRONMENT) as terminal:
            terminal.shows("Import 49 people? [y/N]")
            assert max(map(cell_len, terminal.lines)) <= 80
            assert "\x1b[" in terminal.raw, "in colour"
            terminal.type("y\n")
            code = terminal.ends()
            assert any(re.match(r" *2 +David Mokoena +\+27820000101 +added +Pending", line) for line in terminal.lines)
            assert "52 rows on 2 devices: 90 added, 14 rejected; now 90 Pending" in terminal.lines
            return code

    assert await asyncio.to_thread(imported) == exits.REFUSED
    assert len(await office.users()) == 90


async def test_person_who_says_no_imports_nothing(office: Agent) -> None:
    words = [*COMMAND, str(SAMPLE), "--config", str(office.file), "--permission", "Always"]

    def declined(answer: str) -> int:
        with Terminal(80, words, ENVIRONMENT) as terminal:
            terminal.shows("[y/N]")
            terminal.type(answer)
            return terminal.ends()

    assert await asyncio.to_thread(declined, "n\n") == exits.REFUSED
    assert await asyncio.to_thread(declined, "\n") == exits.REFUSED, "no is what a slip of the hand gets"
    assert await office.users() == []


async def test_lines_are_pasted_at_the_terminal(office: Agent) -> None:
    words = [*COMMAND, "--paste", "--config", str(office.file), "--device", PANEL]

    def pasted() -> int:
        with Terminal(80, words, ENVIRONMENT) as terminal:
            terminal.shows("then Enter and Ctrl-D:")
            terminal.type("David, 082 451 1234, Unit 4\n\x04")
            terminal.shows("Import 1 person? [y/N]")
            terminal.type("y\n")
            return terminal.ends()

    assert await asyncio.to_thread(pasted) == exits.OK
    assert [user["userName"] for user in await office.users()] == ["David"]


async def test_import_that_is_interrupted_says_where_it_stands(office: Agent) -> None:
    await office.stop()
    words = [*COMMAND, str(SAMPLE), "--config", str(office.file), "--device", PANEL, "--yes"]

    def interrupted() -> int:
        with Terminal(100, words, ENVIRONMENT) as terminal:
            terminal.shows("gw-1 is offline")
            terminal.type("\x03")
            code = terminal.ends()
            assert any(line.startswith("Interrupted: 0 results are known.") for line in terminal.lines)
            assert "Traceback" not in terminal.raw
            return code

    assert await asyncio.to_thread(interrupted) == exits.REFUSED


async def test_long_list_shows_who_needs_a_look_unless_all_are_wanted(office: Agent, tmp_path: Path) -> None:
    file = written(tmp_path, *[f"R {number},08245{number:05}," for number in range(150)], "Short,082,")
    words = [*COMMAND, str(file), "--config", str(office.file), "--device", PANEL, "--yes"]

    def shown(*more: str) -> list[str]:
        with Terminal(100, [*words, *more], ENVIRONMENT) as terminal:
            assert terminal.ends() == exits.REFUSED
            return terminal.lines

    lines = await asyncio.to_thread(shown)
    table = lines[[bool(re.match("Row +Name +Number +Outcome", line)) for line in lines].index(True) + 2 :]
    assert re.match(r"152 +Short +082 +rejected +'082' is too short", table[0])
    assert "Nobody else needs a look; --all shows everybody." in table
    assert not any("added" in line for line in table[:3]), "nobody else is shown"
    assert "151 rows: 150 added, 1 rejected; now 150 Pending" in lines
    everybody = await asyncio.to_thread(shown, "--all")
    assert len([line for line in everybody if re.search("unchanged +Pending", line)]) == 150
    assert len([line for line in everybody if re.search(r" 08245\d{5} +\+2782", line)]) == 150, "the preview as well"


async def test_names_cannot_play_tricks_with_the_terminal(office: Agent, tmp_path: Path) -> None:
    file = written(tmp_path, "\x1b[31mRed[bold]\x07\u202e,082 451 1234,")
    words = [*COMMAND, str(file), "--config", str(office.file), "--device", PANEL, "--yes"]

    def shown() -> str:
        with Terminal(80, words, ENVIRONMENT) as terminal:
            assert terminal.ends() == exits.OK
            return terminal.raw

    raw = await asyncio.to_thread(shown)
    assert "\N{REPLACEMENT CHARACTER}[31mRed[bold]\N{REPLACEMENT CHARACTER}" in raw
    assert not any(trick in raw for trick in ("\x1b[31mRed", "\x07", "\u202e"))
