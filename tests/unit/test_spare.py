"""The spare of a configuration: what somebody has written counts, what the card has made of it does not."""

import errno
import os
from pathlib import Path

import orjson
import pytest

from agent.config_file import content
from agent.spare import FILE, Kept, Mark, Spare, has_rotted, is_sick, state_directory

S = 1_000_000_000
WRITTEN = Kept(Mark(7, 3, 5 * S + 1, 6 * S + 1), b"abc")
OTHER = b"abd"


@pytest.mark.parametrize(
    ("found", "rotten"),
    [
        (WRITTEN, False),
        (None, True),
        (WRITTEN._replace(content=OTHER), True),
        (Kept(Mark(7, 3, 5 * S, 6 * S), OTHER), True),  # as a file system knows it that keeps whole seconds
        (Kept(Mark(7, 3, 5 * S, 6 * S), b"abc"), False),
        (Kept(Mark(7, 3, 5 * S + 1, 6 * S + 2), OTHER), False),
        (Kept(Mark(7, 3, 5 * S + 2, 6 * S + 1), OTHER), False),
        (Kept(Mark(7, 3, 5 * S, 7 * S), OTHER), False),
        (Kept(Mark(7, 4, 5 * S + 1, 6 * S + 1), OTHER + b"e"), False),
        (Kept(Mark(8, 3, 5 * S + 1, 6 * S + 1), OTHER), False),
    ],
)
def test_file_has_rotted_where_it_says_something_else_and_nobody_wrote_to_it(found: Kept | None, rotten: bool) -> None:
    assert has_rotted(WRITTEN, found) is rotten


@pytest.mark.parametrize(
    ("code", "sick"),
    [(errno.EIO, True), (errno.EUCLEAN, True), (errno.ENOENT, False), (errno.EACCES, False), (errno.EISDIR, False)],
)
def test_what_a_person_may_have_done_is_no_sickness(code: int, sick: bool) -> None:
    assert is_sick(OSError(code, os.strerror(code))) is sick


def test_what_somebody_writes_is_read_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "agent.toml"
    for said in (b"one", b"two", b"six"):  # each as long as the one before
        file.write_bytes(said)
        spare = Spare(tmp_path)
        assert spare.read(file, 100) == said
        assert spare.rotten == []
        spare.keep()


def test_bound_is_that_of_the_reader(tmp_path: Path) -> None:
    file = tmp_path / "agent.toml"
    file.write_bytes(b"12345")
    assert Spare(None).read(file, 3) == content(file, 3) == b"1234"


def test_file_that_is_gone_is_not_read_from_the_spare(tmp_path: Path) -> None:
    file = tmp_path / "agent.toml"
    file.write_bytes(b"one")
    spare = Spare(tmp_path)
    spare.read(file, 100)
    spare.keep()
    file.unlink()
    with pytest.raises(FileNotFoundError):
        Spare(tmp_path).read(file, 100)


def test_spare_is_written_when_there_is_something_new(tmp_path: Path) -> None:
    file = tmp_path / "agent.toml"
    file.write_bytes(b"one")
    marks = []
    for _ in range(2):
        spare = Spare(tmp_path)
        spare.read(file, 100)
        spare.keep()
        marks.append((tmp_path / FILE).stat().st_ino)
    assert marks[0] == marks[1]
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("bit", range(0, 8 * 60, 7))
def test_spare_that_has_rotted_itself_is_none(tmp_path: Path, bit: int) -> None:
    file = tmp_path / "agent.toml"
    file.write_bytes(b"one")
    spare = Spare(tmp_path)
    spare.read(file, 100)
    spare.keep()
    stored = bytearray((tmp_path / FILE).read_bytes())
    stored[bit // 8] ^= 1 << bit % 8
    (tmp_path / FILE).write_bytes(stored)
    assert Spare(tmp_path).read(file, 100) == b"one"


def test_spare_of_another_program_is_none(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(orjson.dumps({"/etc/fluss-agent/agent.toml": [1, 2, 3, 4, "ff"]}))
    file = tmp_path / "agent.toml"
    file.write_bytes(b"one")
    assert Spare(tmp_path).read(file, 100) == b"one"


def test_state_directory_is_the_first_that_systemd_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    assert state_directory() is None
    assert state_directory(Path("/var/lib/x")) == Path("/var/lib/x")
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/a:/var/lib/b")
    assert state_directory(Path("/var/lib/x")) == Path("/var/lib/a")


def test_file_is_the_same_however_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "agent.toml"
    file.write_bytes(b"one")
    spare = Spare(tmp_path)
    spare.read(file, 100)
    spare.keep()
    kept = (tmp_path / FILE).stat().st_ino
    monkeypatch.chdir(tmp_path)
    again = Spare(tmp_path)
    again.read(Path("agent.toml"), 100)
    again.keep()
    assert (tmp_path / FILE).stat().st_ino == kept
