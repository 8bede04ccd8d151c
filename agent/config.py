"""The configuration of a gateway: every key with its bounds and its default, read from one TOML file."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, ValidationError, WrapValidator

from agent import config_file, config_values
from agent.config_checks import contradictions
from agent.config_drivers import Driver
from agent.config_findings import ConfigError, Finding
from agent.config_wording import worded
from protocol.codec import MAX_PART_BYTES, MAX_PART_ITEMS
from protocol.signatures import Key
from protocol.topics import DEFAULT_PREFIX
from protocol.vocabulary import Kind
from storage.secret import Secret

_DAY_S: Final = 86_400

_File = Annotated[Path, PlainValidator(config_values.file)]
_Key = Annotated[Key, PlainValidator(config_values.key)]
_Line = Annotated[str, AfterValidator(config_values.line)]


class _Table(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class Mqtt(_Table):
    """The broker, and who the gateway is to it."""

    host: Annotated[str, AfterValidator(config_values.host)]
    tls: bool = Field(default_factory=lambda given: not config_values.is_loopback(given["host"]))
    """On unless the host is this board itself."""
    port: int = Field(default_factory=lambda given: 8883 if given["tls"] else 1883, ge=1, le=65_535)
    protocol: Literal["5", "3.1.1"] = "5"
    topic_prefix: Annotated[str, AfterValidator(config_values.topic_prefix)] = DEFAULT_PREFIX
    username: _Line | None = None
    password_file: _File | None = None
    """Read at every connection, so a new password needs no restart."""
    ca_file: _File | None = None
    """The authorities a broker's certificate is checked against; none: those the system trusts."""
    cert_file: _File | None = None
    key_file: _File | None = None


class Trust(_Table):
    """Whose batches and commands are believed: those signed with one of these keys, or, without any, everybody's."""

    keys: Annotated[tuple[_Key, ...], WrapValidator(config_values.distinct)] = Field((), strict=False, max_length=16)
    """Read once, at the start."""


class Lists(_Table):
    """How batches are taken in."""

    incomplete_after_s: int = Field(600, ge=1, le=30 * _DAY_S)
    hold_removals_over: float = Field(0.5, ge=0, le=1, allow_inf_nan=False)
    """Share of a device's users above which the removals of a replace wait for a confirmation; 1.0 never waits."""


class Limits(_Table):
    """What one part may hold: at least what every sender may send, at most what the broker is asked to pass on."""

    max_part_bytes: int = Field(MAX_PART_BYTES, ge=96 << 10, le=4 << 20)
    max_part_items: int = Field(MAX_PART_ITEMS, ge=400, le=100_000)
    """Items × devices."""


class Clock(_Table):
    """How far the board's clock is believed."""

    trust: Literal["auto", "system"] = "auto"
    grace_s: int = Field(0, ge=0, le=7 * _DAY_S)
    """How long after an unsynchronised start timed access still counts as sure."""


class Store(_Table):
    """How the list is kept."""

    key_file: Annotated[Secret, PlainValidator(config_values.secret)] | None = None
    """With one, everything with a name or a number in it is encrypted. It is read once, at the start."""

    @property
    def key(self) -> bytes | None:
        """Of the store itself; None where it is not encrypted."""
        return None if self.key_file is None else self.key_file.key


class Retention(_Table):
    """How long reports and events are kept once they were sent: the cloud may ask for them again."""

    events_days: int = Field(30, ge=1, le=90)
    reports_days: int = Field(30, ge=1, le=90)


class Device(_Table):
    """A Fluss+ or an intercom this gateway keeps the list of."""

    id: Annotated[str, AfterValidator(config_values.device_id)]
    name: _Line = Field(default_factory=lambda given: given["id"])
    kind: Kind = Field(strict=False)
    timezone: Annotated[ZoneInfo, PlainValidator(config_values.zone)]
    """The wall clock that schedules are read on."""
    max_users: int = Field(5_000, ge=1, le=1_000_000)
    """Users `Active` and `Pending` together."""
    opens: str | None = None
    """The id of the Fluss+ that an intercom has triggered."""
    codes_entry: str | None = None
    """The Fluss+ that a one-time code opens on the way in; none: the one the intercom opens."""
    codes_exit: str | None = None
    """The same on the way out; none: the one of the way in."""
    codes_max: int = Field(10, ge=1, le=100)
    """One-time codes that may be out at once; Fluss's default."""
    codes_hours: int = Field(12, ge=1, le=168)
    """How long a one-time code given out from now on is good for; Fluss's default."""
    driver: Annotated[Driver, PlainValidator(config_values.driver)] = None


class Config(_Table):
    """A whole configuration; nothing in it contradicts itself, and every file it names was there."""

    gateway_id: Annotated[str, AfterValidator(config_values.gateway_id)]
    state_dir: Annotated[Path, PlainValidator(config_values.state_dir)] = Field(
        Path("/var/lib/fluss-agent"), validate_default=True
    )
    default_region: Annotated[str, AfterValidator(config_values.region)] = "ZA"
    """Whose national numbers are meant where a number has no country code; ISO 3166, two letters."""
    mqtt: Mqtt
    trust: Trust = Trust()
    lists: Lists = Lists()
    limits: Limits = Limits()
    clock: Clock = Clock()
    store: Store = Store()
    retention: Retention = Retention()
    devices: tuple[Device, ...] = Field(strict=False, min_length=1, max_length=64)


_TABLES: Final[Mapping[str, type[_Table]]] = {
    "": Config,
    "mqtt": Mqtt,
    "trust": Trust,
    "lists": Lists,
    "limits": Limits,
    "clock": Clock,
    "store": Store,
    "retention": Retention,
    "devices": Device,
}


def load(path: Path, reads: config_file.Reads = config_file.content) -> Config:
    """The configuration in a file.

    Files it names are looked for as systemd credentials (`$CREDENTIALS_DIRECTORY`), then beside it; nothing is created.
    `reads` gives what it and the keys it trusts say. Raises ConfigError with every mistake at once.
    """
    document = config_file.read(path, reads)
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    places = config_values.Places(path.absolute().parent, Path(credentials) if credentials else None, reads)
    mistakes = list(contradictions(document))
    try:
        config = Config.model_validate(document, context=places)
    except ValidationError as error:
        mistakes += worded(error, {name: frozenset(table.model_fields) for name, table in _TABLES.items()})
        raise ConfigError(path, sorted(mistakes, key=_position)) from error
    if mistakes:
        raise ConfigError(path, sorted(mistakes, key=_position))
    return config


def _position(finding: Finding) -> tuple[int, int]:
    """Where a person looks first: in the order of the tables, one device after the other."""
    table, *rest = finding.where
    order = list(Config.model_fields)
    index = rest[0] if rest and isinstance(rest[0], int) else -1
    return (order.index(table) if table in order else len(order), index)
