"""A gateway to be measured: `fluss-agent` as a process of its own, in the plain configuration."""

import os
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

from benchmarks import people
from tests.counterparts.program import Program

AGENT: Final = (str(Path(sys.executable).with_name("fluss-agent")), "run", "--config")

_CONFIG: Final = """\
gateway_id = "{gateway_id}"
state_dir = "{state_dir}"
default_region = "ZA"

[mqtt]
host = "127.0.0.1"
port = {port}
tls = false

[trust]
keys = []

[clock]
trust = "system"

[[devices]]
id = "{device_id}"
kind = "fluss+"
timezone = "Africa/Johannesburg"
max_users = 1000000
driver = "{driver}"
"""


class Gateway:
    """One gateway with its state in `home`; `command` gets the path of its configuration as its last word."""

    def __init__(self, home: Path, port: int, command: Sequence[str] = AGENT, driver: str = "none") -> None:
        self.home = home
        home.mkdir(parents=True, exist_ok=True)
        config = home / "agent.toml"
        config.write_text(
            _CONFIG.format(
                gateway_id=people.GATEWAY_ID,
                device_id=people.DEVICE_ID,
                state_dir=home / "state",
                port=port,
                driver=driver,
            )
        )
        self._program = Program([*command, str(config)], home / "agent.log")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._program.kill9()

    def start(self) -> None:
        """Start it, and return at once."""
        self._program.start()

    def stop(self) -> int:
        """SIGTERM, and wait; the bytes it has had written to disk since it started.

        The kernel counts a page when it gets dirty: once for all writes to it between two flushes. What was dropped
        before it was written is taken off. It keeps the count of a dead process until somebody has waited for it.
        """
        self._program.signal(signal.SIGTERM)
        os.waitid(os.P_PID, self._program.pid, os.WEXITED | os.WNOWAIT)
        written = self._kernel_says("io", "write_bytes") - self._kernel_says("io", "cancelled_write_bytes")
        code = self._program.wait()
        assert code == 0, self._program.output()
        return written

    def resident_kib(self) -> int:
        """What it holds in memory now."""
        return self._kernel_says("status", "VmRSS")

    def peak_kib(self) -> int:
        """The most it has held in memory since it started."""
        return self._kernel_says("status", "VmHWM")

    def _kernel_says(self, file: str, name: str) -> int:
        text = Path(f"/proc/{self._program.pid}/{file}").read_text()
        found = re.search(rf"^{name}:\s+(\d+)", text, re.MULTILINE)
        assert found is not None, f"no {name} in {text!r}"
        return int(found[1])
