"""Days at a gate, played from files with the real gateway at the story's own time of day."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.cells import cell_len

from simulator import exits
from simulator.scenario_file import shipped
from tests.conftest import gone_if_missing
from tests.counterparts.program import Program
from tests.counterparts.terminal import Terminal
from tests.counterparts.waiting import wait_until
from tests.counterparts.wristwatch import FAKETIME

ROOT = Path(__file__).parents[2]
SCENARIO = (sys.executable, "-P", "-m", "simulator", "scenario")

EVERYTHING = Path(__file__).with_name("everything.toml")

SHORT = """
[scenario]
title = "A short story"
day = 2026-12-08

[[devices]]
id = "1234567890123456"
name = "Main gate"

[[people]]
name = "David"
mobile = "082 000 0101"

[[steps]]
at = "06:00"
import = ["David"]
expect = { added = 1 }

[[steps]]
at = "06:45"
who = "David"
ask = "Main gate"
expect = "allowed"

[[steps]]
at = "06:50"
who = "073 999 0000"
ask = "Main gate"
expect = "unknown_user"
note = "Nobody knows this number."
"""


@pytest.fixture
def faketime_installed() -> None:
    """For stories that are played at their own time."""
    gone_if_missing("faketime", FAKETIME)


def environment(home: Path) -> dict[str, str]:
    """Its temporary folder is where a test can look."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(home)}


def play(*words: str | Path, home: Path) -> "subprocess.CompletedProcess[str]":
    """Play to the end, in a pipe."""
    command = [*SCENARIO, *map(str, words)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=55, env=environment(home), cwd="/"
    )


def written(folder: Path, text: str) -> Path:
    file = folder / "day.toml"
    file.write_text(text, "utf-8")
    return file


def rows(story: str) -> list[list[str]]:
    """What happened, step by step."""
    return [line.split("\t") for line in story.splitlines() if re.match(r"\d\d:\d\d\t", line)]


def ended_as_it_says(done: "subprocess.CompletedProcess[str]") -> None:
    """Every step as the file expects it, and the cloud was told of every one at a gate."""
    assert (done.returncode, done.stderr) == (exits.OK, ""), done.stdout
    marks = [row[5] for row in rows(done.stdout)]
    assert marks.count("✓") >= 8
    assert "✗" not in marks
    events = sum(row[3] in {"allowed", "denied"} for row in rows(done.stdout))
    told = re.search(r"The cloud was told the same story: (\d+) events, .* all in order, none missing\.", done.stdout)
    assert told is not None
    assert int(told[1]) == events
    assert "\x1b" not in done.stdout, "plain in a pipe"


@pytest.mark.parametrize("name", sorted(shipped().keys() - {"office"}))
def test_shipped_scenario_ends_as_it_says(faketime_installed: None, tmp_path: Path, name: str) -> None:
    ended_as_it_says(play(name, home=tmp_path))
    assert list(tmp_path.iterdir()) == [], "nothing of it stays"


def test_network_of_the_office_breaks_in_the_middle_of_the_import(faketime_installed: None, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    done = play("office", "--keep", kept, home=tmp_path)
    ended_as_it_says(done)
    assert "broke 3 times" in done.stdout
    log = [json.loads(line) for line in (kept / "gateway.log").read_text().splitlines()]
    first, *_, last = [place for place, line in enumerate(log) if line.get("added")][1:]
    breaks = [place for place, line in enumerate(log) if line["event"] in {"link.lost", "link.failed"}]
    assert any(first < place < last for place in breaks), "between the first part of the list and the last"
    assert all("reset by peer" in log[place]["error"] for place in breaks)
    assert f"fluss-agent events --config {kept / 'gateway.toml'}" in done.stdout
    events = [sys.executable, "-P", "-m", "agent", "events", "--format", "json", "--config", str(kept / "gateway.toml")]
    shown = subprocess.run(events, capture_output=True, check=True, timeout=30, env=environment(tmp_path))
    assert len(json.loads(shown.stdout)) == 6


def test_everything_that_can_happen_in_a_scenario_happens(faketime_installed: None, tmp_path: Path) -> None:
    done = play(EVERYTHING, home=tmp_path)
    assert (done.returncode, done.stderr) == (exits.OK, ""), done.stdout
    found = [row[1:] for row in rows(done.stdout)]
    assert ["The office", "imports 2 people", "6 added", "3 Active, 3 Pending", "✓"] in found
    assert ["Main gate", "is unplugged", "", "", ""] in found
    assert ["Oliver", "takes up the invitation", "Active", "", ""] in found
    assert ["The network", "is back", "", "an event arrives", ""] in found
    assert ["The office", "imports Oliver as the whole list", "3 unchanged", "3 Active", "✓"] in found
    assert "Tuesday 8 December 2026, Europe/London" in done.stdout
    assert "Wednesday 9 December 2026, Europe/London" in done.stdout


@pytest.mark.parametrize(
    ("right", "wrong", "words"),
    [
        ('"allowed"', '"outside_schedule"', "step 2 (06:45): David, Main gate: expected outside_schedule, was allowed"),
        (
            '"unknown_user"',
            '"allowed"',
            "step 3 (06:50): 073 999 0000, Main gate: expected allowed, was denied: not on the list (unknown_user)",
        ),
        ("added = 1", "added = 2", "step 1 (06:00): The office, imports David: expected 2 added, was 1 added"),
    ],
)
def test_step_that_ends_otherwise_is_named(
    faketime_installed: None, tmp_path: Path, right: str, wrong: str, words: str
) -> None:
    done = play(written(tmp_path, SHORT.replace(right, wrong)), home=tmp_path)
    assert done.returncode == exits.REFUSED
    assert [row[5] for row in rows(done.stdout)].count("✗") == 1
    assert "Not as expected, of 3 steps:" in done.stdout
    assert words in done.stdout


def test_file_that_tells_no_story_is_not_played(tmp_path: Path) -> None:
    done = play(written(tmp_path, SHORT.replace('expect = "allowed"', 'expect = "maybe"')), home=tmp_path)
    assert (done.returncode, done.stdout) == (exits.CONFIG, "")
    assert "day.toml, step 2 (06:45), expect: 'maybe' is none of the words here, such as allowed" in done.stderr
    missing = play(tmp_path / "none.toml", home=tmp_path)
    assert missing.returncode == exits.IO
    assert "none.toml" in missing.stderr


def test_scenarios_are_listed_and_a_wrong_name_is_helped_with(tmp_path: Path) -> None:
    for words in (["--list"], []):
        done = play(*words, home=tmp_path)
        assert done.returncode == exits.OK
        listed = dict(line.split("\t") for line in done.stdout.splitlines())
        assert listed.keys() == {"Name", *shipped()}
    wrong = play("mornin", home=tmp_path)
    assert wrong.returncode == exits.USAGE
    assert "there is no scenario 'mornin'; did you mean 'morning'? --list shows them" in wrong.stderr


@pytest.mark.parametrize("columns", [80, 120])
def test_scenario_fits_the_terminal(faketime_installed: None, tmp_path: Path, columns: int) -> None:
    with Terminal(columns, [*SCENARIO, str(written(tmp_path, SHORT))], environment(tmp_path)) as terminal:
        assert terminal.ends() == exits.OK, terminal.lines[-20:]
        shown = terminal.lines
        assert "\x1b[32mallowed" in terminal.raw, "in colour"
    assert max(map(cell_len, shown)) <= columns
    assert any(re.fullmatch("06:45 +David +Main gate +allowed +✓", line) for line in shown)
    assert any(re.fullmatch("06:50 +073 999 0000 +Main gate +denied +not on the list +✓", line) for line in shown)
    assert "06:50  Nobody knows this number." in shown


def test_watched_scenario_has_a_view_at_the_time_of_the_story(faketime_installed: None, tmp_path: Path) -> None:
    words = [*SCENARIO, str(written(tmp_path, SHORT)), "--watch", "--pace", "0.3"]
    with Terminal(100, words, {**environment(tmp_path), "TZ": "Asia/Kathmandu"}) as terminal:
        assert terminal.ends() == exits.OK, terminal.lines[-20:]
        shown = [re.sub(" +", " ", line) for line in terminal.lines]
    assert "Device Gateway Stands" in shown
    assert any(line.startswith("Main gate connected closed") for line in shown)
    assert "06:45:00 +27820000101 (bluetooth) allowed" in shown
    assert "06:50:00 +27739990000 (bluetooth) denied not on the list" in shown


@pytest.mark.parametrize("ends_with", [signal.SIGINT, signal.SIGTERM])
def test_scenario_that_is_interrupted_leaves_nothing_behind(
    faketime_installed: None, tmp_path: Path, ends_with: signal.Signals
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    words = [*SCENARIO, str(written(tmp_path, SHORT)), "--pace", "20"]
    with Program(words, tmp_path / "log", env={**environment(home), "PYTHONUNBUFFERED": "1"}) as running:
        wait_until(lambda: list(home.glob("*/state/gateway.db")), what="a gateway that works")
        running.signal(ends_with)
        began = time.monotonic()
        assert running.wait() == exits.REFUSED, running.output()
        assert time.monotonic() - began < 8
        assert "Traceback" not in running.output()
    assert list(home.iterdir()) == []
