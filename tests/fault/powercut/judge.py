"""Whether what a power cut left can be answered for: nothing that was told is lost, and nothing is there by halves."""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Final

from tests.counterparts.cloud import Document
from tests.fault.powercut import remains, wire
from tests.fault.powercut.chronicle import Chronicle, part_in
from tests.fault.powercut.recording import Call, Recording
from tests.fault.powercut.remains import FLOOR, INTENTS, SLOT, STORE, STORE_FILES, Files, Remains
from tests.fault.powercut.wire import Acknowledged, Moved, Published, Word

_WAYS: Final = {"entry": 0, "exit": 1}


class Judge:
    """Knows everything that a recording tells, and judges what may be left at any line of it."""

    def __init__(self, recording: Recording, calls: Sequence[Call], scratch: Path) -> None:
        """``scratch`` is a folder to open stores in."""
        self.words = wire.words(calls, recording.ports)
        self._intents = {each["number"]: each for each in _intents(calls, recording.state_dir / INTENTS)}
        self._meant: dict[tuple[str, str], set[int]] = defaultdict(set)
        for number, intent in self._intents.items():
            for request in _requests(intent):
                self._meant[intent["opens"], request].add(number)
        self._ordered = {each["command_id"]: number for number, each in self._intents.items() if each["command_id"]}
        self._floors = list(_floors(calls, recording.state_dir))
        self._scratch = scratch
        scratch.mkdir(parents=True, exist_ok=True)
        self._store = lru_cache(1_000)(self._opened)
        self._before = self.store(recording.before())
        self._chronicle = Chronicle(self.words, self._before, recording.earlier)

    def store(self, files: Files) -> Remains:
        """The store among files."""
        return self._store(tuple(files.get(name) for name in STORE_FILES))

    def faults(self, line: int, files: Files) -> list[str]:
        """What cannot be answered for, in words, where the power went at a line and left these files."""
        store = self.store(files)
        if store.unsound:
            return list(store.unsound)
        return [
            *self._list(store),
            *self._outbox(store),
            *self._together(store),
            *self.broken(line, files),
        ]

    def broken(self, line: int, files: Files, since: Sequence[Word] = ()) -> list[str]:
        """What was promised by that line, or ``since`` by an agent that has started from there, and is not kept."""
        store = self.store(files)
        told = [*(word for word in self.words if word.at <= line), *since]
        return [
            *store.unsound,
            *(fault for word in told for fault in self._kept(word, store, files, told)),
            *self._floor(line, files),
            *self._copies(store, files),
        ]

    def _opened(self, contents: tuple[bytes | None, ...]) -> Remains:
        files = {name: content for name, content in zip(STORE_FILES, contents, strict=True) if content is not None}
        return remains.store_in(files, self._scratch)

    # What the store says by itself

    def _list(self, store: Remains) -> Iterator[str]:
        """Every part with all its effects, or with none."""
        chapter = self._chronicle.chapters.get(store.newest_report)
        if chapter is None:
            yield f"the outbox ends with report {store.newest_report}, in the middle of a step"
            return
        if store.parts != chapter.parts:
            yield f"the ledger and the outbox differ by {sorted(store.parts ^ chapter.parts)}"
        for key in sorted(store.users.keys() | chapter.users.keys()):
            if store.users.get(key) != chapter.users.get(key):
                found, expected = store.users.get(key), chapter.users.get(key)
                yield f"{key} is {found} after report {store.newest_report}, and should be {expected}"

    def _outbox(self, store: Remains) -> Iterator[str]:
        """Reports and events without a gap, each with the words it has for ever."""
        for kind, numbers in (("reports", store.reports), ("events", store.events)):
            if list(numbers) != list(range(min(numbers, default=1), max(numbers, default=0) + 1)):
                yield f"there are gaps between the {kind} {list(numbers)}"
        for number, payload in store.reports.items():
            if payload != self._chronicle.reports.get(number):
                yield f"report {number} has other words"
        for number, event in store.events.items():
            heard = self._chronicle.events.get(number, {})
            if any(heard.get(name) != said for name, said in event.said):
                yield f"event {number} has other words: {dict(event.said)}, not {heard}"

    def _together(self, store: Remains) -> Iterator[str]:
        """An event and what must be true with it: the use of a code, and that a command must not come twice."""
        for number, event in store.events.items():
            intent = self._intents.get(event.intent or 0, {})
            if event.opened and not _used(store, intent):
                yield f"event {number} is there, and the code it used is as good as new"
            if intent.get("command_id") and intent["command_id"] not in store.orders:
                yield f"event {number} is there, and its command may come again"
        asked = {event.request for event in store.events.values()}
        for command_id in sorted(store.orders & self._ordered.keys() - asked):
            yield f"command {command_id} is done for, and its event is missing"

    # What was told

    def _kept(self, word: Word, store: Remains, files: Files, told: Sequence[Word]) -> Iterator[str]:
        """Whether the store stands by one word."""
        match word:
            case Acknowledged(leaf="invites"):
                part, digest = part_in(word.payload), sha256(word.payload).hexdigest()
                if part not in store.parts and not any(digest.encode() in each for each in store.reports.values()):
                    yield f"the part {part or digest} was acknowledged, and is lost"
            case Acknowledged(leaf="commands"):
                yield from self._carried_out(json.loads(wire.said_in(word.payload)), store, told)
            case Published(leaf="state") if word.says["epoch"] != store.epoch:
                yield f"the store is {store.epoch}, and has called itself {word.says['epoch']}"
            case Published(leaf="receipts" | "statuses") if word.says["reportId"] > store.newest_report:
                yield f"report {word.says['reportId']} was sent, and is lost"
            case Published(leaf="events") if word.says["eventId"] > store.newest_event:
                yield f"event {word.says['eventId']} was sent, and is lost"
            case Published(leaf="replies") if (number := self._ordered.get(word.says["commandId"])) is not None:
                if word.says["commandId"] not in store.orders and number not in remains.intents_in(files):
                    yield f"command {word.says['commandId']} was answered, and may come again"
            case Moved():
                yield from self._known(word, store, files)

    def _carried_out(self, command: Document, store: Remains, told: Sequence[Word]) -> Iterator[str]:
        """A command that was acknowledged has its reply, and its effect."""
        name = command["commandId"]
        replies = [word.says for word in told if isinstance(word, Published) and word.leaf == "replies"]
        if name not in store.replies and all(reply["commandId"] != name for reply in replies):
            yield f"command {name} was acknowledged, and nobody will hear what became of it"
        if command["command"] == "acknowledge" and store.acknowledged < command["throughReport"]:
            yield f"command {name} was acknowledged, and its acknowledgement of reports is lost"

    def _known(self, moved: Moved, store: Remains, files: Files) -> Iterator[str]:
        """A gate that moved has left its intent, or its event; and what let it move is used up."""
        numbers = self._meant[moved.device_id, moved.request]
        if not numbers.isdisjoint(remains.intents_in(files)):
            return
        if not any(event.intent in numbers for event in store.events.values()):
            yield f"{moved.device_id} moved for {moved.request}, and nothing tells of it"
        for number in sorted(numbers):
            if not _used(store, self._intents[number]):
                yield f"{moved.device_id} moved for a code, which is as good as new"

    def _floor(self, line: int, files: Files) -> Iterator[str]:
        """Whole, and not below one that was durable."""
        try:
            floor = remains.floor_in(files)
        except ValueError as damaged:
            yield str(damaged)
            return
        kept = max((at for durable, at in self._floors if durable <= line), default=None)
        if kept is not None and (floor is None or floor < kept):
            yield f"the floor under the clock fell from {kept} to {floor}"

    def _copies(self, store: Remains, files: Files) -> Iterator[str]:
        """A store that was migrated has left a whole copy of itself as it was, under another name."""
        if self._before.version and store.version > self._before.version:
            copy = f"gateway.v{self._before.version}.db"
            renamed = {each.replace(STORE, copy): each for each in STORE_FILES}
            found = self.store({plain: files[name] for name, plain in renamed.items() if name in files})
            if found.epoch == self._before.epoch or replace(found, epoch="", reports={}) != replace(
                self._before, epoch="", reports={}
            ):
                yield f"{copy} is no copy of the store as it was before it was migrated: {found}"


def _intents(calls: Sequence[Call], path: Path) -> Iterator[Document]:
    """Everything the gate was ever about to do."""
    for call in calls:
        if call.name == "pwrite64" and call.place == str(path):
            for slot in call.strings:
                if len(slot) == SLOT and (intent := remains.intent_in(slot)) is not None:
                    yield intent


def _floors(calls: Sequence[Call], state_dir: Path) -> Iterator[tuple[int, int]]:
    """The line by which a floor had its name and was synced with it, and that floor (epoch ms).

    Others sync the folder too, at any moment: what counts has begun after the floor had its name.
    """
    written: int | None = None
    named: tuple[int, int] | None = None
    for call in calls:
        if call.name == "write" and call.place == str(state_dir / f"{FLOOR}.new"):
            written = remains.floor_in({FLOOR: call.strings[0]})
        elif call.name == "rename" and call.strings[1] == str(state_dir / FLOOR).encode():
            named = None if written is None or call.ended is None else (written, call.ended)
        elif call.name == "fsync" and call.place == str(state_dir) and named is not None and call.ended is not None:
            floor, since = named
            if since < call.began:
                yield call.ended, floor


def _requests(intent: Document) -> set[str]:
    """What hardware may have been told to move for: its own request, or one that the gateway made for it."""
    asked_itself = intent["device_id"] == intent["opens"] and intent["command_id"] is None
    return {intent["request"]} if asked_itself else {f"{intent['device_id']}-{intent['number']}"}


def _used(store: Remains, intent: Document) -> bool:
    """Whether the code of an intent, if it has one, is used up."""
    if intent.get("code") is None or intent["code"] not in store.codes:
        return True
    return store.codes[intent["code"]][_WAYS[intent["direction"]]]
