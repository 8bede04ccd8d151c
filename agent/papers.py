"""Papers: the files beside the store in which people may be named, and what becomes of them there."""

import asyncio
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final

from agent.intents import Intent, Intents
from agent.keep import Keep
from agent.quarantine import Quarantine
from agent.store_path import STORE

_COPIES: Final = f"{Path(STORE).stem}.v*.db"


class Papers:
    """The intents of the last openings, messages that could not be used, and copies that migrations have left.

    The copies that are there in case the store is damaged, and what is left of damaged ones, are the keep's.
    """

    def __init__(self, state_dir: Path, intents: Intents, quarantine: Quarantine, keep: Keep) -> None:
        self._state_dir = state_dir
        self._intents = intents
        self._quarantine = quarantine
        self._keep = keep

    async def intents(self) -> list[int]:
        """The numbers of the openings that are still noted; raises OSError."""
        return await self._intents.numbers()

    async def forget(self, recorded: Collection[int], mobiles: Collection[int]) -> None:
        """Keep nobody's name: these openings are in the store, and these people are to be forgotten. Raises OSError.

        All of the quarantine goes, and all of the copies: who is named in them cannot be told, or not be changed.
        """
        numbers, people = frozenset(recorded), frozenset(mobiles)
        await self._intents.forget(lambda intent: intent.number in numbers or intent.mobile in people)
        await asyncio.to_thread(self._quarantine.drop)
        await self.drop_copies()

    async def age(self, before: int, copied_before: int) -> None:
        """Keep nobody's name of what happened before that moment (epoch ms), and no copy of before the other one.

        What a copy tells was old already when it was made. Raises OSError.
        """
        await self._intents.forget(_older(before))
        await asyncio.to_thread(self._quarantine.drop, before)
        await self.drop_copies(copied_before)

    async def drop_copies(self, before: int | None = None) -> None:
        """Drop the copies of the store, or those last written before that moment (epoch ms). Raises OSError."""
        await asyncio.to_thread(self._drop_copies, before)
        await self._keep.drop_copies(before)

    def _drop_copies(self, before: int | None) -> None:
        for copy in self._state_dir.glob(_COPIES):
            if before is None or copy.stat().st_mtime_ns // 1_000_000 < before:
                copy.unlink(missing_ok=True)


def _older(before: int) -> Callable[[Intent], bool]:
    return lambda intent: intent.at < before
