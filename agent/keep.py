"""The store with all that is kept beside it: its copies, what is left of damaged ones, and the mark that it is open."""

import asyncio
import shutil
from pathlib import Path
from typing import Final

from agent.marker import Marker
from agent.store_path import DAMAGED, OPEN, RESTORED, SNAPSHOTS, STORE
from protocol.state import RestoredDocument
from storage.database import StorageFault
from storage.healing import Healer
from storage.snapshot import Snapshots
from storage.wreckage import Wreckage

ROOM_BYTES: Final = 256 << 10
"""What a store cannot even be opened without: its index has 32 KB, and what is written first a few pages."""


class Keep:
    """What a state directory holds of the list, and how it came through the last end of the daemon."""

    def __init__(self, state_dir: Path, key_file: Path | None = None, key: bytes | None = None) -> None:
        self.key_file = key_file
        """Of the hashes of forgotten people; None: beside the store."""
        self.key = key
        """Of the store; None where it is not encrypted."""
        self.store = state_dir / STORE
        self.marker = Marker(state_dir / OPEN)
        self.snapshots = Snapshots(state_dir / SNAPSHOTS, self.store, self.key)
        self.wreckage = Wreckage(state_dir / DAMAGED)
        self.unclean = self.marker.found
        """Whether the store was not closed when it was used last."""
        self.just_healed = False
        self._healer = Healer(self.store, self.snapshots, self.wreckage, state_dir / RESTORED, key_file, self.key)
        self._last = self._healer.last()

    async def heal(self, now: int) -> None:
        """See to it that there is a sound store (`now` is epoch ms); raises StorageFault, SchemaFault, OSError."""
        alarmed = self.marker.tells_of_damage
        try:
            restored = await self._healer.heal(now, unclean=self.unclean, closely=alarmed)
        except StorageFault:
            if shutil.disk_usage(self.store.parent).free > ROOM_BYTES or not await self.snapshots.make_room():
                raise
            restored = await self._healer.heal(now, unclean=self.unclean, closely=alarmed)
        self.just_healed = alarmed or restored is not None
        self._last = self._healer.last()

    async def drop_copies(self, before: int | None) -> None:
        """Drop the copies of the store and what is left of damaged ones; or of these alone, those of before a moment.

        (Epoch ms.) The copies soon say what the store says, and stay in the second case. Raises OSError.
        """
        if before is None:
            await self.snapshots.drop()
            await asyncio.to_thread(self.wreckage.drop)
        else:
            await asyncio.to_thread(self.wreckage.forget, before / 1000)

    def restored(self, epoch: str) -> RestoredDocument | None:
        """How the store of this epoch came to be, where it took the place of a damaged one."""
        last = self._last
        if last is None or last.epoch != epoch:
            return None
        return RestoredDocument(at=last.at, source=last.source.value, reason=last.reason)
