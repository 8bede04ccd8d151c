"""What one value of the configuration may be: what the file says in, a checked and typed value out.

The functions are pydantic validators: they raise ValueError, with words for the person who wrote the file.
"""

import os
import re
import stat
import zoneinfo
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import combinations
from pathlib import Path
from typing import cast
from zoneinfo import ZoneInfo

from pydantic import ValidationInfo, ValidatorFunctionWrapHandler
from pydantic_core import PydanticKnownError

from agent import config_drivers
from agent.config_file import Reads, content
from agent.config_findings import shown, suggestion
from protocol import mobile
from protocol.signatures import Key
from storage import engine
from storage.secret import Secret

# Zones come from the pinned tzdata package, so that a board with old or no zone files decides like every other.
zoneinfo.reset_tzpath(to=())

_MAX_KEY_BYTES = 16 << 10
_HOST_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")


@dataclass(frozen=True, slots=True)
class Places:
    """Where the files that a configuration names are looked for."""

    beside: Path
    """The directory of the configuration file, absolute."""
    credentials: Path | None
    """The directory of systemd's credentials. They go before files beside the configuration: what the unit handed over
    on purpose is readable to the service, the original of the same name often is not."""
    reads: Reads = content
    """How files that are no secrets are read."""


def host(text: str) -> str:
    """A host name or an IP address, without a port."""
    if _address(text):
        return text
    labels = text.split(".")
    if len(text) <= 253 and all(map(_HOST_LABEL.fullmatch, labels)) and not labels[-1].isdigit():
        return text
    if "://" in text or re.search(r":\d+$", text):
        raise ValueError(f"{shown(text)} is more than a host; the port has a key of its own")
    raise ValueError(f"{shown(text)} is neither a host name nor an IP address")


def is_loopback(host: str) -> bool:
    """Whether what is sent to this host stays on the board."""
    address = _address(host)
    return address.is_loopback if address else host.casefold() == "localhost"


def gateway_id(text: str) -> str:
    """One level of an MQTT topic, without wildcards (MQTT 5, section 4.7)."""
    if not re.fullmatch(r"[^/+#]{1,64}", text) or not _is_level(text):
        raise ValueError(f"{shown(text)} is no gateway id: 1 to 64 characters without spaces, '/', '+' and '#'")
    return text


def topic_prefix(text: str) -> str:
    """The first levels of an MQTT topic, without wildcards (MQTT 5, section 4.7)."""
    if not re.fullmatch(r"[^$+#][^+#]{0,127}", text) or not all(map(_is_level, text.split("/"))):
        raise ValueError(
            f"{shown(text)} is no topic prefix: levels between single '/', 128 characters at most, without spaces, "
            "'+' and '#', and no '$' at the start"
        )
    return text


def line(text: str) -> str:
    """Text that a person can read on one line."""
    stripped = text.strip()
    if not stripped or not stripped.isprintable() or len(stripped) > 100:
        raise ValueError(f"{shown(text)} is not 1 to 100 characters on one line")
    return stripped


def device_id(text: str) -> str:
    """Digits in the number of either kind of device."""
    if not re.fullmatch(r"[0-9]{6}|[0-9]{16}", text):
        raise ValueError(f"{shown(text)} is no device id: 16 digits for a Fluss+, 6 for an intercom")
    return text


def region(text: str) -> str:
    """A country whose numbers are known, as ISO 3166 names it: two capital letters."""
    if text not in mobile.regions():
        raise ValueError(f"{shown(text)} is not a region with telephone numbers{suggestion(text, mobile.regions())}")
    return text


def zone(value: object) -> ZoneInfo:
    """A time zone of the tzdata package."""
    name = _text(value)
    if name not in _zone_names():
        raise ValueError(f"{shown(name)} is not a time zone{suggestion(name, _zone_names())}")
    return ZoneInfo(name)


def driver(value: object) -> config_drivers.Driver:
    """Where the hardware of a device is."""
    return config_drivers.driver(_text(value))


def secret(value: object, info: ValidationInfo) -> Secret:
    """A file with the secret that the state directory is encrypted with, read now."""
    if not engine.can_encrypt():
        raise ValueError("needs SQLCipher: pip install 'fluss-gateway[encryption]'")
    from storage import cipher  # noqa: PLC0415 -- 8 MiB, and 50 ms of a start, where nothing is encrypted

    path = file(value, info)
    material = path.read_bytes().strip()
    if len(material) < cipher.LEAST_BYTES:
        raise ValueError(
            f"{path} holds {len(material)} bytes; a key has {cipher.LEAST_BYTES} at least: "
            f"openssl rand -hex {cipher.LEAST_BYTES}"
        )
    return cipher.Cipher(material)


def file(value: object, info: ValidationInfo) -> Path:
    """A file that can be read and is not empty: a systemd credential, absolute, or beside the configuration."""
    path = _placed(_path(value), cast("Places", info.context))
    _content(path, content, 0)
    return path


def key(value: object, info: ValidationInfo) -> Key:
    """A file with the public half of a key that signs."""
    from protocol import keys  # noqa: PLC0415 -- 8 MiB, and 50 ms of a start, where no key is trusted

    places = cast("Places", info.context)
    path = _placed(_path(value), places)
    text = _content(path, places.reads, _MAX_KEY_BYTES)
    if len(text) > _MAX_KEY_BYTES:
        raise ValueError(f"{path} is too large for a key")
    try:
        return keys.public_key(text)
    except keys.KeyFault as fault:
        raise ValueError(f"{path} cannot be trusted: {fault}") from fault


def distinct(names: object, validate: ValidatorFunctionWrapHandler) -> tuple[Key, ...]:
    """Files whose keys are not called the same, and are not the same."""
    keys: tuple[Key, ...] = validate(names)
    named = list(zip(cast("list[object]", names), keys, strict=False))
    for (earlier, one), (later, other) in combinations(named, 2):
        if one.thumbprint == other.thumbprint:
            raise ValueError(f"{shown(later)} holds the same key as {shown(earlier)}")
        if one.kid == other.kid:
            raise ValueError(f"{shown(later)} calls its key {shown(one.kid)}, and so does {shown(earlier)}")
    return keys


def state_dir(value: object, info: ValidationInfo) -> Path:
    """A directory that is there or can be made; absolute, or beside the configuration. It is not made here."""
    path = cast("Places", info.context).beside / _path(value)
    try:
        nearest = next(place for place in (path, *path.parents) if place.exists())
        if not nearest.is_dir():
            raise ValueError(f"{nearest} is not a directory")
    except OSError as error:
        raise ValueError(f"{path} cannot be used: {error.strerror}") from error
    # One that is there may be on a disk that is sick, or another user's: neither is a mistake in the file.
    if nearest != path and not os.access(nearest, os.W_OK | os.X_OK):
        raise ValueError(f"{path} cannot be written: this user (uid {os.geteuid()}) may not write in {nearest}")
    return path


def _placed(name: str, places: Places) -> Path:
    if places.credentials and "/" not in name:
        credential = places.credentials / name
        # What was not provided is there as one line break, the default our unit gives to every credential.
        try:
            if credential.is_file() and credential.stat().st_size > 1:
                return credential
        except OSError as error:
            raise ValueError(f"{credential} cannot be read: {error.strerror}") from error
    return places.beside / name


def _content(path: Path, reads: Reads, most: int) -> bytes:
    if _is_special(path):  # opening a pipe would wait for its other end
        raise ValueError(f"{path} is not a file")
    try:
        said = reads(path, most)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    if not said:
        raise ValueError(f"{path} is empty")
    return said


def _is_special(path: Path) -> bool:
    with suppress(OSError):
        return not stat.S_ISREG(path.stat().st_mode)
    return False


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _is_level(text: str) -> bool:
    return text != "" and text.isprintable() and " " not in text


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise PydanticKnownError("string_type")
    return value


def _path(value: object) -> str:
    text = str(value) if isinstance(value, Path) else _text(value)  # a Path is a default
    if not text or not text.isprintable():
        raise ValueError(f"{shown(text)} is no path")
    return text


@cache
def _zone_names() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())
