"""One connection writes and checkpoints, whatever the daemon is doing: the fault of older SQLites needs two."""

import os
import re
from pathlib import Path

import pytest

from storage import engine
from storage.database import BUSY_S, Reader, StorageFault
from tests.counterparts.agent import Agent, gateway
from tests.counterparts.cloud import part, people
from tests.counterparts.mosquitto import Mosquitto
from tests.counterparts.waiting import until
from tests.meta.tree import ROOT


def held(agent: Agent) -> dict[str, list[int]]:
    """The files of its state directory that the daemon holds open, each with how (`O_RDONLY`, `O_RDWR`)."""
    found: dict[str, list[int]] = {}
    for descriptor in Path(f"/proc/{agent.pid}/fd").iterdir():
        try:
            path = descriptor.readlink()
            info = (descriptor.parents[1] / "fdinfo" / descriptor.name).read_text()
        except FileNotFoundError:  # closed meanwhile
            continue
        if agent.state_dir in path.parents:
            how = int(info.split("flags:")[1].split()[0], 8) & os.O_ACCMODE
            found.setdefault(str(path.relative_to(agent.state_dir)), []).append(how)
    return found


async def test_one_connection_can_write_during_an_import_and_a_copy(mosquitto: Mosquitto, tmp_path: Path) -> None:
    async with gateway(tmp_path, mosquitto.port) as (agent, cloud):
        parts = [part("b-1", 1, people(range(n * 400, n * 400 + 400)), part=n + 1, parts=10) for n in range(10)]
        await cloud.send(*parts)
        seen = []

        def copied() -> bool:
            seen.append(held(agent))
            return bool(agent.logged("snapshot.taken"))

        await until(copied, within_s=20, every_s=0.005, what="a copy of the store")
        assert {each["gateway.db"].count(os.O_RDWR) for each in seen} == {1}
        assert {each["gateway.db"].count(os.O_WRONLY) for each in seen} == {0}
        assert max(each["gateway.db"].count(os.O_RDONLY) for each in seen) >= 2
        assert any("snapshots/new" in each for each in seen)


@pytest.mark.parametrize(
    "sql", ["PRAGMA wal_checkpoint(TRUNCATE)", "PRAGMA user_version = 9", "DELETE FROM users", "VACUUM"]
)
async def test_reader_neither_writes_nor_checkpoints(mosquitto: Mosquitto, tmp_path: Path, sql: str) -> None:
    async with gateway(tmp_path, mosquitto.port) as (agent, cloud):
        await cloud.send(part("b-1", 1, people(range(400))))
        await cloud.outcome("b-1", "complete")
        log = agent.store.with_name("gateway.db-wal")
        before = (log.stat().st_size, agent.store.read_bytes())
        assert before[0] > 100_000
        reader = Reader(agent.store, BUSY_S)
        try:
            said = reader.fetch(sql)
        except StorageFault:
            said = []
        finally:
            reader.close()
        assert said in ([], [(1, -1, -1)], [(0, -1, -1)])
        assert (log.stat().st_size, agent.store.read_bytes()) == before
        assert len(await agent.users()) == 400


def test_only_the_writer_and_whoever_makes_a_copy_ask_for_more_than_to_read() -> None:
    shipped = {path.name: path.read_text() for path in (ROOT / "storage").glob("*.py")}
    assert {name for name, code in shipped.items() if "Access.WRITE" in code} == {"database.py", "engine.py"}
    opening = re.compile(r"(sqlite3|sqlcipher\(\)|dbapi2|module)\.connect\((?!.:memory:)")
    assert {name for name, code in shipped.items() if opening.search(code)} == {"engine.py"}


@pytest.mark.parametrize(
    ("version", "warned"),
    [("3.6.23", False), ("3.7.0", True), ("3.40.1", True), ("3.51.2", True), ("3.51.3", False)],
)
def test_version_with_the_fault_is_named_with_its_cure(
    monkeypatch: pytest.MonkeyPatch, version: str, warned: bool
) -> None:
    monkeypatch.setattr("sqlite3.sqlite_version", version)
    said = engine.concern()
    assert (said is not None) == warned
    assert said is None or "3.51.3" in said
