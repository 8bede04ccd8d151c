"""A card that somebody carries off: with a key in the configuration, no file on it has a name or a number in it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from agent import exits
from agent.config import load
from agent.config_findings import ConfigError
from storage.cipher import Cipher
from storage.database import Reader
from storage.healing import Healer, Source
from storage.snapshot import Snapshots
from storage.store import device_states
from storage.wreckage import Wreckage
from tests.counterparts.agent import COMMAND, ROOT, Agent, Settings
from tests.counterparts.cloud import mobile, part, people
from tests.counterparts.mosquitto import Mosquitto
from tests.counterparts.premises import Premises, premises
from tests.counterparts.waiting import until
from tests.oracle.histories import GATE, NOON
from tests.oracle.model import DeviceRule
from tests.oracle.parts import crowd
from tests.oracle.parts import part as batch
from tests.oracle.store import Store

pytest.importorskip("sqlcipher3")

ENCRYPTED: Settings = {"store": {"key_file": "store-key"}}
PEOPLE = range(300)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "store-key").write_text("7f" * 32 + "\n")
    return tmp_path


async def busy(place: Premises) -> None:
    """Everything that leaves a name or a number somewhere: a list, a copy, an opening, an event, a refusal."""
    await place.invite(*people(PEOPLE, accepted=True, notes="Unit 4"))
    assert await place.gate.ask(mobile(7), note="Resident 7") == "actuate"
    assert await place.gate.ask("+27829999999") == "unknown_user"
    await place.cloud.send(part("bad", 0, people([7])), b"Resident 7 is no JSON +27820000007")
    await until(lambda: len(place.cloud.outcomes(None)) >= 1, what="a refusal")
    await until(lambda: place.agent.logged("snapshot.taken"), what="a copy of the store")


def legible(folder: Path) -> dict[str, set[str]]:
    """Every file below a folder in which a name or a number can be read, by what can be read."""
    found: dict[str, set[str]] = {}
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            said = {each for each in ("Resident", "Unit 4", "2782000", "Main gate") if each.encode() in content}
            if said:
                found[str(path.relative_to(folder))] = said
    return found


async def test_no_file_has_a_name_or_a_number_in_it(mosquitto: Mosquitto, home: Path) -> None:
    async with premises(home, mosquitto.port, settings=ENCRYPTED) as place:
        await busy(place)
        state = place.agent.state_dir
        assert legible(state) == {}, "while it runs"
        assert {each["userName"] for each in await place.agent.users()} == {f"Resident {each}" for each in PEOPLE}

        await place.agent.kill9()
        assert legible(state) == {}, "after a kill"
        place.agent.store.write_bytes(os.urandom(place.agent.store.stat().st_size))
        await place.agent.online(place.cloud)
        await place.reached()
        assert place.cloud.state["restored"]["from"] == "snapshot"
        assert await place.gate.ask(mobile(200)) == "actuate"
        assert await place.agent.stop() == exits.OK
        names = {path.relative_to(state).parts[0] for path in state.rglob("*")}
        assert {"gateway.db", "snapshots", "damaged", "quarantine", "intents"} <= names
        assert legible(state) == {}, "after a stop"


async def test_plain_store_is_encrypted_once_a_key_is_given(mosquitto: Mosquitto, home: Path) -> None:
    async with premises(home, mosquitto.port) as place:
        await busy(place)
        assert await place.agent.stop() == exits.OK
        state = place.agent.state_dir
        assert {"gateway.db", "intents"} <= legible(state).keys(), "the search finds what is there"

        shutil.copy(place.agent.file, home / "plain.toml")
        place.agent.file.write_text(
            place.agent.file.read_text().replace("[clock]", '[store]\nkey_file = "store-key"\n[clock]')
        )
        await place.agent.online(place.cloud)
        await place.reached()
        assert "restored" not in place.cloud.state or place.cloud.state["restored"] is None
        assert await place.gate.ask(mobile(7)) == "actuate"
        await until(lambda: place.agent.logged("snapshot.taken"), what="a copy of the store")
        assert await place.agent.stop() == exits.OK
        assert legible(state) == {}

        for settings in ("plain.toml", "another.toml"):
            (home / "another-key").write_text("8a" * 32)
            (home / "another.toml").write_text(place.agent.file.read_text().replace("store-key", "another-key"))
            shutil.copy(home / settings, place.agent.file)
            before = place.agent.store.read_bytes()
            place.agent.launch()
            assert await place.agent.ends() == exits.IO
            assert "is encrypted with another key, or with one" in place.agent.logged("store.unusable")[0]["error"]
            assert place.agent.store.read_bytes() == before


KEY = bytes(range(32))


@pytest.fixture
async def plain(tmp_path: Path) -> Path:
    """A store that nobody has encrypted yet, with a copy."""
    path = tmp_path / "gateway.db"
    async with Store(path, {GATE: DeviceRule("fluss+", 400)}) as store:
        await store.receive([batch("b1", 1, *crowd(200))], NOON)
        with closing(Snapshots(tmp_path / "snapshots", path)) as snapshots:
            await snapshots.take()
    return path


def healer(path: Path) -> Healer:
    home = path.parent
    return Healer(
        path,
        Snapshots(home / "snapshots", path, KEY),
        Wreckage(home / "damaged"),
        home / "restored.json",
        key=KEY,
    )


def named(folder: Path) -> list[str]:
    """The files in which somebody of the crowd can be read."""
    return [path.name for path in folder.rglob("*") if path.is_file() and b"Person 7" in path.read_bytes()]


def listed(path: Path) -> int:
    with closing(Reader(path, key=KEY)) as reader:
        return device_states(reader)[GATE].pending


class PowerCut(Exception):
    """Nothing of the program is left."""


async def test_power_cut_while_the_store_is_encrypted_is_made_good_by_the_next_start(
    plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The power goes before each change of a name: a plain copy beside an encrypted store is no other key."""
    cuts = left = 0

    def cut_before(call: Callable[..., object]) -> Callable[..., object]:
        def called(*names: Path, **how: bool) -> object:
            nonlocal left
            if left == 0:
                raise PowerCut
            left -= 1
            return call(*names, **how)

        return called

    for step in ("unlink", "replace"):
        monkeypatch.setattr(Path, step, cut_before(getattr(Path, step)))
    while True:
        left = cuts
        try:
            assert await healer(plain).heal(NOON, unclean=cuts > 0) is None
            break
        except PowerCut:
            cuts += 1
    assert cuts >= 3
    assert (listed(plain), named(plain.parent)) == (200, [])


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_bytes(b"junk" * 4096)], ids=["gone", "junk"])
async def test_plain_store_that_is_damaged_is_healed_before_it_is_encrypted(
    plain: Path, spoil: Callable[[Path], object]
) -> None:
    spoil(plain)
    restored = await healer(plain).heal(NOON, unclean=True)
    assert restored is not None
    assert restored.source is Source.SNAPSHOT
    assert (listed(plain), named(plain.parent)) == (200, [])


@pytest.mark.parametrize(
    ("key", "words"),
    [("short", "holds 5 bytes; a key has 32 at least: openssl rand -hex 32"), (None, "cannot be read")],
)
def test_key_that_is_none_is_named_with_its_cure(tmp_path: Path, key: str | None, words: str) -> None:
    agent = Agent(tmp_path, 1, settings=ENCRYPTED)
    if key is not None:
        (tmp_path / "store-key").write_text(key)
    done = subprocess.run(
        [*COMMAND, "check-config", "--config", agent.file],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == exits.CONFIG
    assert "store.key_file" in done.stderr
    assert words in done.stderr


def test_without_sqlcipher_a_key_is_a_mistake_with_a_cure(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sqlcipher3", None)
    with pytest.raises(ConfigError, match=r"pip install 'fluss-gateway\[encryption\]'"):
        load(Agent(home, 1, settings=ENCRYPTED).file)


def test_secret_opens_what_it_sealed_and_nothing_else() -> None:
    secret, other = Cipher(b"7" * 32), Cipher(b"8" * 32)
    sealed = secret.seal(b"Resident 7")
    assert secret.unseal(sealed) == b"Resident 7"
    assert sealed != secret.seal(b"Resident 7")
    assert other.unseal(sealed) is None
    for at in range(len(sealed)):
        assert secret.unseal(sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]) is None
    assert secret.unseal(b"") is None
    assert len({secret.key, other.key}) == 2
