"""Configurations that tests start from."""

import json
from pathlib import Path
from typing import Final

CONTRACT: Final = """\
gateway_id = "gw-1"
state_dir = "state"
default_region = "ZA"

[mqtt]
host = "mqtt.example.net"
port = 8883
tls = true
protocol = "5"
topic_prefix = "fluss/v1"
username = "gw-1"
password_file = "mqtt-password"
ca_file = "ca.pem"
cert_file = "gw-1.pem"
key_file = "gw-1.key"

[trust]
keys = ["cloud-2026.jwk"]

[lists]
incomplete_after_s = 600
hold_removals_over = 0.5

[clock]
trust = "auto"
grace_s = 0

[retention]
events_days = 30
reports_days = 30

[[devices]]
id = "1234567890123456"
name = "Main gate"
kind = "fluss+"
timezone = "Africa/Johannesburg"
max_users = 5000
driver = "tcp://127.0.0.1:9000"

[[devices]]
id = "482913"
name = "Entrance panel"
kind = "intercom"
timezone = "Africa/Johannesburg"
opens = "1234567890123456"
driver = "tcp://127.0.0.1:9001"
"""
"""The contract's example, with its state beside it."""

UNTRUSTING: Final = CONTRACT.replace('keys = ["cloud-2026.jwk"]', "keys = []")
"""The same without trusted keys."""

MINIMAL: Final = """\
gateway_id = "gw-1"
state_dir = "state"
[mqtt]
host = "mqtt.example.net"
[[devices]]
id = "1234567890123456"
kind = "fluss+"
timezone = "Europe/London"
"""
"""Every required key, and where the state goes."""

PUBLIC_KEY: Final = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
"""The public half of the example of RFC 8037, appendix A.2."""

THUMBPRINT: Final = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
"""Of that key: RFC 8037, appendix A.3."""


def furnish(home: Path) -> Path:
    """Put the files that CONTRACT names into this directory, and return it."""
    home.mkdir(parents=True, exist_ok=True)
    for name in ("mqtt-password", "ca.pem", "gw-1.pem", "gw-1.key"):
        (home / name).write_text("content\n")
    (home / "cloud-2026.jwk").write_text(json.dumps(PUBLIC_KEY | {"kid": "cloud-2026"}))
    return home


def edited(text: str, old: str, new: str) -> str:
    """The text with the first ``old`` as ``new``."""
    assert old in text, f"nothing to edit: {old}"
    return text.replace(old, new, 1)
