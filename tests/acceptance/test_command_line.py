"""What the process does when something goes wrong that no command expected, and what it loads to do a small thing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent import exits

ROOT = Path(__file__).parents[2]


def python(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        cwd="/",
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def with_fault(fault: str) -> subprocess.CompletedProcess[str]:
    """`check-config` with something else where it loads the file."""
    return python(
        "import sys\n"
        "from agent.commands import check_config\n"
        "def configuration(path):\n"
        "    mobile = '+27824511234'\n"
        f"    {fault}\n"
        "check_config.configuration = configuration\n"
        "from agent.cli import main\n"
        "sys.exit(main(['check-config']))\n"
    )


def test_bug_exits_70_with_the_traceback_in_the_log() -> None:
    done = with_fault("1 / 0")
    assert done.returncode == exits.BUG
    event, words = done.stderr.splitlines()
    logged = json.loads(event)
    assert (logged["event"], logged["level"]) == ("command.crashed", "error")
    assert "ZeroDivisionError" in logged["exception"]
    assert "27824511234" not in done.stderr, "a traceback shows no variables"
    assert words == "fluss-agent: this is a bug (ZeroDivisionError); please report it with the log above"


def test_failing_disk_exits_74_in_one_line() -> None:
    done = with_fault("raise OSError(28, 'No space left on device', '/var/lib/fluss-agent/x')")
    assert done.returncode == exits.IO
    assert done.stderr == "fluss-agent: /var/lib/fluss-agent/x: No space left on device\n"


def test_interrupt_exits_without_a_traceback() -> None:
    done = with_fault("raise KeyboardInterrupt")
    assert done.returncode == exits.REFUSED
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("imported", "absent"),
    [
        ("agent.cli", {"pydantic", "structlog", "asyncio", "phonenumbers", "rich"}),
        ("agent.commands.check_config", {"structlog", "asyncio", "rich", "difflib"}),
        ("agent.commands.run", {"rich", "rich.console"}),
    ],
)
def test_imports_stay_small(imported: str, absent: set[str]) -> None:
    """What a slow board and its 50 MiB do not pay for."""
    done = python(f"import sys, {imported}; print(*sys.modules)")
    assert done.returncode == 0, done.stderr
    assert not absent & set(done.stdout.split())
