"""chronyd, the real one, with its hands off this machine's clock, on loopback ports and in a folder of its own."""

import getpass
import os
import shutil
import subprocess
from pathlib import Path
from typing import Self

from tests.counterparts.ports import LOOPBACK, free_port
from tests.counterparts.program import Program
from tests.counterparts.waiting import wait_until

# Unpacked it is enough: installed, it takes over the clock of the whole machine. Debian keeps it in /usr/sbin, which is
# not on everyone's PATH.
_UNPACKED = Path(__file__).parents[2] / ".counterparts" / "usr"
_PATH = os.pathsep.join([f"{_UNPACKED}/sbin", f"{_UNPACKED}/bin", os.environ.get("PATH", os.defpath), "/usr/sbin"])
CHRONYD = shutil.which("chronyd", path=_PATH)
CHRONYC = shutil.which("chronyc", path=_PATH)


class Chronyd:
    """One chronyd with these lines of chrony.conf(5); `command_port` is where it is asked."""

    def __init__(self, home: Path, *settings: str) -> None:
        home.mkdir(parents=True)
        self.command_port = free_port()
        config = home / "chrony.conf"
        own = [f"cmdport {self.command_port}", f"bindcmdaddress {LOOPBACK}", "bindcmdaddress /"]
        config.write_text("\n".join([*own, f"pidfile {home / 'pid'}", *settings, ""]))
        # A copy: AppArmor keeps the one that is installed from reading a configuration here.
        chronyd = shutil.copy(CHRONYD or "chronyd", home / "chronyd")
        command = [chronyd, "-x", "-U", "-d", "-u", getpass.getuser(), "-f", config]
        self._program = Program(command, home / "log")

    def __enter__(self) -> Self:
        self._program.start()
        wait_until(self._answers, what=f"chronyd; its log: {self._program.log}")
        return self

    def __exit__(self, *exc: object) -> None:
        self._program.kill9()

    def tracking(self) -> list[str]:
        """The fields of `chronyc -c tracking`: id, name, stratum, reference time, correction, …, leap status."""
        return self._chronyc("tracking").stdout.strip().split(",")

    def _answers(self) -> bool:
        assert self._program.running, self._program.output()
        return self._chronyc("tracking").returncode == 0

    def _chronyc(self, *words: str) -> "subprocess.CompletedProcess[str]":
        command = [CHRONYC or "chronyc", "-c", "-h", LOOPBACK, "-p", str(self.command_port), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)


def time_server(home: Path) -> tuple[Chronyd, int]:
    """One that gives this machine's time to whoever asks, and its NTP port."""
    port = free_port()
    return Chronyd(home, f"port {port}", f"bindaddress {LOOPBACK}", f"allow {LOOPBACK}", "local stratum 5"), port


def time_client(home: Path, port: int, *options: str) -> Chronyd:
    """One that follows the server on that port, four times a second at first and then every 16 seconds."""
    source = ("server", LOOPBACK, "port", str(port), "iburst", "minpoll 4", *options)
    return Chronyd(home, "port 0", " ".join(source))
