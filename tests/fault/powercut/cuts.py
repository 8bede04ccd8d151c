"""The states that a power cut can leave at any point of a recording, one after the other, each judged."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from random import Random
from typing import Final, TypeAlias

from tests.fault.powercut.disk import Cut, Disk
from tests.fault.powercut.judge import Judge
from tests.fault.powercut.recording import Call, Recording
from tests.fault.powercut.remains import Files
from tests.fault.powercut.wire import Acknowledged, Heard, Moved

_Step: TypeAlias = tuple[int, Callable[[Disk, Call], bool], Call]

AT_ONCE: Final = 250
MOST_DRAWN: Final = 10
"""How often as many are drawn as are wanted; after that a recording has no more different ones."""


@dataclass(frozen=True, slots=True)
class State:
    """What is left where the power goes after a line of a recording; ``seed`` draws what of the unsynced is kept."""

    line: int
    seed: int
    files: Files

    def put(self, folder: Path) -> Path:
        """Write it down as a state directory."""
        folder.mkdir(exist_ok=True)
        for name, content in self.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        return folder

    def found_in(self, folder: Path) -> Files:
        """What has become of it since."""
        found = (path for path in folder.rglob("*") if path.is_file() and not path.name.endswith("-shm"))
        return {str(path.relative_to(folder)): path.read_bytes() for path in found}


@dataclass(slots=True)
class Tally:
    """What was judged: how many states, all different, and those with faults."""

    states: int = 0
    guilty: list[tuple[State, list[str]]] = field(default_factory=list)

    @property
    def share(self) -> float:
        """How many of them had faults."""
        return len(self.guilty) / self.states


class Cuts:
    """Every point of a recording at which something had changed on the card, or had been told."""

    def __init__(self, recording: Recording, scratch: Path) -> None:
        """``scratch`` is a folder to open stores in."""
        calls = recording.calls()
        self.recording = recording
        self.judge = Judge(recording, calls, scratch)
        steps = [(call.began, Disk.begins, call) for call in calls]
        steps += [(call.ended, Disk.ends, call) for call in calls if call.ended is not None]
        self._steps: list[_Step] = sorted(steps, key=lambda step: step[0])
        self.lines = sorted(set(self._lines()))

    @property
    def first_promise(self) -> int:
        """The line of the first word that is hard to take back."""
        return next(word.at for word in self.judge.words if isinstance(word, Acknowledged | Moved))

    def state(self, line: int, seed: int) -> State:
        """One state, again."""
        (state,) = self._states([(line, seed)])
        return state

    def drawn(self, count: int, seed: int) -> list[State]:
        """So many states, drawn by a seed."""
        return list(islice(self._drawn(seed), count))

    def judged(self, wanted: int, seed: int, since: int = 0) -> Tally:
        """Judge so many different states, drawn by a seed, or as many as there are; ``since`` is a line."""
        tally = Tally()
        seen: set[int] = set()
        for state in islice(self._drawn(seed, since), MOST_DRAWN * wanted):
            told = sum(word.at <= state.line for word in self.judge.words if not isinstance(word, Heard))
            if (name := hash((told, *state.files.items()))) in seen:
                continue
            seen.add(name)
            if faults := self.judge.faults(state.line, state.files):
                tally.guilty.append((state, faults))
            tally.states += 1
            if tally.states == wanted:
                break
        return tally

    def disk(self) -> Disk:
        """The disk at the end."""
        disk = self._fresh()
        for _, step, call in self._steps:
            step(disk, call)
        return disk

    def _fresh(self) -> Disk:
        return Disk(self.recording.state_dir, self.recording.before())

    def _lines(self) -> Iterator[int]:
        """Where more may be left, or has been told, than before."""
        disk = self._fresh()
        told = {word.at for word in self.judge.words if not isinstance(word, Heard)}
        for line, step, call in self._steps:
            if step(disk, call) or line in told:
                yield line

    def _drawn(self, seed: int, since: int = 0) -> Iterator[State]:
        """States without end, drawn by a seed; many at a time, because each pass leads over the whole recording."""
        rng = Random(seed)
        lines = [line for line in self.lines if line >= since]
        while True:
            drawn = list(self._states(sorted((rng.choice(lines), rng.getrandbits(32)) for _ in range(AT_ONCE))))
            rng.shuffle(drawn)
            yield from drawn

    def _states(self, drawn: Sequence[tuple[int, int]]) -> Iterator[State]:
        """What these seeds leave after these lines, which are in order."""
        disk, taken = self._fresh(), 0
        for line, seed in drawn:
            while taken < len(self._steps) and self._steps[taken][0] <= line:
                _, step, call = self._steps[taken]
                step(disk, call)
                taken += 1
            yield State(line, seed, disk.left_by(Cut(seed)))
