"""The demonstration, as somebody sees it who has just installed the project."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from rich.cells import cell_len

from simulator import exits
from tests.acceptance.test_invite import SAMPLE
from tests.counterparts.program import Program
from tests.counterparts.terminal import Terminal
from tests.counterparts.waiting import wait_until

ROOT = Path(__file__).parents[2]
DEMO = (sys.executable, "-P", "-m", "simulator", "demo")


def demo(*words: str, home: Path, **environ: str) -> "subprocess.CompletedProcess[str]":
    """Run it to its end, in a pipe."""
    env = environment(home) | environ
    return subprocess.run([*DEMO, *words], capture_output=True, text=True, check=False, timeout=60, env=env, cwd="/")


OTHERS = [
    ("A stranger", "Bluetooth", "denied", "unknown_user"),
    ("Maria Tshabalala", "Bluetooth", "denied", "outside_schedule"),
    ("Gladys Mahlangu", "Bluetooth", "allowed", None),
    ("Riaan Venter", "Bluetooth", "denied", "not_yet_valid"),
    ("Anika Steyn", "Bluetooth", "allowed", None),
]


def cells(chapter: str, columns: int) -> list[list[str]]:
    """The table of a chapter, headings first."""
    return [line.split("\t") for line in chapter.splitlines() if line.count("\t") == columns - 1]


def reason(decision: str, why: str) -> tuple[str, str | None]:
    """A decision, and the wire's own word of why."""
    found = re.search(r"\((\w+)\)$", why)
    return decision, found[1] if found else None


def environment(home: Path) -> dict[str, str]:
    """Its temporary folder is where a test can look."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(home)}


def agents(home: Path) -> list[int]:
    """Every fluss-agent that works in this folder."""
    found = []
    for process in psutil.process_iter(["pid", "cmdline"]):
        words = process.info["cmdline"] or []
        if "agent" in " ".join(words) and any(str(home) in word for word in words):
            found.append(process.info["pid"])
    return found


def test_demo_tells_the_whole_story_and_ends_by_itself(tmp_path: Path) -> None:
    began = time.monotonic()
    done = demo(home=tmp_path)
    took_s = time.monotonic() - began
    assert (done.returncode, done.stderr) == (exits.OK, "")
    assert took_s < 20
    story = done.stdout
    headings = re.findall(r"^\d  .+$", story, re.MULTILINE)
    assert [heading[3:] for heading in headings] == [
        "A broker and a gateway",
        "The list as it is understood",
        "The import",
        "The list as the gateway now holds it",
        "The same list again",
        "A restart",
        "At the gate",
        "With the broker stopped",
        "Why somebody stays outside",
    ]
    chapters = re.split(r"^\d  .+\n", story, flags=re.MULTILINE)
    assert (
        "It has the public half of the office's key (cloud-demo.jwk), and believes nothing that is not" in chapters[1]
    )
    preview, imported, held, again, restart, at_the_gate, without_broker, why = chapters[2:]
    people = [line for line in SAMPLE.read_text("utf-8").splitlines() if re.match('[^"]*,', line)]
    assert len(people) > 40
    assert "0 82 000 01 17\t+27820000117" in preview
    table = cells(imported, 6)
    assert table[0] == ["Row", "Name", "Number", "Outcome", "Status", "Reason"]
    assert len(table) == 1 + 52, "everybody, once"
    assert {row[3] for row in table[1:]} == {"added", "rejected"}
    assert {row[4] for row in table[1:]} == {"Active", "Pending", ""}
    assert all(row[5] for row in table if row[3] == "rejected")
    users = [line for line in held.splitlines() if line.startswith("Main gate\t")]
    assert len(users) == 45
    assert "90 unchanged, 14 rejected" in again
    assert "exit code 0" in restart
    assert restart.count("as before") == 2
    assert "The list is intact." in restart
    came = cells(at_the_gate, 5)
    assert came[0] == ["Who", "What they are", "How", "Decision", "Why"]
    assert [(row[0], row[2], *reason(row[3], row[4])) for row in came[1:]] == [
        ("David Mokoena", "Bluetooth", "allowed", None),
        ("Zanele Sithole", "Bluetooth", "denied", "not_accepted"),
        ("Zanele Sithole", "Bluetooth", "allowed", None),
        *OTHERS,
        ("Elmarie Brand", "Wi-Fi", "denied", "wifi_not_allowed"),
        ("Sipho Khumalo", "Wi-Fi", "allowed", None),
        ("Thandeka Zulu", "intercom", "allowed", None),
        ("Bheki, courier", "keypad", "allowed", None),
        ("Bheki, courier", "keypad", "allowed", None),
        ("Bheki, courier", "keypad", "denied", "code_spent"),
    ]
    assert "The gate opened 8 times, once for each; 6 times it stayed shut." in at_the_gate
    visits, arrivals = without_broker.split("The broker is back.")
    residents = [("David Mokoena", "Bluetooth", "allowed", None), ("Zanele Sithole", "Bluetooth", "allowed", None)]
    assert [(row[0], row[2], *reason(row[3], row[4])) for row in cells(visits, 5)[1:]] == [*residents, *OTHERS]
    late = cells(arrivals, 5)
    assert late[0] == ["Happened", "Reached the cloud", "Who", "Decision", "Why"]
    assert [reason(row[3], row[4]) for row in late[1:]] == [each[2:] for each in (*residents, *OTHERS)]
    assert [row[0] for row in late[1:]] == sorted(row[0] for row in late[1:])
    assert re.search(r"^person\tMaria Tshabalala, \+27820000202, Active$", why, re.MULTILINE)
    assert re.search(r"^decision\tdenied: outside_schedule$", why, re.MULTILINE)
    assert re.search(r"^because\tRepeat: .* opens next on ", why, re.MULTILINE)
    assert "\x1b" not in story, "plain in a pipe"
    assert list(tmp_path.iterdir()) == [], "nothing of it stays"


@pytest.mark.parametrize("columns", [80, 120])
def test_demo_fits_the_terminal(tmp_path: Path, columns: int) -> None:
    with Terminal(columns, DEMO, environment(tmp_path)) as terminal:
        assert terminal.ends() == exits.OK, terminal.lines[-20:]
        shown = terminal.lines
    chapters = {line[0]: number for number, line in enumerate(shown) if re.match(r"\d  ", line)}
    ours = [*shown[: chapters["4"]], *shown[chapters["5"] :]]
    assert max(map(cell_len, ours)) <= columns
    assert any(re.match(r" *2 +David Mokoena +\+27820000101 +added +Active", line) for line in ours)
    assert any("98/98" in line for line in ours), "the progress"
    assert any(re.match(r"Gladys Mahlangu +cleaner, in time +Bluetooth +allowed$", line) for line in ours)
    assert any(
        re.match(r"Maria Tshabalala +cleaner, too early +Bluetooth +denied +outside their hours$", line)
        for line in ours
    )


@pytest.mark.parametrize("ends_with", [signal.SIGINT, signal.SIGTERM])
def test_demo_that_is_interrupted_leaves_nothing_behind(tmp_path: Path, ends_with: signal.Signals) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with Program(DEMO, tmp_path / "log", env={**environment(home), "PYTHONUNBUFFERED": "1"}) as running:
        assert running.says("1  A broker and a gateway")
        wait_until(lambda: agents(home))
        running.signal(ends_with)
        assert running.wait() == exits.REFUSED, running.output()
        assert "Traceback" not in running.output()
    assert agents(home) == []
    assert list(home.iterdir()) == []


def test_kept_demo_can_be_looked_at(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    done = demo("--keep", str(kept), home=tmp_path)
    assert done.returncode == exits.OK, done.stderr
    assert f"fluss-agent users --config {kept / 'gateway.toml'}" in done.stdout
    users = subprocess.run(
        [sys.executable, "-P", "-m", "agent", "users", "--format", "json", "--config", kept / "gateway.toml"],
        capture_output=True,
        check=True,
        timeout=30,
        env=environment(tmp_path),
    )
    assert len(json.loads(users.stdout)) == 95
    assert 'keys = ["' + str(kept / "cloud-demo.jwk") in (kept / "gateway.toml").read_text()
    assert (kept / "cloud-demo.private.jwk").stat().st_mode & 0o777 == 0o600
    again = demo("--keep", str(kept), home=tmp_path)
    assert (again.returncode, "is not empty: name a new directory" in again.stderr) == (exits.USAGE, True)


def test_gateway_that_dies_shows_its_log(tmp_path: Path) -> None:
    """Another `agent` comes first on the path, whichever way it is started."""
    broken = tmp_path / "broken"
    (broken / "agent").mkdir(parents=True)
    (broken / "agent" / "__init__.py").touch()
    (broken / "agent" / "cli.py").write_text("def main():\n    return 'the state directory is full of bees'\n")
    (broken / "agent" / "__main__.py").write_text("import sys\nfrom agent.cli import main\nsys.exit(main())\n")
    for package in ("protocol", "simulator"):
        (broken / package).symlink_to(ROOT / package)
    done = demo(home=tmp_path, PYTHONPATH=str(broken))
    assert done.returncode == exits.BUG
    assert "the gateway ended with exit code 1. Its log" in done.stderr
    assert "full of bees" in done.stderr
