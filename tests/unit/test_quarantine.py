"""What could not be used is kept, but never much of it."""

import stat
from pathlib import Path

from agent.quarantine import MOST_BYTES, MOST_FILES, Quarantine


def test_quarantine_keeps_the_newest_and_only_so_many(tmp_path: Path) -> None:
    """The oldest go first."""
    folder = tmp_path / "quarantine"
    quarantine = Quarantine(folder)
    for at in range(MOST_FILES + 10):
        quarantine.keep(b"x", f"{at:064x}", at)
    kept = sorted(path.name for path in folder.iterdir())
    assert len(kept) == MOST_FILES
    assert kept[0].startswith(f"{10:015d}")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(next(folder.iterdir()).stat().st_mode) == 0o600


def test_quarantine_is_bounded_in_bytes(tmp_path: Path) -> None:
    """Large payloads push out more."""
    quarantine = Quarantine(tmp_path / "quarantine")
    for at in range(6):
        quarantine.keep(b"x" * (MOST_BYTES // 3), f"{at:064x}", at)
    assert sum(path.stat().st_size for path in (tmp_path / "quarantine").iterdir()) <= MOST_BYTES


def test_quarantine_that_cannot_be_written_is_no_obstacle(tmp_path: Path) -> None:
    """The receipt matters more than the copy."""
    (tmp_path / "quarantine").write_text("a file where the folder should be")
    Quarantine(tmp_path / "quarantine").keep(b"x", "0" * 64, 1)
