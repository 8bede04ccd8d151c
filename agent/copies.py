"""Copies of the store that a migration has left beside it, with everybody in them who was listed then."""

import asyncio
from pathlib import Path
from typing import Final

from agent.store_path import STORE

_COPIES: Final = f"{Path(STORE).stem}.v*.db"


async def drop(state_dir: Path, before: int | None = None) -> int:
    """Remove the copies, or those last written before that moment (epoch ms); how many. Raises OSError."""
    return await asyncio.to_thread(_drop, state_dir, before)


def _drop(state_dir: Path, before: int | None) -> int:
    old = [copy for copy in state_dir.glob(_COPIES) if before is None or copy.stat().st_mtime_ns // 1_000_000 < before]
    for copy in old:
        copy.unlink(missing_ok=True)
    return len(old)
