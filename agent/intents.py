"""What the gate is about to do, on the card before it does it.

A file of its own, apart from the store: an opening never waits for an import. It is made in its full size at once and
then overwritten in place, so that a sync writes one block and leaves the file system's own books alone.
"""

import asyncio
import errno
import os
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import orjson
import structlog
from pydantic import TypeAdapter, ValidationError

from protocol.vocabulary import Action, Channel, ClockState, Direction
from storage import durable
from storage.secret import OVERHEAD, Secret

log = structlog.get_logger()

SLOT_BYTES: Final = 4_096
_HEAD: Final = 8
_ROOM: Final = SLOT_BYTES - _HEAD - OVERHEAD
SLOTS: Final = 64
"""How many openings are known by their requests after a restart; a store that can be written has them much sooner."""

WRITE_S: Final = 2.0
"""How long a sick card may take: whoever stands at the gate waits no longer."""


class IntentFault(Exception):
    """The file could not be written: after a crash nobody would know of this opening."""


@dataclass(frozen=True, slots=True)
class Intent:
    """One opening that was decided; `number` rises by one with each. `at` is epoch milliseconds."""

    number: int
    at: int
    device_id: str
    request: str
    channel: Channel
    action: Action
    clock: ClockState
    opens: str
    """The device that moves."""
    mobile: int | None = None
    name: str | None = None
    note: str | None = None
    command_id: str | None = None
    expires_at: int = 0
    """When a command that asked for it is too old anyway; epoch milliseconds."""
    code: int | None = None
    direction: Direction | None = None

    @property
    def owed(self) -> bool:
        """Whether this may happen once only."""
        return self.command_id is not None or self.code is not None

    @property
    def name_of_request(self) -> tuple[str, str]:
        """What tells its request from all others: hardware and the cloud may well number theirs alike."""
        return name_of_request(self.device_id, self.request, self.command_id)


def name_of_request(device_id: str, request: str, command_id: str | None) -> tuple[str, str]:
    """What tells a request from all others: those of the cloud have no device of their own."""
    return ("" if command_id is not None else device_id, request)


_intent: TypeAdapter[Intent] = TypeAdapter(Intent)


class Intents:
    """The last intents, each durable when `write` returns.

    A slot is taken by the next intents in turn, but not while it is owed: while the store does not know yet that a
    code was used, or a command carried out, which must not happen again.
    """

    def __init__(self, path: Path, secret: Secret | None = None) -> None:
        self._path = path
        self._secret = secret
        self._file: int | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="intents")
        self._owed: dict[int, int] = {}
        """Slots that must not be taken, by the number of the intent in them."""
        self._latest = 0
        """The slot taken last."""

    def read(self) -> list[Intent]:
        """What the file holds, oldest first; a slot that cannot be read holds nothing. Raises OSError."""
        found = sorted(self._kept(), key=lambda each: each[1].number)
        if self._secret is not None:
            self._seal_plain(found)
        self._owed = {intent.number: slot for slot, intent in found if intent.owed}
        self._latest = found[-1][0] if found else 0
        return [intent for _, intent in found]

    def settle(self, number: int) -> None:
        """The store knows what this intent owed: its slot is free."""
        self._owed.pop(number, None)

    async def write(self, intent: Intent) -> None:
        """Have it on the card; raises IntentFault."""
        taken = set(self._owed.values())
        turns = ((self._latest + step) % SLOTS for step in range(1, SLOTS + 1))
        slot = next((slot for slot in turns if slot not in taken), None)
        if slot is None:
            raise IntentFault(f"{self._path}: every slot is owed to the store, which cannot be written")
        self._latest = slot
        if intent.owed:
            self._owed[intent.number] = slot
        task = asyncio.get_running_loop().run_in_executor(self._thread, self._write, intent, slot)
        try:
            async with asyncio.timeout(WRITE_S):
                await asyncio.shield(task)
        except (OSError, TimeoutError) as error:
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
            words = str(error) or f"no answer from the disk within {WRITE_S:g} s"
            raise IntentFault(f"{self._path}: {words}") from error

    async def numbers(self) -> list[int]:
        """Of every intent in the file; raises OSError."""
        return await asyncio.get_running_loop().run_in_executor(
            self._thread, lambda: [i.number for _, i in self._kept()]
        )

    async def forget(self, who: Callable[[Intent], bool]) -> None:
        """Keep of the intents that `who` says yes to no more than that they were. Raises OSError."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._forget, who)

    def close(self) -> None:
        """Let go of the file, once what is being written is written."""
        self._thread.submit(self._let_go)
        self._thread.shutdown(wait=False)

    def _kept(self) -> list[tuple[int, Intent]]:
        """What can be read, by slot."""
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return []
        slots = range(min(SLOTS, len(content) // SLOT_BYTES))
        read = ((slot, _unpacked(content[slot * SLOT_BYTES : (slot + 1) * SLOT_BYTES], self._secret)) for slot in slots)
        return [(slot, intent) for slot, intent in read if intent is not None]

    def _seal_plain(self, found: Sequence[tuple[int, Intent]]) -> None:
        """What was written before there was a key."""
        content = self._path.read_bytes() if found else b""
        for slot, intent in found:
            if content[slot * SLOT_BYTES + _HEAD : slot * SLOT_BYTES + _HEAD + 1] == b"{":
                self._write(intent, slot)

    def _forget(self, who: Callable[[Intent], bool]) -> None:
        for slot, intent in self._kept():
            left = replace(intent, mobile=None, name=None, note=None)
            if left != intent and who(intent):
                self._write(left, slot)

    def _write(self, intent: Intent, slot: int) -> None:
        try:
            if self._file is None:
                self._file = _opened(self._path)
            _put(self._file, _packed(intent, self._secret), slot * SLOT_BYTES)
            os.fdatasync(self._file)
        except OSError:
            # What a failed sync leaves in the cache is not to be trusted: the next one starts from a fresh descriptor.
            self._let_go()
            raise

    def _let_go(self) -> None:
        file, self._file = self._file, None  # whatever close(2) answers, the descriptor is gone
        if file is not None:
            os.close(file)


def _opened(path: Path) -> int:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if os.fstat(file).st_size != SLOTS * SLOT_BYTES:
            os.ftruncate(file, 0)
            _put(file, bytes(SLOTS * SLOT_BYTES), 0)
            os.fsync(file)
            durable.sync(path.parent)
    except OSError:
        os.close(file)
        raise
    return file


def _put(file: int, content: bytes, at: int) -> None:
    """Write all of it: a disk that is almost full takes a part, and calls that no error."""
    if os.pwrite(file, content, at) != len(content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _packed(intent: Intent, secret: Secret | None) -> bytes:
    body = orjson.dumps(intent)
    if len(body) > _ROOM:  # a note of control characters, six bytes each
        body = orjson.dumps(replace(intent, note=None))
    if secret is not None:
        body = secret.seal(body.ljust(_ROOM))  # the length tells nobody anything
    framed = zlib.crc32(body).to_bytes(4, "big") + len(body).to_bytes(4, "big") + body
    return framed.ljust(SLOT_BYTES, b"\0")


def _unpacked(slot: bytes, secret: Secret | None) -> Intent | None:
    length = int.from_bytes(slot[4:8], "big")
    body = slot[8 : 8 + length]
    if not length or len(body) != length or zlib.crc32(body).to_bytes(4, "big") != slot[:4]:
        if any(slot):
            log.warning("intent.unreadable", reason="torn or damaged")
        return None
    if secret is not None:
        body = secret.unseal(body) or body  # one from before there was a key is in plain words
    try:
        return _intent.validate_json(body)
    except ValidationError as invalid:
        log.warning("intent.unreadable", reason=f"of another version: {invalid.error_count()} fields not understood")
        return None


def next_number(intents: Sequence[Intent], recorded: int) -> int:
    """The number of the next intent, above those in the file and in the store."""
    return max(recorded, intents[-1].number if intents else 0) + 1
