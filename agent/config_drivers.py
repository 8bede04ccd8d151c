"""Where a device's hardware is: the `driver` of a device, parsed."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

from agent.config_findings import shown

_LAST_LINE: Final = 1023


@dataclass(frozen=True, slots=True)
class Tcp:
    """The hardware line over TCP; the gateway dials."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"tcp://[{self.host}]:{self.port}" if ":" in self.host else f"tcp://{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Serial:
    """The hardware line over a serial port; `baud` in bits a second."""

    device: str
    baud: int

    def __str__(self) -> str:
        return f"serial://{self.device}?baud={self.baud}"


@dataclass(frozen=True, slots=True)
class Gpio:
    """A relay on a line of the board's GPIO chip, closed for `pulse_ms` milliseconds."""

    line: int
    pulse_ms: int
    status: int | None = None
    """The line of a sensor that shows whether the gate is open."""
    open_high: bool = True
    """Which level of it means open."""

    def __str__(self) -> str:
        relay = f"gpio://{self.line}?pulse_ms={self.pulse_ms}"
        level = "high" if self.open_high else "low"
        return relay if self.status is None else f"{relay}&status={self.status}&open={level}"


Driver = Tcp | Serial | Gpio | None
"""None keeps the list and moves nothing."""


def driver(text: str) -> Driver:
    """The driver a configuration names. Raises ValueError with the form that was expected."""
    if text == "none":
        return None
    if not re.fullmatch(r"[!-~]{1,256}", text):
        raise ValueError(f"{shown(text)} is no address: plain characters without spaces, 256 at most")
    try:
        url = urlsplit(text)
    except ValueError as error:  # an unclosed bracket of an IPv6 address
        raise ValueError(f"{shown(text)} is not an address") from error
    match url.scheme:
        case "tcp":
            return _tcp(text, url)
        case "serial":
            return _serial(text, url)
        case "gpio":
            return _gpio(text, url)
        case _:
            raise ValueError(f"{shown(text)} is none of tcp://, serial://, gpio:// and 'none'")


def claims(driver: Driver) -> Iterator[str]:
    """What only one device can have, as a person calls it: its address, or each of its lines."""
    match driver:
        case Tcp():
            yield shown(str(driver))
        case Serial():
            yield shown(f"serial://{driver.device}")
        case Gpio():
            yield from (f"GPIO line {line}" for line in (driver.line, driver.status) if line is not None)


def _tcp(text: str, url: SplitResult) -> Tcp:
    try:
        host, port = url.hostname, url.port
    except ValueError:  # letters in the port, or more than 65535
        host, port = None, None
    if not host or not port or url.path or url.query or url.fragment or "@" in url.netloc:
        raise ValueError(f"{shown(text)} is not of the form tcp://HOST:PORT, with a port from 1 to 65535")
    return Tcp(host, port)


def _serial(text: str, url: SplitResult) -> Serial:
    climbs = {".", ".."} & set(url.path.split("/"))
    if url.netloc or url.fragment or climbs or not re.fullmatch(r"/dev(/[^/]+)+", url.path):
        raise ValueError(f"{shown(text)} is not of the form serial:///dev/ttyUSB0?baud=115200")
    options = _options(url, baud="115200")
    return Serial(url.path, _number(options, "baud", default=115_200, least=300, most=4_000_000))


def _gpio(text: str, url: SplitResult) -> Gpio:
    if url.path or url.fragment or not re.fullmatch(r"[0-9]{1,4}", url.netloc) or int(url.netloc) > _LAST_LINE:
        raise ValueError(f"{shown(text)} is not of the form gpio://17?pulse_ms=500, with a line from 0 to 1023")
    line = int(url.netloc)
    options = _options(url, pulse_ms="500", status="27", open="high")
    pulse_ms = _number(options, "pulse_ms", default=500, least=50, most=10_000)
    level = options.get("open", "high")
    if level not in {"high", "low"}:
        raise ValueError(f"open={level} is neither high nor low")
    if "status" not in options:
        if "open" in options:
            raise ValueError(f"open={level} needs the line of a sensor beside it: status=27")
        return Gpio(line, pulse_ms)
    status = _number(options, "status", default=0, least=0, most=_LAST_LINE)
    if status == line:
        raise ValueError(f"status={status} is the line of the relay itself")
    return Gpio(line, pulse_ms, status, level == "high")


def _options(url: SplitResult, **examples: str) -> Mapping[str, str]:
    """What stands behind the question mark, by name; every name once, and none but those of the examples."""
    options: dict[str, str] = {}
    for option in url.query.split("&") if url.query else ():
        name, equals, value = option.partition("=")
        if name not in examples or not equals or not re.fullmatch(r"[A-Za-z0-9]{1,9}", value):
            known = " ".join(f"{name}={value}" for name, value in examples.items())
            raise ValueError(f"{shown(option)} is not understood: {url.scheme}:// takes {known} and no more")
        if name in options:
            raise ValueError(f"{name} is given twice")
        options[name] = value
    return options


def _number(options: Mapping[str, str], name: str, *, default: int, least: int, most: int) -> int:
    text = options.get(name, str(default))
    if not text.isdecimal():
        raise ValueError(f"{name}={text} is not a whole number")
    if not least <= int(text) <= most:
        raise ValueError(f"{name}={text} is out of range: {least} to {most}")
    return int(text)
