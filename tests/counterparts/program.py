"""A program under test or beside it, as a real process that never outlives the test run."""

import atexit
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from tests.counterparts.waiting import wait_until

_running: set["Program"] = set()


class Program:
    """One command, started as often as a test wants, its output appended to ``log``.

    It leads a process group of its own, so that what it started (or the tracer it runs under) ends with it.
    """

    def __init__(
        self, command: Sequence[str | Path], log: Path, *, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> None:
        self.command = [str(word) for word in command]
        self.log = log
        self._env = env
        self._cwd = cwd
        self._popen: subprocess.Popen[bytes] | None = None
        self._written_before = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill9()

    @property
    def pid(self) -> int:
        assert self._popen is not None, "not started"
        return self._popen.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; minus the signal's number where one ended it."""
        assert self._popen is not None, "not started"
        return self._popen.poll()

    @property
    def running(self) -> bool:
        return self._popen is not None and self._popen.poll() is None

    def output(self) -> str:
        """What it has written since its latest start; ``log`` has all of them."""
        if not self.log.exists():
            return ""
        return self.log.read_bytes()[self._written_before :].decode(errors="replace")

    def start(self) -> None:
        """Start it, and return at once."""
        assert not self.running, f"already running: {self.command}"
        self._written_before = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as out:
            self._popen = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=self._env,
                cwd=self._cwd,
                start_new_session=True,
            )
        _running.add(self)

    def says(self, text: str, within_s: float = 10.0) -> bool:
        """Wait until ``text`` stands in its output: True, or False where it ended without. Raises TimedOutError."""
        wait_until(lambda: text in self.output() or not self.running, within_s=within_s, what=f"{text!r} in {self.log}")
        return text in self.output()

    def wait(self, within_s: float = 10.0) -> int:
        """Its exit code, once it has ended by itself. Raises subprocess.TimeoutExpired."""
        assert self._popen is not None, "not started"
        code = self._popen.wait(within_s)
        _running.discard(self)
        return code

    def stop(self, within_s: float = 5.0) -> int:
        """SIGTERM, and the exit code. Raises subprocess.TimeoutExpired if it takes longer."""
        self.signal(signal.SIGTERM)
        return self.wait(within_s)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the program alone. One that has ended is left in peace."""
        if self.running:
            os.kill(self.pid, number)

    def kill9(self) -> None:
        """SIGKILL to the whole group, as a power cut would end it. Nothing where nothing runs."""
        if self._popen is None:
            return
        if self.running:
            os.killpg(self.pid, signal.SIGKILL)
        self.wait()


def end_all() -> None:
    """Kill whatever a failed test left running."""
    for program in list(_running):
        program.kill9()


atexit.register(end_all)
