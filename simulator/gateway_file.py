"""What a cloud may take from a gateway's own configuration: its broker, its devices, and which keys it believes.

Never its credentials or its client id: two clients with one identity throw each other out, for ever.
"""

import tomllib
from ipaddress import ip_address
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from protocol.topics import DEFAULT_PREFIX
from simulator import exits
from simulator.address import Version
from simulator.exits import Failure


class GatewayFileError(Failure):
    """A configuration that does not say what is needed; the message names the file and the key."""

    exit_code = exits.CONFIG


class _Table(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class Broker(_Table):
    """The broker as the gateway reaches it, with the same defaults."""

    host: str
    tls: bool = Field(default_factory=lambda given: not _is_loopback(given["host"]))
    port: int = Field(default_factory=lambda given: 8883 if given["tls"] else 1883)
    protocol: Version = "5"
    topic_prefix: str = DEFAULT_PREFIX
    username: str | None = None
    cert_file: str | None = None

    @property
    def knows_its_clients(self) -> bool:
        """The gateway proves who it is, so the cloud has to prove who it is too."""
        return self.username is not None or self.cert_file is not None


class Device(_Table):
    """A device of the gateway."""

    id: str
    name: str = Field(default_factory=lambda given: given["id"])
    timezone: str | None = None
    driver: str = "none"


class Trust(_Table):
    """Whose words the gateway believes."""

    keys: list[str] = []


class GatewayFile(_Table):
    """The part of a gateway's configuration that is true on both sides."""

    gateway_id: str
    default_region: str = "ZA"
    mqtt: Broker
    trust: Trust = Trust()
    devices: list[Device] = Field(min_length=1)


def read_gateway_file(path: Path) -> GatewayFile:
    """The configuration at `path`. Raises GatewayFileError; OSError where it cannot be read."""
    try:
        return GatewayFile.model_validate(tomllib.loads(path.read_text("utf-8-sig")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as broken:
        raise GatewayFileError(f"{path} is not TOML ({broken}): fluss-agent check-config says more") from None
    except ValidationError as invalid:
        faults = [error for error in invalid.errors(include_url=False) if error["type"] != "default_factory_not_called"]
        key = ".".join(map(str, faults[0]["loc"]))
        raise GatewayFileError(f"{path}, {key}: {faults[0]['msg']}; fluss-agent check-config says more") from None


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.casefold() == "localhost"
