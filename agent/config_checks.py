"""What must hold between the keys of a configuration, and what somebody should know although it holds."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from agent import config_drivers
from agent.config_findings import Finding, shown, suggestion
from agent.config_values import is_loopback
from protocol.vocabulary import Kind

if TYPE_CHECKING:
    from agent.config import Config

_Table = Mapping[str, Any]

ANYBODY: Final = "anybody who can publish at the broker can change the lists and open gates"
"""What it means that there are no trusted keys."""

_OF_AN_INTERCOM: Final = ("opens", "codes_entry", "codes_exit", "codes_max", "codes_hours")
_DIGITS: Final[Mapping[str, int]] = {Kind.FLUSS: 16, Kind.INTERCOM: 6}


def contradictions(document: _Table) -> Iterator[Finding]:
    """Mistakes of keys that are fine alone and wrong together.

    Read from the tables as they stand in the file, past whatever is malformed: a mistake in one key hides no other.
    """
    yield from _mqtt(_table(document.get("mqtt")))
    devices = document.get("devices")
    if isinstance(devices, list):
        yield from _devices([_table(device) for device in devices])


def concerns(config: "Config") -> Iterator[Finding]:
    """What works and is worth a second thought: `check-config` shows it, the start-up log warns of it."""
    if not config.mqtt.tls and not is_loopback(config.mqtt.host):
        yield Finding(("mqtt", "tls"), f"is off: names, numbers and passwords travel readable to {config.mqtt.host}")
    if not config.trust.keys:
        yield Finding(("trust", "keys"), f"is empty: {ANYBODY}")
    for index, device in enumerate(config.devices):
        if device.kind is Kind.INTERCOM and device.opens is None:
            yield Finding(("devices", index, "opens"), "is not set: this intercom has no Fluss+ to trigger")


def _mqtt(mqtt: _Table) -> Iterator[Finding]:
    for key, needed in (("cert_file", "key_file"), ("key_file", "cert_file"), ("password_file", "username")):
        if key in mqtt and needed not in mqtt:
            yield Finding(("mqtt", key), f"needs {needed} beside it")
    host = mqtt.get("host")
    loopback = isinstance(host, str) and is_loopback(host)
    if mqtt.get("tls", not loopback) is False:
        for key in ("ca_file", "cert_file", "key_file"):
            if key in mqtt:
                yield Finding(("mqtt", key), "is never used without tls; write tls = true, or leave it out")


def _devices(devices: Sequence[_Table]) -> Iterator[Finding]:
    yield from _repeats("id", [[shown(_text(device, "id"))] if _text(device, "id") else [] for device in devices])
    # Two devices cannot share a port or a line, whatever options each writes behind it.
    yield from _repeats("driver", [_claims(_text(device, "driver")) for device in devices])
    plus = {_text(device, "id") for device in devices if device.get("kind") != Kind.INTERCOM}
    for index, device in enumerate(devices):
        yield from _kind(index, _text(device, "kind"), len(_text(device, "id")))
        yield from _opens(index, device, plus)


def _kind(index: int, kind: str, digits: int) -> Iterator[Finding]:
    expected = _DIGITS.get(kind, digits)
    if digits != expected and digits in _DIGITS.values():
        yield Finding(("devices", index, "id"), f"has {digits} digits; a device of kind '{kind}' has {expected}")


def _opens(index: int, device: _Table, plus: set[str]) -> Iterator[Finding]:
    for key in _OF_AN_INTERCOM:
        if key in device and device.get("kind") == Kind.FLUSS:
            yield Finding(("devices", index, key), "is only for an intercom; a Fluss+ opens its own gate")
    for key in ("opens", "codes_entry", "codes_exit"):
        opens = _text(device, key)
        if opens and opens not in plus and device.get("kind") != Kind.FLUSS:
            yield Finding(("devices", index, key), f"{shown(opens)} is no Fluss+ of this file{suggestion(opens, plus)}")


def _claims(driver: str) -> Sequence[str]:
    try:
        return tuple(config_drivers.claims(config_drivers.driver(driver)))
    except ValueError:  # told with the key itself
        return ()


def _repeats(key: str, claims: Sequence[Iterable[str]]) -> Iterator[Finding]:
    first: dict[str, int] = {}
    for index, claimed in enumerate(claims):
        for value in claimed:
            if first.setdefault(value, index) != index:
                yield Finding(("devices", index, key), f"{value} is that of devices[{first[value]}] already")


def _table(value: object) -> _Table:
    return value if isinstance(value, dict) else {}


def _text(table: _Table, key: str) -> str:
    value = table.get(key)
    return value if isinstance(value, str) else ""
