"""What one agent did to its disk and on its wires, system call by system call, over all of its starts."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

from tests.counterparts.waiting import until

_CALLS = (
    *("open", "openat", "openat2", "creat"),
    *("write", "writev", "pwrite64", "pwritev", "pwritev2", "copy_file_range", "sendfile", "splice"),
    *("ftruncate", "truncate", "fallocate"),
    *("fsync", "fdatasync", "sync", "syncfs", "sync_file_range"),
    *("rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat", "unlink", "unlinkat"),
    *("mkdir", "mkdirat", "rmdir"),
    *("connect", "sendto", "sendmsg", "recvfrom", "recvmsg"),
)
"""Whatever changes a file, makes it durable, or tells somebody something."""

_LONGEST = 1 << 24
_PATH = re.compile(r"<((?:\\x[0-9a-f]{2})*)>(?!\(deleted\))")
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


@dataclass(frozen=True)
class Call:
    """A system call: the lines of the recording at which it began and ended. ``ended`` is None where it never did."""

    began: int
    ended: int | None
    name: str
    words: str
    """Its arguments as strace writes them."""
    result: int | None

    @cached_property
    def place(self) -> str:
        """What its first argument, a descriptor, stands for: a path, or ``socket:[number]``."""
        found = _PATH.search(self.words)
        return _plain(found[1]).decode() if found else ""

    @cached_property
    def strings(self) -> list[bytes]:
        """Its arguments that are texts or bytes."""
        return [_plain(each) for each in _STRING.findall(self.words)]

    @cached_property
    def numbers(self) -> list[int]:
        """Its arguments that are plain numbers, in order."""
        return [int(each) for each in re.findall(r"(?<=, )-?\d+(?=,|$)", self.words)]


class Recording:
    """A folder with all there is to know of the story of one state directory.

    ``state_dir`` is where that was, ``ports`` names those who listened: the broker, and hardware by its id. ``earlier``
    are the parts that the store was made of before.
    """

    def __init__(self, folder: Path, state_dir: Path, ports: Mapping[int, str], earlier: Sequence[str] = ()) -> None:
        self.folder = folder
        self.state_dir = state_dir
        self.ports = dict(ports)
        self.earlier = list(earlier)
        self._trace = folder / "calls.strace"

    @classmethod
    def begin(cls, folder: Path, state_dir: Path, ports: Mapping[int, str], earlier: Sequence[str] = ()) -> Self:
        """Before the first start: what is in the state directory by then is on the card."""
        (folder / "before").mkdir(parents=True)
        recording = cls(folder, state_dir.resolve(), ports, earlier)
        for path in filter(Path.is_file, sorted(state_dir.glob("*"))):
            (folder / "before" / path.name).write_bytes(path.read_bytes())
        about = {"state_dir": str(recording.state_dir), "ports": recording.ports, "earlier": recording.earlier}
        (folder / "about.json").write_text(json.dumps(about))
        return recording

    @classmethod
    def reopened(cls, folder: Path) -> Self:
        """One that was made earlier."""
        about = json.loads((folder / "about.json").read_text())
        ports = {int(port): name for port, name in about["ports"].items()}
        return cls(folder, Path(about["state_dir"]), ports, about["earlier"])

    def before(self) -> dict[str, bytes]:
        """The files that were there, by name."""
        return {path.name: path.read_bytes() for path in (self.folder / "before").iterdir()}

    def under(self) -> Sequence[str]:
        """What to launch an agent under. The tracer is a child of its own, so that signals reach the agent itself."""
        how = ["-D", "-f", "-q", "--seccomp-bpf", "-e", "signal=kill", "-e", f"trace={','.join(_CALLS)}"]
        what = ["-y", "-xx", "-s", str(_LONGEST), "-o", str(self._trace), "--output-append-mode"]
        return ["strace", *how, *what]

    async def ended(self, pid: int) -> None:
        """Return once the tracer has written down the end of an agent."""
        last = re.compile(rf"^{pid} +\+\+\+ ", re.MULTILINE)

        def written() -> bool:
            with self._trace.open("rb") as trace:
                trace.seek(max(0, self._trace.stat().st_size - 4_096))
                return last.search(trace.read().decode()) is not None

        await until(written, what=f"the end of {pid} in {self._trace}")

    def calls(self) -> list[Call]:
        """Everything, in the order in which it began."""
        return list(_calls(self._trace.read_text(encoding="ascii").splitlines()))


def _calls(lines: Sequence[str]) -> Iterator[Call]:
    """A call that waited has two lines: one where it began, and one of the same thread where it ended."""
    ends: dict[int, tuple[int, str]] = {}
    begun: dict[str, int] = {}
    for number, line in enumerate(lines):
        thread, _, rest = line.partition(" ")
        rest = rest.lstrip()
        if rest.startswith("<... "):
            ends[begun.pop(thread)] = number, rest.partition(" resumed>")[2]
        elif rest.endswith("<unfinished ...>"):
            begun[thread] = number
    for number, line in enumerate(lines):
        rest = line.partition(" ")[2].lstrip()
        if rest.startswith(("<", "+")):
            continue
        end, tail = ends.get(number, (number, " = ?" if rest.endswith("<unfinished ...>") else ""))
        name, _, rest = rest.replace(" <unfinished ...>", "").partition("(")
        words, _, result = (rest + tail).rpartition(" = ")
        known = re.match(r"-?\d+", result)
        returned = int(known[0]) if known else None
        yield Call(number, None if returned is None else end, name, words.rstrip().removesuffix(")"), returned)


def _plain(escaped: str) -> bytes:
    return bytes.fromhex(escaped.replace("\\x", ""))
