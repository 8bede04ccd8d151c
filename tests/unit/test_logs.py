"""The log as journald and a person get it, from processes of its own: it belongs to the whole process."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

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


def test_log_masks_numbers_and_withholds_names_of_our_own_events_too() -> None:
    (event,) = events(
        "from agent import logs; logs.configure()\n"
        "logs.get_logger().info('user.added', name='Ann', why='082 451 1234 is new', device_id='1234567890123456')"
    )
    assert (event["name"], event["why"]) == ("<withheld>", "<number> is new")
    assert event["device_id"] == "1234567890123456"


# Every way in which an error can reach the log with what was in hand when it was met.
CRASHES = {
    "a bug, logged at the top": "try: stumble()\nexcept Exception as bug: log.error('command.crashed', exc_info=bug)",
    "a bug, logged where it was met": "try: stumble()\nexcept Exception: log.exception('it.failed')",
    "a bug that nobody caught": "stumble()",
    "a bug that ends a thread": "t = threading.Thread(target=stumble); t.start(); t.join()",
    "a bug while an object goes": "type('Gone', (), {'__del__': lambda self: stumble()})()",
    "a bug in a callback": "loop = asyncio.new_event_loop(); loop.call_soon(fail, PERSON)\n"
    "loop.call_soon(loop.stop); loop.run_forever(); loop.close()",
    "a task that nobody waited for": "async def main():\n"
    "    async def task(): stumble()\n"
    "    asyncio.create_task(task()); await asyncio.sleep(0.01); gc.collect()\n"
    "asyncio.run(main())",
    "a group of tasks": "async def main():\n"
    "    async def task(): stumble()\n"
    "    async with asyncio.TaskGroup() as group: group.create_task(task())\n"
    "try: asyncio.run(main())\nexcept* Exception as bugs: log.error('it.failed', exc_info=bugs)",
    "a library's error": "try: stumble()\n"
    "except Exception: logging.getLogger('lib').exception('Failed with %s', PERSON['userName'])",
    "a library's words": "logging.getLogger('lib').error('Cannot send (' + PERSON['userName'] + ')')",
    "a warning": "warnings.warn(f'cannot write {PERSON}', stacklevel=1)",
    "a warning of pydantic": "class Model(BaseModel): at: int\nModel.model_construct(at=PERSON).model_dump_json()",
}
_SCRIPT = """
import asyncio, gc, logging, threading, warnings
from pydantic import BaseModel, TypeAdapter
from agent import logs
logs.configure()
log = logs.get_logger()
PERSON = {"userName": "Quixotina", "mobile": "082 451 9991"}
def fail(person):
    try:
        TypeAdapter(int).validate_python(person)
    except ValueError as invalid:
        raise KeyError(person["userName"], person) from invalid
def stumble(): fail(PERSON)
"""


def crashed(script: str) -> str:
    """What a script that ends somehow has printed."""
    return subprocess.run(
        [sys.executable, "-P", "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=30,
        env=ENVIRONMENT,
    ).stdout


@pytest.mark.parametrize("crash", CRASHES.values(), ids=CRASHES.keys())
def test_log_of_a_crash_names_nobody(crash: str, record_property: Callable[[str, object], None]) -> None:
    """As a control, the same without our log: there it names somebody."""
    assert "Quixotina" in crashed(_SCRIPT.replace("logs.configure()", "") + crash)
    said = crashed(_SCRIPT + crash)
    (event,) = [json.loads(line) for line in said.splitlines()]
    assert event["level"] in {"error", "warning"}
    assert "Quixotina" not in said
    assert "9991" not in said
    record_property("tried:canaries", 2)
    if "exception" in event:
        for said in ("in fail", "pydantic_core", "KeyError", "direct cause"):
            assert said in event["exception"]


def test_log_of_a_crash_keeps_the_words_that_speak_of_the_program() -> None:
    (event,) = events(
        "from agent import logs; logs.configure(); log = logs.get_logger()\n"
        "from storage.database import StorageFault\n"
        "try:\n"
        "    try: open('/nowhere/at/all')\n"
        "    except OSError as error: raise StorageFault('gateway.db: disk I/O error') from error\n"
        "except StorageFault:\n"
        "    try: None.mobile\n"
        "    except AttributeError: log.exception('it.failed')"
    )
    for words in (
        "FileNotFoundError: [Errno 2] No such file or directory: '/nowhere/at/all'",
        "storage.database.StorageFault: gateway.db: disk I/O error",
        "AttributeError: 'NoneType' object has no attribute 'mobile'",
        "During handling of the above exception",
    ):
        assert words in str(event["exception"])


def test_log_of_a_crash_shows_no_object_in_the_words_either() -> None:
    (event,) = events(
        "import asyncio; from agent import logs; logs.configure(); log = logs.get_logger()\n"
        "try: raise RuntimeError(\"Task <Task result='Canary'> got attached to another loop\")\n"
        "except RuntimeError: log.exception('it.failed')"
    )
    assert "RuntimeError: Task" in str(event["exception"])
    assert "Canary'>" not in str(event["exception"]).splitlines()[-1]


def test_log_of_errors_that_cause_each_other_ends() -> None:
    (event,) = events(
        "from agent import logs; logs.configure(); log = logs.get_logger()\n"
        "first = KeyError('a')\n"
        "for _ in range(500):\n"
        "    second = KeyError('b'); second.__cause__ = first; first = second\n"
        "log.error('it.failed', exc_info=first)"
    )
    assert len(str(event["exception"])) < 10_000


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
