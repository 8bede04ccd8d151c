"""A machine that boots: a Debian with our unit in it, emulated by QEMU, whose power can be cut."""

import random
import shlex
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Final

from tests.counterparts.ports import LOOPBACK, free_port
from tests.counterparts.program import Program
from tests.counterparts.waiting import TimedOutError
from tests.machine import card
from tests.meta.tree import ROOT

BUILT: Final = ROOT / "build" / "machine"
BOOT_S: Final = 300
"""An emulated processor that shares its cores boots in half a minute; nobody waits for less than this in vain."""

_END: Final = "-- ended with "


class Machine:
    """One machine with a disk of its own in ``home``, made from the image; what is on it outlives cuts and boots.

    Its disk has a volatile cache: only what it has flushed is certain to be there after ``cut()``.
    """

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.disk = home / "disk.img"
        subprocess.run(["cp", "--sparse=always", BUILT / "disk.img", self.disk], check=True, timeout=120)
        self.console = home / "console.log"
        self._home = home
        self._overlay = home / "overlay.qcow2"
        self._writes = home / "writes.log"
        self._port = free_port()
        self._program = Program(self._command(), self.console)

    @property
    def running(self) -> bool:
        return self._program.running

    def power_on(self) -> float:
        """Start it, and return how many seconds passed until it answers. Raises TimedOutError."""
        subprocess.run(
            ["qemu-img", "create", "-q", "-f", "qcow2", "-b", self.disk, "-F", "raw", self._overlay],
            check=True,
            timeout=30,
        )
        self._writes.write_bytes(b"")
        started = time.monotonic()
        self._program.start()
        while time.monotonic() - started < BOOT_S:
            assert self.running, f"the machine ended:\n{self._program.output()}"
            try:
                self.sh("true", within_s=20)
            except (OSError, TimedOutError):
                time.sleep(0.5)
            else:
                return time.monotonic() - started
        raise TimedOutError(f"it did not boot in {BOOT_S} s; its console: {self.console}")

    def cut(self, chance: random.Random) -> card.Left:
        """Cut its power: what it had not flushed is there, torn, or gone."""
        self._program.kill9()
        left = card.cut(self._writes, self.disk, chance)
        self._overlay.unlink()
        return left

    def power_off(self) -> None:
        """Leave it for good."""
        self._program.kill9()
        shutil.rmtree(self._home)

    def sh(self, script: str, *, within_s: float = 60) -> str:
        """What a shell of root's says to a script. Raises AssertionError where that fails, OSError, TimedOutError."""
        code, said = self.run(script, within_s=within_s)
        assert code == 0, f"{script}\nended with {code}:\n{said}"
        return said

    def run(self, script: str, *, within_s: float = 60) -> tuple[int, str]:
        """The exit code of a script, and what it says. Raises OSError, TimedOutError."""
        asked = f"( set -e\n{script}\n) </dev/null 2>&1; echo; echo '{_END}'$?; exit\n"
        said = b""
        deadline = time.monotonic() + within_s
        with socket.create_connection((LOOPBACK, self._port), timeout=within_s) as wire:
            wire.sendall(asked.encode())
            while chunk := wire.recv(65536):
                said += chunk
                if time.monotonic() > deadline:
                    break
        words, found, code = said.decode().rpartition(f"\n{_END}")
        if not found:
            raise TimedOutError(f"no answer within {within_s} s to {script!r}, but {said!r}")
        return int(code), words

    def put(self, path: str, content: str, mode: str = "0644") -> None:
        """Write a file, as an installer would."""
        quoted = shlex.quote(path)
        self.sh(f"install -D -m {mode} /dev/null {quoted}\ncat > {quoted} <<'END-OF-FILE'\n{content}\nEND-OF-FILE")

    def shows(self, *properties: str, unit: str = "fluss-agent") -> dict[str, str]:
        """What systemd says of a unit."""
        wanted = " ".join(f"-p {each}" for each in properties)
        lines = self.sh(f"systemctl show {unit} {wanted}").split()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def ready(self, within_s: float = BOOT_S) -> None:
        """Return once the unit has said that it is ready. Raises TimedOutError with its log."""
        deadline = time.monotonic() + within_s
        while self.shows("ActiveState", "SubState") != {"ActiveState": "active", "SubState": "running"}:
            if time.monotonic() > deadline:
                raise TimedOutError(f"fluss-agent is not ready:\n{self.log()}")
            time.sleep(0.5)

    def log(self) -> str:
        """The end of what the unit and systemd have said of it since the machine was started."""
        return self.sh("journalctl --no-pager --boot --unit fluss-agent --lines 100")

    def _command(self) -> list[str | Path]:
        disk = f"driver=qcow2,node-name=disk,file.driver=file,file.filename={self._overlay}"
        log = f"log.driver=file,log.filename={self._writes},log-sector-size={card.SECTOR}"
        return [
            *("nice", "qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-m", "512", "-nodefaults"),
            *("-display", "none", "-no-reboot", "-serial", "stdio", "-serial", "null"),
            *("-kernel", BUILT / "vmlinuz", "-initrd", BUILT / "initrd.img"),
            *("-append", "root=/dev/vda ro console=ttyS0 quiet net.ifnames=0"),
            *("-blockdev", disk, "-blockdev", f"driver=blklogwrites,node-name=card,file=disk,{log}"),
            *("-device", "virtio-blk-pci,drive=card"),
            *("-nic", f"user,model=virtio-net-pci,hostfwd=tcp:{LOOPBACK}:{self._port}-:7000"),
        ]
