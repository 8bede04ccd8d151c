"""The model of a card without power, and the ears on the wires, on recordings that can be read at a glance."""

import re
from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path

import pytest

from tests.counterparts.cloud import GATE
from tests.fault.powercut.disk import SECTOR, Cut, Disk
from tests.fault.powercut.recording import Recording
from tests.fault.powercut.wire import BROKER, Acknowledged, Heard, Moved, Published, words

SEEDS = range(400)
CREATED = '7 openat(AT_FDCWD</>, "/card/new", O_WRONLY|O_CREAT|O_TRUNC, 0600) = 3</card/new>'
WRITTEN = '7 write(3</card/new>, "word", 4) = 4'
SYNCED = "7 fsync(3</card/new>) = 0"
RENAMED = '7 rename("/card/new", "/card/file") = 0'
NAMES_SYNCED = "7 fsync(4</card>) = 0"

Recorded = Callable[..., Recording]


@pytest.fixture
def recorded(tmp_path: Path) -> Recorded:
    """A recording as strace writes it, texts and paths in hexadecimal."""

    def escaped(found: "re.Match[str]") -> str:
        plain = found[0][1:-1].replace("'", '"').encode("latin-1")
        return found[0][0] + "".join(f"\\x{byte:02x}" for byte in plain) + found[0][-1]

    def write(*lines: str) -> Recording:
        text = "".join(re.sub(r'"[^"]*"|<[/s][^>]*>', escaped, line) + "\n" for line in lines)
        (tmp_path / "calls.strace").write_text(text)
        return Recording(tmp_path, Path("/card"), {1883: BROKER, 9000: GATE})

    return write


def outcomes(recording: Recording, before: Mapping[str, bytes]) -> set[tuple[tuple[str, bytes], ...]]:
    """Everything that a cut at the end of a recording may leave."""
    disk = Disk(recording.state_dir, before)
    for call in recording.calls():
        disk.begins(call)
        disk.ends(call)
    return {tuple(disk.left_by(Cut(seed)).items()) for seed in SEEDS}


def test_what_was_synced_stays_and_what_was_not_may(recorded: Recorded) -> None:
    before = {"file": b"aaaa"}
    put = ['7 pwrite64(3</card/file>, "bb", 2, 0) = 2', '7 pwrite64(3</card/file>, "cc", 2, 2) = 2']
    sync = "7 fdatasync(3</card/file>) = 0"
    assert outcomes(recorded(put[0], sync, put[1]), before) == {(("file", b"bbaa"),), (("file", b"bbcc"),)}
    assert outcomes(recorded(*put), before) == {(("file", each),) for each in (b"aaaa", b"bbaa", b"aacc", b"bbcc")}
    assert outcomes(recorded(*put, sync), before) == {(("file", b"bbcc"),)}


def test_sync_covers_what_had_ended_when_it_began(recorded: Recorded) -> None:
    late = recorded(
        '7 pwrite64(3</card/file>, "bb", 2, 0 <unfinished ...>',
        "8 fdatasync(3</card/file> <unfinished ...>",
        "7 <... pwrite64 resumed>) = 2",
        "8 <... fdatasync resumed>) = 0",
    )
    assert outcomes(late, {"file": b"aa"}) == {(("file", b"aa"),), (("file", b"bb"),)}
    failed = recorded('7 pwrite64(3</card/file>, "bb", 2, 0) = 2', "7 fdatasync(3</card/file>) = -1 EIO (I/O error)")
    assert outcomes(failed, {"file": b"aa"}) == {(("file", b"aa"),), (("file", b"bb"),)}


def test_write_is_torn_between_sectors_and_nowhere_else(recorded: Recorded) -> None:
    half, whole = SECTOR // 2, SECTOR
    put = recorded(f'7 pwrite64(3</card/file>, "{"n" * 2 * whole}", {2 * whole}, {half}) = {2 * whole}')
    sectors = [b"o" * half + b"n" * half, b"n" * whole, b"n" * half + b"o" * half]
    torn = {b"".join(each) for each in product(*((b"o" * whole, sector) for sector in sectors))}
    assert outcomes(put, {"file": b"o" * 3 * whole}) == {(("file", each),) for each in torn}


def test_file_cut_short_may_be_long_again_and_a_hole_reads_as_zeros(recorded: Recorded) -> None:
    found = outcomes(
        recorded("7 ftruncate(3</card/file>, 0) = 0", '7 pwrite64(3</card/file>, "bb", 2, 2) = 2'), {"file": b"aaaa"}
    )
    assert found == {(("file", each),) for each in (b"aaaa", b"", b"aabb", b"\0\0bb")}


@pytest.mark.parametrize(
    ("calls", "left"),
    [
        ([CREATED, WRITTEN], [{"file": b"old"}, {"file": b"old", "new": b""}, {"file": b"old", "new": b"word"}]),
        ([CREATED, WRITTEN, RENAMED, NAMES_SYNCED], [{"file": b""}, {"file": b"word"}]),
        ([CREATED, WRITTEN, SYNCED, RENAMED], [{"file": b"old"}, {"file": b"old", "new": b"word"}, {"file": b"word"}]),
        ([CREATED, WRITTEN, SYNCED, RENAMED, NAMES_SYNCED], [{"file": b"word"}]),
    ],
    ids=["created", "named before it had its bytes", "synced, and its name not", "as it should be"],
)
def test_new_file_takes_the_place_of_an_old_one(
    recorded: Recorded, calls: list[str], left: list[dict[str, bytes]]
) -> None:
    found = outcomes(recorded(*calls), {"file": b"old"})
    assert found == {tuple(sorted(each.items())) for each in left}


def test_file_that_lost_its_name_may_have_it_again(recorded: Recorded) -> None:
    gone = recorded('7 unlink("/card/file") = 0')
    assert outcomes(gone, {"file": b"old"}) == {(), (("file", b"old"),)}


def test_call_in_the_middle_of_which_the_agent_was_killed_is_doubtful(recorded: Recorded) -> None:
    ended, cut_short = '7 pwrite64(3</card/file>, "bb", 2, 0)', '7 pwrite64(3</card/file>, "cc", 2, 0 <unfinished ...>'
    for last in (cut_short, f"{cut_short}) = ?"):
        disk = Disk(Path("/card"), {"file": b"aa"})
        for call in recorded(f"{ended} = 2", last, "7 +++ killed by SIGKILL +++").calls():
            disk.begins(call)
        assert [call.strings for call in disk.doubtful] == [[b"cc"]]


def test_what_the_model_does_not_know_is_not_passed_over(recorded: Recorded) -> None:
    with pytest.raises(AssertionError, match="the model knows nothing of link"):
        outcomes(recorded('7 link("/card/file", "/card/other") = 0'), {"file": b"old"})


def test_words_are_heard_through_pieces_of_packets(recorded: Recorded) -> None:
    """An invite comes in three pieces (in MQTT 5), is acknowledged in two, and an event goes out; a gate is to move."""
    mqtt, line = "<socket:[1]>", "<socket:[2]>"
    recording = recorded(
        f"7 connect(5{mqtt}, {{sa_family=AF_INET, sin_port=htons(1883)}}, 16) = 0",
        f"7 connect(6{line}, {{sa_family=AF_INET, sin_port=htons(9000)}}, 16) = -1 EINPROGRESS (In progress)",
        f'7 sendto(5{mqtt}, "\x10\x0d\0\x04MQTT\x05\x02\0\x3c\0\0\0", 15, 0, NULL, 0) = 15',
        f'7 recvfrom(5{mqtt}, "\x32\x12\0\x09f/inv", 9, 0, NULL, NULL) = 9',
        f'7 recvfrom(5{mqtt}, "ites\0\x09\0pay", 10, 0, NULL, NULL) = 10',
        f'7 recvfrom(5{mqtt}, "x", 4096, 0, NULL, NULL) = 1',
        f'7 sendto(5{mqtt}, "\x40\x02\0", 3, 0, NULL, 0) = 3',
        f'7 sendto(5{mqtt}, "\x09" <unfinished ...>',
        f"7 sendto(6{line}, \"{{'type': 'actuate', \", 30, 0, NULL, 0) = 20",
        "7 <... sendto resumed>, 1, 0, NULL, 0) = 1",
        f'7 sendto(5{mqtt}, "\x30\x0d\0\x08f/events\0{{}}", 15, 0, NULL, 0) = 15',
        f"7 sendto(6{line}, \"'requestId': 'r-1'}}\n\", 20, 0, NULL, 0) = -1 EAGAIN (Resource temporarily unavailable)",
        f"7 sendto(6{line}, \"'requestId': 'r-1'}}\n\", 20, 0, NULL, 0) = 20",
    )
    assert words(recording.calls(), recording.ports) == [
        Heard(5, "invites", b"payx"),
        Acknowledged(7, "invites", b"payx"),
        Published(10, "events", b"{}", {}),
        Moved(12, GATE, "r-1"),
    ]
