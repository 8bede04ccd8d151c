"""A gateway to be measured: `fluss-agent` as a process of its own, in the plain configuration."""

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
    """One gateway with all it has in `home`; `command` gets the path of its configuration as its last word.

    `state_dir` may be elsewhere.
    """

    def __init__(
        self,
        home: Path,
        port: int,
        command: Sequence[str] = AGENT,
        driver: str = "none",
        state_dir: Path | None = None,
    ) -> None:
        self.home = home
        self.state_dir = state_dir or home / "state"
        home.mkdir(parents=True, exist_ok=True)
        config = home / "agent.toml"
        config.write_text(
            _CONFIG.format(
                gateway_id=people.GATEWAY_ID,
                device_id=people.DEVICE_ID,
                state_dir=self.state_dir,
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

    def stop(self) -> None:
        """SIGTERM, and wait until it has left in good order."""
        self._program.signal(signal.SIGTERM)
        code = self._program.wait()
        assert code == 0, self._program.output()

    def kill(self) -> None:
        """SIGKILL: it leaves everything as it is."""
        self._program.kill9()

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
