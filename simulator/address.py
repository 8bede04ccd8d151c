"""Where a broker is, and who we are to it and to the gateway behind it, from what a person typed."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal
from urllib.parse import unquote, urlsplit

from protocol.keys import SigningKey
from protocol.topics import DEFAULT_PREFIX
from simulator import exits
from simulator.exits import Failure

Version = Literal["5", "3.1.1"]

_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}


class AddressError(Failure):
    """An address, or a file it needs, that cannot be used; the message names it and the cure."""

    exit_code = exits.USAGE


@dataclass(frozen=True, slots=True)
class Tls:
    """TLS towards a broker; without `ca_file` the system's authorities count."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    def context(self) -> ssl.SSLContext:
        """A client context from the files as they are now. Raises AddressError; OSError where one cannot be read."""
        for file in filter(None, (self.ca_file, self.cert_file, self.key_file)):
            with file.open("rb"):
                pass  # ssl's own errors do not say which file
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except ssl.SSLError:
            raise AddressError(f"{self.ca_file} holds no certificates in PEM form: give the authority's own") from None
        if self.cert_file is not None:
            try:
                # An empty password: an encrypted key would otherwise ask at the terminal, in OpenSSL's own words.
                context.load_cert_chain(self.cert_file, self.key_file, password="")
            except ssl.SSLError:
                files = self.cert_file if self.key_file is None else f"{self.cert_file} and {self.key_file}"
                raise AddressError(f"{files}: not a certificate and its unencrypted key in PEM form") from None
        return context


@dataclass(frozen=True, slots=True)
class Address:
    """Everything a connection needs."""

    host: str
    port: int
    tls: Tls | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    protocol: Version = "5"
    prefix: str = DEFAULT_PREFIX
    key: SigningKey | None = None
    """What we sign with; a gateway that trusts no key in particular believes us without."""

    @property
    def place(self) -> str:
        """Host and port, as an error names them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(url: str, tls: Tls, *, protocol: Version, prefix: str) -> Address:
    """The address in `mqtt://[user[:password]@]host[:port]`, `mqtts://` for TLS. Raises AddressError."""
    usage = "write it as mqtt://host:1883, or mqtts://user:password@host:8883 for TLS"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as why:
        raise AddressError(f"{_without_password(url)!r} is no broker ({why}): {usage}") from None
    if parts.scheme not in _PORTS or not host or parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise AddressError(f"{_without_password(url)!r} is no broker: {usage}")
    secured = parts.scheme == "mqtts"
    if not secured and tls != Tls():
        raise AddressError("--ca-file, --cert-file and --key-file are for TLS: write the broker as mqtts://…")
    return Address(
        host,
        _PORTS[parts.scheme] if port is None else port,
        tls if secured else None,
        username=None if parts.username is None else unquote(parts.username),
        password=None if parts.password is None else unquote(parts.password),
        protocol=protocol,
        prefix=prefix,
    )


def _without_password(url: str) -> str:
    """What an error may show of a broker's address."""
    scheme, slashes, rest = url.rpartition("://")
    who, at, where = rest.rpartition("@")
    return f"{scheme}{slashes}{who.partition(':')[0]}{at}{where}"
