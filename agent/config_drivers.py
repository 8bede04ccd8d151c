"""Where a device's hardware is: the `driver` of a device, parsed."""

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from agent.config_findings import shown


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

    def __str__(self) -> str:
        return f"gpio://{self.line}?pulse_ms={self.pulse_ms}"


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


def _tcp(text: str, url: SplitResult) -> Tcp:
    try:
        host, port = url.hostname, url.port
    except ValueError:  # letters in the port, or more than 65535
        host, port = None, None
    if not host or not port or url.path or url.query or url.fragment or "@" in url.netloc:
        raise ValueError(f"{shown(text)} is not of the form tcp://HOST:PORT, with a port from 1 to 65535")
    return Tcp(host, port)


def _serial(text: str, url: SplitResult) -> Serial:
    if url.netloc or url.fragment or not re.fullmatch(r"/dev(/[^/]+)+", url.path):
        raise ValueError(f"{shown(text)} is not of the form serial:///dev/ttyUSB0?baud=115200")
    return Serial(url.path, _option(url, "baud", default=115_200, least=300, most=4_000_000))


def _gpio(text: str, url: SplitResult) -> Gpio:
    if url.path or url.fragment or not re.fullmatch(r"[0-9]{1,4}", url.netloc) or int(url.netloc) > 1023:
        raise ValueError(f"{shown(text)} is not of the form gpio://17?pulse_ms=500, with a line from 0 to 1023")
    return Gpio(int(url.netloc), _option(url, "pulse_ms", default=500, least=50, most=10_000))


def _option(url: SplitResult, name: str, *, default: int, least: int, most: int) -> int:
    if not url.query:
        return default
    given = re.fullmatch(rf"{name}=([0-9]{{1,9}})", url.query)
    if not given:
        raise ValueError(f"{shown(url.query)} is not understood: {url.scheme}:// takes {name}={default} and no more")
    if not least <= int(given[1]) <= most:
        raise ValueError(f"{name}={given[1]} is out of range: {least} to {most}")
    return int(given[1])
