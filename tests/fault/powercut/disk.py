"""What a power cut may leave of what was written.

The model, and why it is strict enough, stands in docs/decisions/0011-power-cuts.md: a file keeps what a sync of its own
has covered, and of everything later any part, down to single sectors; names keep the order in which they changed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from random import Random
from typing import Final, TypeAlias

from tests.fault.powercut.recording import Call

SECTOR: Final = 512
MODES: Final = ("nothing", "everything", "in order", "some", "torn")
"""What of all that was not synced is still there: everything up to a moment, some writes, or some sectors of them."""

_SHARED_MEMORY: Final = "-shm"
"""What SQLite's processes share while they run. They make it anew after a start, whatever lies there."""


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes that were put into a file."""

    call: Call
    at: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Resize:
    """A file that was cut or made longer."""

    call: Call
    size: int


@dataclass(frozen=True, slots=True)
class Naming:
    """A name that a file lost, one that it got, or both at once."""

    call: Call
    lost: str | None
    got: str | None
    file: "File"

    def carry_out(self, names: "dict[str, File]") -> None:
        """Change a folder so."""
        if self.lost is not None:
            names.pop(self.lost, None)
        if self.got is not None:
            names[self.got] = self.file


Change: TypeAlias = Write | Resize


class Cut:
    """What one power cut leaves, drawn by its seed."""

    def __init__(self, seed: int) -> None:
        self._rng = Random(seed)
        self.mode = self._rng.choice(MODES)
        self._until = 0

    def falls(self, pending: Sequence[Change | Naming]) -> None:
        """Draw up to which of these everything is kept, should this cut leave things in order."""
        self._until = self._rng.choice(pending).call.began if pending else 0

    def names(self, pending: Sequence[Naming]) -> Sequence[Naming]:
        """Those that are kept: the first of them, as a file system's journal has them."""
        match self.mode:
            case "nothing":
                return []
            case "everything":
                return pending
            case "in order":
                return [each for each in pending if each.call.began <= self._until]
        return pending[: self._rng.randint(0, len(pending))]

    def content(self, settled: bytearray, pending: Sequence[Change]) -> bytes:
        """A file with what is kept of its changes."""
        content = bytearray(settled)
        for change in pending:
            match self.mode:
                case "everything":
                    kept = True
                case "in order":
                    kept = change.call.began <= self._until
                case "nothing":
                    kept = False
                case _:
                    kept = self._rng.random() < 0.5
            if self.mode == "torn" and isinstance(change, Write):
                for part in _sectors(change):
                    if self._rng.random() < 0.5:
                        _put(content, part)
            elif kept:
                _put(content, change)
        return bytes(content)


@dataclass(eq=False, slots=True)
class File:
    """The bytes that are on the card for sure, and the changes that may not be."""

    settled: bytearray = field(default_factory=bytearray)
    pending: list[Change] = field(default_factory=list)
    size: int = 0
    """As its writer sees it."""

    def sync(self, call: Call) -> None:
        """Everything that had been done before the sync began is on the card when it has ended."""
        late = []
        for change in self.pending:
            if _covers(call, change.call):
                _put(self.settled, change)
            else:
                late.append(change)
        self.pending = late


class Disk:
    """A state directory, through the calls of a recording one after the other."""

    def __init__(self, root: Path, before: Mapping[str, bytes]) -> None:
        self._root = f"{root}/"
        self._names = {name: File(bytearray(content), size=len(content)) for name, content in before.items()}
        self._settled = dict(self._names)
        self._renamed: list[Naming] = []
        self._positions: dict[str, int] = {}
        self.doubtful: list[Call] = []
        """Calls in the middle of which the agent was killed: nobody knows whether they were carried out."""

    def begins(self, call: Call) -> bool:
        """A call has begun, and may be on the card from here on; whether it is one that matters here."""
        matters = self._begins(call)
        if matters and call.ended is None:
            self.doubtful.append(call)
        return matters

    def _begins(self, call: Call) -> bool:
        if call.result is not None and call.result < 0:
            return False
        match call.name:
            case "openat" | "open" | "creat":
                return self._opens(call)
            case "write" | "pwrite64" | "ftruncate":
                return self._changes(call)
            case "rename" | "renameat" | "renameat2" | "unlink" | "unlinkat":
                return self._renames(call)
            case "fsync" | "fdatasync" | "sync_file_range" | "mkdir" | "mkdirat" | "connect" | "sendto" | "recvfrom":
                return False
        places = [call.place, *(each.decode(errors="replace") for each in call.strings)]
        assert all(self._name(each) is None for each in places), (
            f"the model knows nothing of {call.name}({call.words[:200]})"
        )
        return False

    def ends(self, call: Call) -> bool:
        """A call has ended; whether more is certain now than before."""
        if call.name not in {"fsync", "fdatasync"} or call.result != 0 or (name := self._name(call.place)) is None:
            return False
        if name in self._names:
            self._names[name].sync(call)
            return True
        folder = PurePath(name)
        for naming in [each for each in self._renamed if _is_in(folder, each) and _covers(call, each.call)]:
            naming.carry_out(self._settled)
            self._renamed.remove(naming)
        return True

    def left_by(self, cut: Cut) -> dict[str, bytes]:
        """The files that are there after it, by name."""
        pending = [change for file in self._files() for change in file.pending]
        cut.falls([*pending, *self._renamed])
        names = dict(self._settled)
        for naming in cut.names(self._renamed):
            naming.carry_out(names)
        return {name: cut.content(file.settled, file.pending) for name, file in sorted(names.items())}

    def seen(self) -> dict[str, bytes]:
        """The files as any process finds them while the power is on."""
        everything = Cut(0)
        everything.mode = "everything"
        return {name: everything.content(file.settled, file.pending) for name, file in self._names.items()}

    def _files(self) -> Iterator[File]:
        yield from {*self._names.values(), *self._settled.values()}

    def _name(self, path: str) -> str | None:
        """The name in the state directory, "" for itself; None for what lies elsewhere, or is not kept."""
        if path == self._root[:-1]:
            return ""
        if not path.startswith(self._root) or path.endswith(_SHARED_MEMORY):
            return None
        return path.removeprefix(self._root)

    def _opens(self, call: Call) -> bool:
        name = self._name(call.strings[0].decode())
        if not name or "O_DIRECTORY" in call.words:
            return False
        self._positions[name] = 0
        if name not in self._names:
            if "O_CREAT" not in call.words and call.name != "creat":
                return False
            self._give(Naming(call, None, name, File()))
        elif "O_TRUNC" in call.words and self._names[name].size:
            self._names[name].pending.append(Resize(call, 0))
            self._names[name].size = 0
        else:
            return False
        return True

    def _changes(self, call: Call) -> bool:
        file = self._names.get(self._name(call.place) or "")
        if file is None:
            return False
        name = self._name(call.place) or ""
        if call.name == "ftruncate":
            file.pending.append(Resize(call, call.numbers[0]))
            file.size = call.numbers[0]
            return True
        length, *at = call.numbers
        data = call.strings[0]
        assert len(data) == length, f"strace shows {len(data)} bytes of {length}"
        data = data[: call.result]
        place = at[0] if at else self._positions[name]
        file.pending.append(Write(call, place, data))
        file.size = max(file.size, place + len(data))
        self._positions[name] = place + len(data)
        return True

    def _renames(self, call: Call) -> bool:
        lost, got = (*(self._name(each.decode()) for each in call.strings), None)[:2]
        if not lost or lost not in self._names:
            return False
        self._give(Naming(call, lost, got, self._names[lost]))
        return True

    def _give(self, naming: Naming) -> None:
        naming.carry_out(self._names)
        self._renamed.append(naming)


def _covers(sync: Call, call: Call) -> bool:
    return call.ended is not None and call.ended < sync.began


def _is_in(folder: PurePath, naming: Naming) -> bool:
    return PurePath(naming.got or naming.lost or "").parent == folder


def _sectors(write: Write) -> Iterator[Write]:
    """The same bytes as the card writes them: by sectors, whichever of them comes first."""
    start, end = write.at, write.at + len(write.data)
    while start < end:
        stop = min(end, start - start % SECTOR + SECTOR)
        yield Write(write.call, start, write.data[start - write.at : stop - write.at])
        start = stop


def _put(content: bytearray, change: Change) -> None:
    if isinstance(change, Write):
        content.extend(bytes(max(0, change.at - len(content))))
        content[change.at : change.at + len(change.data)] = change.data
    elif change.size < len(content):
        del content[change.size :]
    else:
        content.extend(bytes(change.size - len(content)))
