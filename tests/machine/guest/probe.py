"""What somebody could do who has taken over the daemon: tries it all, and writes down what was allowed.

Runs on the machine, inside the unit's sandbox, and outside of it as a control.
"""

import ctypes
import json
import mmap
import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from zoneinfo import ZoneInfo

CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000
LIBC = ctypes.CDLL(None, use_errno=True)
BUS, SYSTEMD = "/run/dbus/system_bus_socket", "/run/systemd/private"


def called(name: str, *arguments: object) -> None:
    """A function of the C library that answers with less than 0 where it may not."""
    if getattr(LIBC, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)


def ran(*command: str | Path, **options: object) -> None:
    if subprocess.run(command, capture_output=True, timeout=20, check=False, **options).returncode:  # type: ignore[call-overload]  # whichever
        raise OSError("it ended with an error")


def connected(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as wire:
        wire.connect(path)


def mapped(protection: int) -> mmap.mmap:
    return mmap.mmap(-1, mmap.PAGESIZE, prot=protection)


def made_executable() -> None:
    page = mapped(mmap.PROT_READ | mmap.PROT_WRITE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    called("mprotect", ctypes.c_void_p(address), mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_EXEC)


def ran_copy_in(folder: str) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as place:
        copy = Path(place, "copy")
        copy.write_bytes(Path("/bin/true").read_bytes())
        copy.chmod(0o755)
        ran(copy)


def ran_from_memory() -> None:
    file = os.memfd_create("copy", 0)
    os.write(file, Path("/bin/true").read_bytes())
    ran(f"/proc/self/fd/{file}", pass_fds=[file])


def opened(kind: int, protocol: int = 0, family: int = socket.AF_INET) -> None:
    socket.socket(family, kind, protocol).close()


def listened() -> None:
    with socket.socket() as wire:
        wire.bind(("127.0.0.1", 0))
        wire.listen()


def read(path: str) -> None:
    """Open to read; to be let in is enough."""
    os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))


def written(folder: str) -> None:
    tempfile.TemporaryFile(dir=folder).close()


def put(path: str) -> None:
    """Open to write, and change nothing."""
    os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY))


def mounted() -> None:
    called("mount", b"none", b"/mnt", b"tmpfs", 0, None)
    called("umount", b"/mnt")


def made_group() -> None:
    group = Path("/sys/fs/cgroup/probe")
    group.mkdir()
    group.rmdir()


def made_device() -> None:
    with tempfile.TemporaryDirectory(dir=STATE) as place:
        os.mknod(Path(place, "disk"), 0o60600, os.makedev(254, 0))


def made_setuid() -> None:
    with tempfile.NamedTemporaryFile(dir=STATE) as file:
        os.fchmod(file.fileno(), 0o4755)


def in_a_child(act: Callable[[], None]) -> Callable[[], None]:
    """For what would change this process for good."""

    def acted() -> None:
        if (child := os.fork()) == 0:
            try:
                act()
            except OSError:
                os._exit(1)
            os._exit(0)
        if os.waitpid(child, 0)[1]:
            raise OSError("denied in a child")

    return acted


def stored() -> None:
    with tempfile.TemporaryDirectory(dir=STATE) as place:
        store = sqlite3.connect(Path(place, "store.db"))
        store.executescript(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE t (x); INSERT INTO t VALUES (1)"
        )
        store.close()


def threaded() -> None:
    thread = threading.Thread(target=time.time)
    thread.start()
    thread.join()


STATE = os.environ.get("STATE_DIRECTORY", "/root")
CREDENTIALS = os.environ.get("CREDENTIALS_DIRECTORY", "/etc/fluss-agent")

NEEDED: dict[str, Callable[[], object]] = {
    "SQLite with a write-ahead log in the state directory": stored,
    "a thread": threaded,
    "a time zone": lambda: ZoneInfo("Africa/Johannesburg"),
    "its own credential": lambda: read(f"{CREDENTIALS}/mqtt.key"),
    "its own configuration": lambda: read("/etc/fluss-agent/agent.toml"),
    "a connection to the broker": lambda: socket.create_connection(("mqtt.example.net", int(sys.argv[2])), 10).close(),
    "a serial port": lambda: os.close(os.open("/dev/ttyS1", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)),
    "randomness": lambda: read("/dev/urandom"),
}

FORBIDDEN: dict[str, Callable[[], object]] = {
    "a shell": lambda: ran("/bin/sh", "-c", "true"),
    "a program of the system": lambda: ran("/usr/bin/env"),
    "a program by way of the loader": lambda: ran("/lib64/ld-linux-x86-64.so.2", "/bin/true"),
    "a program written to the state directory": lambda: ran_copy_in(STATE),
    "a program written to /tmp": lambda: ran_copy_in("/tmp"),  # noqa: S108 -- where anybody may write is the point
    "a program written to /dev/shm": lambda: ran_copy_in("/dev/shm"),  # noqa: S108 -- the same
    "a program that is nowhere but in memory": ran_from_memory,
    "the system bus": lambda: connected(BUS),
    "systemd": lambda: connected(SYSTEMD),
    "memory to write and execute": lambda: mapped(mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC),
    "memory made executable": made_executable,
    "to write in /etc": lambda: written("/etc"),
    "to write its own configuration": lambda: put("/etc/fluss-agent/agent.toml"),
    "to write its own program": lambda: written("/opt/fluss-gateway"),
    "to write in /usr": lambda: written("/usr/lib"),
    "to write in /var/lib": lambda: written("/var/lib"),
    "to write in /run": lambda: written("/run"),
    "to write in /root": lambda: written("/root"),
    "the passwords of the system": lambda: read("/etc/shadow"),
    "the key as root has it": lambda: read("/etc/fluss-agent/mqtt.key"),
    "a raw socket": lambda: opened(socket.SOCK_RAW, socket.IPPROTO_ICMP),
    "packets of the network card": lambda: opened(socket.SOCK_RAW, family=socket.AF_PACKET),
    "the kernel's routes": lambda: opened(socket.SOCK_RAW, family=socket.AF_NETLINK),
    "a port to listen on": listened,
    "to set the clock": lambda: time.clock_settime(time.CLOCK_REALTIME, time.time()),
    "the disk itself": lambda: read("/dev/vda"),
    "to write the disk itself": lambda: put("/dev/vda"),
    "the memory of the machine": lambda: put("/dev/mem"),
    "the console": lambda: put("/dev/tty1"),
    "the kernel's log": lambda: read("/dev/kmsg"),
    "a device made for the occasion": made_device,
    "a program that runs as its owner": made_setuid,
    "the environment of process 1": lambda: read("/proc/1/environ"),
    "to see process 1": lambda: Path("/proc/1").stat(),
    "a signal to process 1": lambda: os.kill(1, 0),
    "settings of the kernel": lambda: put("/proc/sys/kernel/panic"),
    "settings of devices": lambda: put("/sys/module/printk/parameters/time"),
    "control groups": made_group,
    "to mount": mounted,
    "name spaces": in_a_child(lambda: called("unshare", CLONE_NEWNS)),
    "users of its own": in_a_child(lambda: called("unshare", CLONE_NEWUSER)),
    "to become root": in_a_child(lambda: os.setuid(0)),
    "another root directory": in_a_child(lambda: os.chroot("/")),
    "the name of the machine": lambda: socket.sethostname(socket.gethostname()),
    "priority in real time": in_a_child(lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))),
    "another personality": in_a_child(lambda: called("personality", 0x0040000)),
}


def answer(attempt: Callable[[], object]) -> str:
    """`allowed`, or what the machine says against it."""
    try:
        attempt()
    except (OSError, MemoryError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "allowed"


def startable(path: Path) -> bool:
    """Whether it may be executed, and whatever has to read it as well."""
    if not path.is_file() or not os.access(path, os.X_OK):
        return False
    with path.open("rb") as file:
        first = file.readline(200)
    return not first.startswith(b"#!") or os.access(first[2:].split()[0], os.X_OK)


def executable() -> list[str]:
    """Every program that could be started: not what is a library alone."""
    roots = ("/bin", "/sbin", "/usr", "/opt", "/lib", "/lib64", "/etc", "/var", "/root", "/srv")
    found = set()
    for root in roots:
        for folder, _, names in os.walk(root):
            for name in names:
                path = Path(folder, name)
                if ".so" not in name and startable(path):
                    found.add(str(path.resolve()))
    return sorted(found)


if __name__ == "__main__":
    told = {
        "needed": {what: answer(attempt) for what, attempt in NEEDED.items()},
        "forbidden": {what: answer(attempt) for what, attempt in FORBIDDEN.items()},
        "executable": executable(),
    }
    Path(STATE, sys.argv[1]).write_text(json.dumps(told))
