"""The clock that a scenario gives to its gateway."""

import os
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from simulator import exits, storyclock
from simulator.cli import main
from simulator.storyclock import StoryClock

ZONE = ZoneInfo("Africa/Johannesburg")


def test_story_clock_says_the_moment_in_the_zone_the_library_reads(tmp_path: Path) -> None:
    clock = StoryClock(tmp_path / "clock", Path("/lib.so"), datetime(2026, 12, 8, 6, 45, tzinfo=ZONE))
    assert (tmp_path / "clock").read_text() == "2026-12-08 04:45:00\n"
    assert clock.environment["TZ"] == "UTC"
    clock.set(datetime(2026, 12, 9, 1, tzinfo=ZONE))
    assert (tmp_path / "clock").read_text() == "2026-12-08 23:00:00\n"
    assert clock.now_ms == int(datetime(2026, 12, 8, 23, tzinfo=UTC).timestamp() * 1000)
    assert [file.name for file in tmp_path.iterdir()] == ["clock"]


def test_machine_without_libfaketime_is_told_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(storyclock, "_PLACES", ("/nowhere/*.so",))
    assert main(["scenario", "morning"]) == exits.UNREACHABLE
    assert "libfaketime, which tells the gateway that time, is not installed: apt-get install faketime" in (
        capsys.readouterr().err
    )


def test_clock_forgets_what_a_killed_program_has_left_in_shared_memory() -> None:
    pid = 2**22 + os.getpid()  # above every real one (proc(5), pid_max)
    left = [Path(f"/dev/shm/{name}_{pid}") for name in ("faketime_shm", "sem.faketime_sem")]  # noqa: S108 -- its own names
    left[0].touch()
    left[1].touch()
    StoryClock.forget(pid)
    assert not any(file.exists() for file in left)
    StoryClock.forget(pid)
