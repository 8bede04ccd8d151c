"""What is left of damaged stores: moved aside, kept for whoever wants to know why, and thrown away in the end."""

import shutil
from pathlib import Path
from typing import Final

from storage import durable

KEPT: Final = 2

_SUFFIXES: Final = ("", "-wal", "-shm")
_REASON: Final = "reason"
_MENDED: Final = "mended"


class Wreckage:
    """The last two damaged stores, each in a folder with the reason beside it. They hold personal data."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def take(self, store: Path, reason: str) -> None:
        """Move a store aside with its log, whatever there is of the two; raises OSError.

        What a power cut has left of it in its place follows the rest.
        """
        parts = [store.with_name(store.name + suffix) for suffix in _SUFFIXES]
        parts = [part for part in parts if part.exists()]
        if not parts:
            return
        place = self._place()
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        (place / _REASON).write_text(f"{reason}\n")
        for part in parts:
            part.replace(place / part.name)
        for folder in (place, self._folder, store.parent):
            durable.sync(folder)
        for old in self._folders()[KEPT:]:
            shutil.rmtree(old, ignore_errors=True)

    def newest(self, name: str) -> Path | None:
        """The store of this name that was moved aside, as long as nothing stands in its place."""
        place = next(iter(self._folders()), None)
        if place is None or (place / _MENDED).exists() or not (place / name).is_file():
            return None
        return place / name

    def mended(self) -> None:
        """Something stands in its place now."""
        for place in self._folders()[:1]:
            (place / _MENDED).touch()
            durable.sync(place)

    def forget(self, before: float) -> None:
        """Throw away what was moved aside before that moment (epoch seconds); raises OSError."""
        for place in self._folders():
            if place.stat().st_mtime < before:
                shutil.rmtree(place)

    def drop(self) -> None:
        """Throw away all of it; raises OSError."""
        if self._folder.exists():
            shutil.rmtree(self._folder)
            durable.sync(self._folder.parent)

    def _place(self) -> Path:
        newest = next(iter(self._folders()), None)
        if newest is not None and not (newest / _MENDED).exists():
            return newest
        return self._folder / f"{1 + int(newest.name) if newest else 1:04}"

    def _folders(self) -> list[Path]:
        if not self._folder.is_dir():
            return []
        return sorted((each for each in self._folder.iterdir() if each.name.isdecimal()), reverse=True)
