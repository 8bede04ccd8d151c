"""The direction of the imports, and that the contracts which watch it would notice."""

import subprocess
import sys
from pathlib import Path

from tests.meta.tree import ROOT

LINT_IMPORTS = [
    sys.executable,
    "-c",
    "from importlinter.cli import lint_imports_command as run; run()",
    "--no-cache",
    "--no-logo",
]

# The smallest house in which every contract holds, and wrong imports for each of them.
HOUSE = {
    "agent/connection.py": "import paho.mqtt.client",
    "agent/link.py": "import agent.connection",
    "agent/drivers/__init__.py": "",
    "agent/drivers/serial.py": "import serialx",
    "agent/drivers/gpio.py": "import gpiozero, lgpio",
    "storage/database.py": "import aiosqlite, sqlite3",
    "storage/engine.py": "import sqlite3, sqlcipher3",
    "agent/certificates.py": "import cryptography",
    "storage/cipher.py": "import cryptography",
    "protocol/mobile.py": "import phonenumbers, protocol.numbering_plan",
    "protocol/numbering_plan.py": "import phonenumbers",
    "protocol/keys.py": "import cryptography",
}
INTRUDERS = {
    "protocol/topics.py": "import storage.database",
    "simulator/cloud.py": "import storage.database",
    "simulator/people.py": "import agent.link",
    "agent/reporter.py": "import paho.mqtt.client",
    "agent/daemon.py": "import agent.connection",
    "agent/gate.py": "import sqlite3",
    "agent/intake.py": "import protocol.numbering_plan",
    "agent/drivers/tcp.py": "import serialx",
    "agent/drivers/relay.py": "import gpiozero",
    "simulator/motor.py": "import lgpio",
    "simulator/contacts.py": "import phonenumbers",
    "simulator/delivery.py": "import cryptography",
    "protocol/signatures.py": "import cryptography",
}
NOTICED = [
    "protocol.topics -> storage.database",
    "simulator.cloud -> storage.database",
    "simulator.people -> agent.link",
    "agent.reporter -> paho",
    "agent.daemon -> agent.connection",
    "agent.gate -> sqlite3",
    "agent.intake -> protocol.numbering_plan",
    "agent.drivers.tcp -> serialx",
    "agent.drivers.relay -> gpiozero",
    "simulator.motor -> lgpio",
    "simulator.contacts -> phonenumbers",
    "simulator.delivery -> cryptography",
    "protocol.signatures -> cryptography",
]


def lint_imports(folder: Path) -> tuple[int, str]:
    """Exit code and words of import-linter on the packages in ``folder``."""
    answer = subprocess.run(LINT_IMPORTS, cwd=folder, capture_output=True, text=True, timeout=50, check=False)
    return answer.returncode, answer.stdout + answer.stderr


def build(folder: Path, files: dict[str, str]) -> None:
    """A house with these modules, under our own contracts."""
    (folder / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    for package in ("agent", "protocol", "storage", "simulator"):
        (folder / package).mkdir(exist_ok=True)
        (folder / package / "__init__.py").touch()
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)


def test_contracts_hold() -> None:
    code, words = lint_imports(ROOT)
    assert code == 0, words


def test_contracts_hold_in_the_smallest_house(tmp_path: Path) -> None:
    build(tmp_path, HOUSE)
    code, words = lint_imports(tmp_path)
    assert code == 0, words


def test_contracts_notice_each_intruder(tmp_path: Path) -> None:
    build(tmp_path, HOUSE | INTRUDERS)
    code, words = lint_imports(tmp_path)
    assert code == 1
    assert not [wrong for wrong in NOTICED if wrong not in words], words
