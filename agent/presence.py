"""The retained state document: published on every connection and on change, and put right when a late will lied."""

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final, Literal

import structlog

from agent.certificates import Ends
from agent.config import Device
from agent.drivers.driver import Driver
from agent.link import Link, LinkDown
from agent.vault import Vault
from protocol.codec import Limits
from protocol.digest import digest_text
from protocol.state import (
    Certificates,
    DeviceDocument,
    PartLimits,
    RestoredDocument,
    Said,
    Span,
    StateDocument,
    said_in,
)
from protocol.vocabulary import Status
from storage import events
from storage.database import StorageFault, Transaction
from storage.outbox import position
from storage.store import DeviceState, device_states, held_batches, leave_behind

log = structlog.get_logger()

AT_MOST_EVERY_S: Final = 1.0
SETTLE_S: Final = 0.2
"""A change is told once what follows from it has followed: the reports of a part are sent by then."""

HEAR_AT_ONCE: Final = 10
HEAR_BYTES: Final = 256 << 10
"""Several times what a gateway of 64 devices says of itself. It is read on the loop, and anybody may have sent it."""

NOTE_EVERY_S: Final = 1.0
FAREWELL_S: Final = 0.5
_NO_LIST: Final = DeviceState(0, 0, 0, 0, 0, 0)


class Presence:
    """What this gateway says of itself, under the session that started with it."""

    def __init__(
        self,
        *,
        gateway_id: str,
        session: str,
        version: str,
        started_at: int,
        limits: Limits,
        devices: Sequence[Device],
        drivers: Mapping[str, Driver],
        vault: Vault,
        unsent: Callable[[], int],
        lost: Callable[[], int],
        new_epoch: Callable[[], str],
        certificates: Callable[[], Ends],
        topic: str,
        note: Path,
        restored: Callable[[str], RestoredDocument | None] = lambda _: None,
        uncopied: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._gateway_id = gateway_id
        self._session = session
        self._version = version
        self._started_at = started_at
        self._limits = limits
        self._devices = devices
        self._drivers = drivers
        self._vault = vault
        self._unsent = unsent
        self._lost = lost
        self._new_epoch = new_epoch
        self._certificates = certificates
        self._topic = topic
        self._note = note
        self._restored = restored
        self._uncopied = uncopied
        self._changed = asyncio.Event()
        self._noteworthy = asyncio.Event()
        self._last: StateDocument | None = None
        self._noted: dict[str, object] = {}

    def changed(self) -> None:
        """Something the document tells has changed; it goes out soon, with whatever changes until then."""
        self._changed.set()

    def drained(self) -> None:
        """Nothing waits to be sent any more; news only where something was said to wait."""
        if self._last is not None and self._last.outbox:
            self.changed()

    async def listen(self, link: Link) -> None:
        """Hear what is said of us on our own topic, until cancelled: the will of an earlier connection may be late."""
        new_here = True
        while True:
            for delivery in await link.receive(self._topic, HEAR_AT_ONCE, HEAR_BYTES):
                said = Said() if delivery.payload is None else said_in(delivery.payload)
                if new_here and said.session != self._session:
                    await self._remember(said)
                if (said.session, said.online) != (self._session, True):
                    self.changed()
                new_here = new_here and said.session != self._session
                delivery.acknowledge()

    async def _remember(self, said: Said) -> None:
        """What the broker has kept of an earlier session may tell that this store is an old copy, put back."""
        if said.epoch is None:
            return
        epoch, fresh = said.epoch, self._new_epoch()

        async def work(transaction: Transaction) -> bool:
            return await leave_behind(transaction, epoch, said.reports, said.events, fresh)

        if await self._vault.commit(work):
            log.warning("store.put_back", epoch=fresh, epoch_before=epoch)

    def document(self, *, online: bool = True) -> StateDocument:
        """The state now; while the store cannot be read, the lists as they were last seen."""
        try:
            self._last = self._written(online)
        except StorageFault as fault:
            log.debug("state.read_failed", error=str(fault))
        assert self._last is not None, "the store was read when the daemon started"
        devices = [each.model_copy(update=self._hardware(each.device_id)) for each in self._last.devices]
        clock = self._vault.clock.state()
        return self._last.model_copy(
            update={
                "online": online,
                "storage": self._storage(),
                "copies": self._copies(),
                "clock": clock,
                "certificates": Certificates(**asdict(self._certificates())),
                "devices": devices,
            }
        )

    def will(self) -> bytes:
        """The last will of a connection."""
        return self.document(online=False).payload()

    async def run(self, link: Link) -> None:
        """Publish on every connection and on change, until cancelled."""
        connection = 0
        while True:
            arrival = asyncio.create_task(link.connected(after=connection))
            change = asyncio.create_task(self._changed.wait())
            try:
                await asyncio.wait([arrival, change], return_when=asyncio.FIRST_COMPLETED)
                if arrival.done():
                    connection = arrival.result()
                else:
                    await asyncio.sleep(SETTLE_S)
            finally:
                arrival.cancel()
                change.cancel()
            self._changed.clear()
            self._noteworthy.set()
            with contextlib.suppress(LinkDown):
                await link.publish(self._topic, self.document().payload(), retain=True)
            await asyncio.sleep(AT_MOST_EVERY_S)

    async def farewell(self, link: Link) -> None:
        """Say that the gateway goes, on purpose."""
        with contextlib.suppress(LinkDown, TimeoutError):
            async with asyncio.timeout(FAREWELL_S):
                await link.publish(self._topic, self.document(online=False).payload(), retain=True)

    async def keep_note(self, link: Link) -> None:
        """Write the note anew whenever it has changed, until cancelled: why there is no link must not wait for one.

        A card that hangs holds up the next note, and nobody else.
        """
        while True:
            self._noteworthy.clear()
            await asyncio.to_thread(self._leave, self._words(link))
            if self._last is not None and self._last.clock is not self._vault.clock.state():
                self.changed()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._noteworthy.wait(), NOTE_EVERY_S)

    def write_note(self, link: Link) -> None:
        """Leave the link's status where `fluss-agent status` finds it; it is not worth a flush of the card."""
        self._leave(self._words(link))

    def _words(self, link: Link) -> dict[str, object]:
        status = link.status
        return {
            "connected": status.connected,
            "since": status.since_ms,
            "lastError": status.last_error,
            "attempts": status.attempts,
            "duplicateIdentity": status.duplicate_identity,
            "clock": self._vault.clock.state(),
            "certificates": asdict(self._certificates()),
            "storage": self._vault.fault or "ok",
            "copies": self._uncopied() or "ok",
            "outbox": self._unsent(),
            "hardware": {device_id: self._hardware(device_id) for device_id in self._drivers},
            "startedAt": self._started_at,
            "version": self._version,
        }

    def _leave(self, note: dict[str, object]) -> None:
        if note == self._noted:
            return
        fresh = self._note.with_suffix(".new")
        try:
            fresh.write_text(json.dumps(note))
            fresh.replace(self._note)
            self._noted = note
        except OSError as error:
            log.debug("status.write_failed", error=str(error))

    def _storage(self) -> Literal["ok", "degraded"]:
        return "ok" if self._vault.fault is None else "degraded"

    def _copies(self) -> Literal["ok", "failing"]:
        return "ok" if self._uncopied() is None else "failing"

    def _written(self, online: bool) -> StateDocument:
        where = position(self._vault.reader)
        kept = events.span(self._vault.reader)
        lists = device_states(self._vault.reader)
        configured = {device.id: lists[device.id] for device in self._devices if device.id in lists}
        return StateDocument(
            gateway_id=self._gateway_id,
            online=online,
            session=self._session,
            epoch=where.epoch,
            reports=Span(oldest=where.oldest, newest=where.newest),
            events=Span(oldest=kept.oldest, newest=kept.newest),
            events_lost=kept.lost + self._lost(),
            restored=self._restored(where.epoch),
            held=[batch.batch_id for batch in held_batches(self._vault.reader, configured)],
            started_at=self._started_at,
            version=self._version,
            clock=self._vault.clock.state(),
            storage=self._storage(),
            copies=self._copies(),
            limits=PartLimits(max_part_bytes=self._limits.part_bytes, max_part_items=self._limits.part_items),
            outbox=self._unsent(),
            devices=[self._device(device, lists.get(device.id, _NO_LIST)) for device in self._devices],
        )

    def _hardware(self, device_id: str) -> dict[str, object]:
        driver = self._drivers[device_id]
        return {"connected": driver.connected, "position": driver.position}

    def _device(self, device: Device, state: DeviceState) -> DeviceDocument:
        driver = self._drivers[device.id]
        return DeviceDocument(
            device_id=device.id,
            kind=device.kind,
            name=device.name,
            connected=driver.connected,
            position=driver.position,
            users={Status.ACTIVE: state.active, Status.PENDING: state.pending, Status.EXPIRED: state.expired},
            max_users=device.max_users,
            revision=state.revision,
            digest=digest_text(state.digest),
        )
