"""The log as journald and a person get it, from processes of its own: it belongs to the whole process."""

import json
import os
import pty
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def events(script: str) -> list[dict[str, object]]:
    """What a script logs into a pipe, line by line."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True, timeout=30, env=ENVIRONMENT
    )
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_log_in_a_pipe_is_one_json_object_a_line() -> None:
    (event,) = events(
        "from agent import logs; logs.configure(); logs.get_logger().info('part.applied', users=400, path='a\\nb')"
    )
    assert list(event) == ["timestamp", "level", "event", "users", "path"]
    assert (event["event"], event["level"], event["users"], event["path"]) == ("part.applied", "info", 400, "a\nb")
    at = datetime.fromisoformat(str(event["timestamp"]))
    assert at.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - at) < timedelta(minutes=1)


def test_log_below_its_level_is_silent() -> None:
    said = events(
        "from agent import logs; logs.configure('warning'); log = logs.get_logger()\n"
        "log.debug('a.b'); log.info('a.c'); log.warning('a.d'); log.error('a.e')"
    )
    assert [event["event"] for event in said] == ["a.d", "a.e"]


def test_log_of_libraries_has_the_same_form() -> None:
    (event,) = events(
        "import asyncio, logging; from agent import logs; logs.configure()\n"
        "logging.getLogger('asyncio').error('Task exception was never retrieved')"
    )
    assert (event["event"], event["level"]) == ("Task exception was never retrieved", "error")


def test_log_of_libraries_never_goes_down_to_their_details() -> None:
    """A database library logs every statement at debug, with names and numbers in it."""
    said = events(
        "import logging; from agent import logs; logs.configure('debug'); logs.get_logger().debug('ours.heard')\n"
        "logging.getLogger('aiosqlite').debug('executing INSERT +27824511234')\n"
        "logging.getLogger('aiosqlite').info('more')"
    )
    assert [event["event"] for event in said] == ["ours.heard"]


def test_log_of_an_exception_shows_no_variables() -> None:
    (event,) = events(
        "from agent import logs; logs.configure()\n"
        "def fail(mobile):\n"
        "    raise RuntimeError('broken')\n"
        "try: fail('+2782451' + '1234')\n"
        "except RuntimeError: logs.get_logger().exception('it.failed')"
    )
    assert "RuntimeError: broken" in str(event["exception"])
    assert "27824511234" not in json.dumps(event)


def test_log_on_a_terminal_is_for_people() -> None:
    ours, theirs = pty.openpty()
    script = (
        "import rich  # as a command has that printed a table: structlog would now show variables\n"
        "from agent import logs; logs.configure(); log = logs.get_logger(); log.info('part.applied', users=400)\n"
        "def fail(mobile): raise RuntimeError('broken')\n"
        "try: fail('+2782451' + '1234')\n"
        "except RuntimeError: log.exception('it.failed')"
    )
    subprocess.run([sys.executable, "-P", "-c", script], stderr=theirs, check=True, timeout=30, env=ENVIRONMENT)
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert "part.applied" in shown
    assert "\x1b[" in shown, "colours"
    assert '{"' not in shown, "no JSON"
    assert "RuntimeError: broken" in shown
    assert "27824511234" not in shown
