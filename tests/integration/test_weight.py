"""A daemon loads what its configuration asks for, and nothing else: on a small board each of these is felt."""

import re
import sys
from pathlib import Path

from tests.counterparts.agent import COMMAND, Agent, Settings
from tests.counterparts.authority import Authority
from tests.counterparts.mosquitto import Mosquitto
from tests.counterparts.signer import Signer

NOT_FOR_A_DAEMON = {
    "rich.console",
    "typer",
    "pygments",
    "multiprocessing",
    "unittest",
    "pydoc",
    "simulator",
    "protocol.messages",
}
FOR_KEYS_AND_CERTIFICATES_ALONE = {"cryptography", "cryptography.x509", "protocol.keys"}
FOR_A_KEY_FILE_ALONE = {"sqlcipher3", "storage.cipher"}
FOR_SOME_DRIVERS_ALONE = {"serialx", "gpiozero", "lgpio", "agent.drivers.serial"}
NEVER = {"phonenumbers.geocoder", "phonenumbers.carrier"}


async def loaded(home: Path, broker: Mosquitto, settings: Settings) -> set[str]:
    """The names of all modules that a daemon has imported by the time it has been online and left."""
    command = (sys.executable, "-X", "importtime", *COMMAND[1:])
    async with Agent(home, broker.port, settings=settings, command=command) as agent:
        await agent.says("link.connected")
        assert await agent.stop() == 0, agent.log
        return set(re.findall(r"^import time:.*\| +([\w.]+)$", agent.log, re.MULTILINE))


async def test_plain_daemon_carries_nothing_optional(mosquitto: Mosquitto, tmp_path: Path) -> None:
    names = await loaded(tmp_path / "gw", mosquitto, {})

    assert {"agent.daemon", "agent.link", "protocol.signatures", "storage.engine", "paho.mqtt.client"} <= names
    optional = (
        NOT_FOR_A_DAEMON | FOR_KEYS_AND_CERTIFICATES_ALONE | FOR_A_KEY_FILE_ALONE | FOR_SOME_DRIVERS_ALONE | NEVER
    )
    assert names & (NOT_FOR_A_DAEMON | optional | NEVER) == set()


async def test_daemon_in_the_field_carries_what_verifies_and_nothing_else_that_is_optional(
    mosquitto_installed: None, authority: Authority, tmp_path: Path
) -> None:
    mine = authority.client("gw-1")
    tls = {"ca_file": str(authority.ca_file), "cert_file": str(mine.cert_file), "key_file": str(mine.key_file)}
    settings: Settings = {"mqtt": {"tls": True, **tls}, "trust": {"keys": [Signer().file(tmp_path)]}}
    with Mosquitto(tmp_path / "broker", authority=authority, client_certificates=True) as broker:
        names = await loaded(tmp_path / "gw", broker, settings)

    assert names >= FOR_KEYS_AND_CERTIFICATES_ALONE
    assert names & (NOT_FOR_A_DAEMON | FOR_A_KEY_FILE_ALONE | FOR_SOME_DRIVERS_ALONE | NEVER) == set()
