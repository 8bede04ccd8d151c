"""The broker as a gateway is told to reach it: its address, its secrets, and what its refusals mean to a person."""

import errno
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from agent.backoff import Ending
from agent.certificates import Tls, UnusableError, day, read

_PLAUSIBLE_YEAR: Final = 2025
_LEAST_PACKET: Final = 128 << 10  # a part or a report of 96 KiB with room to spare
_LEAST_WINDOW: Final = 4
_TAKEN_OVER: Final = 0x8E


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no connection: words for a person, and what the back-off makes of it."""

    words: str
    ending: Ending = Ending.FAILED


@dataclass(frozen=True, slots=True)
class Address:
    """Everything a connection needs. Files are read anew for every connection, so a new secret needs no restart."""

    host: str
    port: int
    client_id: str
    protocol: Literal["5", "3.1.1"] = "5"
    username: str | None = None
    password_file: Path | None = None
    tls: Tls | None = None
    keepalive_s: int = 30
    """How long nothing may be heard of the broker before it is asked."""
    answer_s: int = 8
    """How long it may take to answer that."""
    session_expiry_s: int = 7 * 86_400
    """How long the broker keeps the session of a gateway that is away (MQTT 5; in 3.1.1 the broker decides)."""
    receive_maximum: int = 32
    """How many messages the broker may send before it has their acknowledgement (MQTT 5)."""
    packet_limit: int = 4 << 20
    """Bytes above which the broker keeps a message to itself (MQTT 5)."""

    @property
    def place(self) -> str:
        """Host and port, as an error names them."""
        return f"{self.host}:{self.port}"

    def password(self) -> str | None:
        """The password as its file has it now, without the end of the line. Raises UnusableError."""
        if self.password_file is None:
            return None
        try:
            return read("password_file", self.password_file).decode().rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise UnusableError(f"mqtt.password_file: {self.password_file} is not UTF-8 text") from error


def unreachable(address: Address, error: OSError | UnicodeError, year: int) -> Failure:
    """What dialling ``address`` ran into. ``year`` is what the board's clock says."""
    return Failure(_dialling(address, error, year))


def _dialling(address: Address, error: OSError | UnicodeError, year: int) -> str:
    place = address.place
    match error:
        case socket.gaierror() | UnicodeError():
            return f"the name {address.host} cannot be resolved: check mqtt.host and the board's network"
        case ssl.SSLCertVerificationError():
            return _distrust(address, error, year)
        case ssl.SSLError(reason="WRONG_VERSION_NUMBER" | "UNKNOWN_PROTOCOL" | "HTTP_REQUEST"):
            return f"{place} does not speak TLS: check mqtt.port (8883 is usual) and mqtt.tls"
        case ssl.SSLError(reason=str(reason)) if said := _alert(address, reason):
            return said
        case ssl.SSLEOFError() | ConnectionResetError() if address.tls:
            return f"{place} hung up instead of answering in TLS: check mqtt.port (8883 is usual) and mqtt.tls"
        case ssl.SSLError():
            return f"TLS with {place} failed: {error.reason}; check mqtt.ca_file, mqtt.cert_file and mqtt.key_file"
        case ConnectionRefusedError():
            return f"{place} refuses connections: check mqtt.port, and that the broker runs"
        case TimeoutError():
            return f"{place} does not answer: check mqtt.host, the network and any firewall"
        case OSError(errno=errno.ENETUNREACH | errno.EHOSTUNREACH | errno.ENETDOWN):
            return f"there is no way to {place}: check the board's network"
        case _:
            return f"{place} cannot be reached: {error}"


# X509_V_ERR_… of OpenSSL's x509_vfy.h
_NOT_YET_VALID, _EXPIRED, _OTHER_PURPOSE = 9, 10, 26
_UNKNOWN_ISSUER: Final = frozenset({2, 7, 18, 19, 20, 21})  # 7: one that bears the name of ours, and is another
_OTHER_NAME: Final = frozenset({62, 64})


def _distrust(address: Address, error: ssl.SSLCertVerificationError, year: int) -> str:
    certificate = f"the certificate of {address.place}"
    code = error.verify_code
    if code in {_NOT_YET_VALID, _EXPIRED}:
        fault = "has expired" if code == _EXPIRED else "is not valid yet"
        clock = f"; but this board's clock says {year}: set it first" if year < _PLAUSIBLE_YEAR else ""
        return f"{certificate} {fault}{clock}"
    if code in _UNKNOWN_ISSUER:
        return f"{certificate} is signed by an authority that is not trusted here: check mqtt.ca_file"
    if code in _OTHER_NAME:
        return f"{certificate} is not for {address.host}: check mqtt.host"
    if code == _OTHER_PURPOSE:
        return f"{certificate} is not one of a server: check mqtt.host, and the certificate that the broker shows"
    return f"{certificate} is not accepted: {error.verify_message}"


def _alert(address: Address, text: str) -> str | None:
    """What an alert of TLS (RFC 8446, section 6.2) means, as OpenSSL names it in ``text``; None where it is another."""
    said, place = text.upper().replace(" ", "_"), address.place
    file = address.tls.cert_file if address.tls is not None else None
    ours = "our certificate" if file is None else f"our certificate, mqtt.cert_file: {file}"
    if "PROTOCOL_VERSION" in said or "UNSUPPORTED_PROTOCOL" in said:
        return f"{place} speaks no TLS from 1.2 on: the broker has to be updated, or configured to"
    if "CERTIFICATE_REQUIRED" in said:
        return f"{place} wants a certificate of this gateway: set mqtt.cert_file and mqtt.key_file"
    if "CERTIFICATE_REVOKED" in said:
        return f"{place} says that somebody has revoked {ours}; have a new one issued, with a new key"
    if "CERTIFICATE_EXPIRED" in said:
        return f"{place} says that time has run out for {ours}; have it renewed"
    if "UNKNOWN_CA" in said:
        return f"{place} does not know the authority that issued {ours}; have one issued that the broker knows"
    return None


def outdated(address: Address, end: int | None, floor: int) -> Failure:
    """A broker with a chain that ended at ``end``, or can't be read, while it is past ``floor`` (epoch ms)."""
    certificate = f"the certificate of {address.place}"
    if end is None:
        return Failure(f"{certificate} cannot be judged without a clock: set the board's clock")
    return Failure(f"{certificate} has expired: it ended on {day(end)}, and it is {day(floor)} or later")


def refused(address: Address, code: int, name: str) -> Failure:
    """A CONNECT answered with a refusal: reason codes of MQTT 5 (section 3.2.2.2), those of 3.1.1 put into them."""
    who = "an anonymous client" if address.username is None else f"the user {address.username!r}"
    match code:
        case 0x84:
            other = "3.1.1" if address.protocol == "5" else "5"
            return Failure(f'{address.place} does not speak MQTT {address.protocol}: set mqtt.protocol = "{other}"')
        case 0x85:
            return Failure(f"{address.place} does not accept the client id {address.client_id!r}: check gateway_id")
        case 0x86 | 0x87:
            cure = "check mqtt.username, mqtt.password_file and what the broker allows this gateway"
            return Failure(f"{address.place} refuses {who}: wrong user name or password, or not allowed; {cure}")
        case 0x88 | 0x89:
            return Failure(f"{address.place} is not available at the moment: {name}")
        case _:
            return Failure(f"{address.place} refuses the connection: {name}")


def dismissed(address: Address, code: int, name: str) -> Failure:
    """A DISCONNECT from the broker (MQTT 5, section 3.14.2.1)."""
    if code == _TAKEN_OVER:
        return Failure(
            f"another client connected to {address.place} with the client id {address.client_id!r}: "
            "is this gateway_id in use twice?",
            Ending.TAKEN_OVER,
        )
    return Failure(f"{address.place} ended the connection: {name}", Ending.DISMISSED)


def silent(address: Address, seconds: float) -> Failure:
    """A connection on which nothing came for longer than the keep-alive allows."""
    return Failure(f"{address.place} has been silent for {seconds:g} s: the connection is dead")


def garbled(address: Address) -> Failure:
    """An answer that is not the protocol we speak."""
    return Failure(f"{address.place} does not speak MQTT {address.protocol}: check mqtt.port and mqtt.protocol")


def broke(address: Address, detail: str) -> Failure:
    """A connection that ended with an error of its socket."""
    return Failure(f"the connection to {address.place} broke: {detail}")


def hung_up(address: Address, *, listening: bool) -> Failure:
    """A connection that the broker closed without a word, and whether it takes others meanwhile."""
    if listening:
        return Failure(f"{address.place} closed the connection", Ending.HUNG_UP)
    return Failure(f"{address.place} closed the connection and is gone", Ending.DISMISSED)


def suspected(address: Address) -> str:
    """What silent hang-ups, several in a row, say to a person."""
    return f"{address.place} keeps closing the connection: is the client id {address.client_id!r} in use twice?"


def unanswered(address: Address, *, silent: bool = False, detail: str | None = None) -> Failure:
    """A CONNECT that got no answer, but silence or the end of the connection; ``detail`` is the socket's error."""
    if address.tls is not None and detail is not None:
        # A broker looks at our certificate only after we have finished our half of the handshake.
        if said := _alert(address, detail):
            return Failure(said)
        cure = "check mqtt.cert_file and mqtt.key_file"
        return Failure(f"{address.place} closed the connection after TLS was set up: {detail}; {cure}")
    guesses = []
    if address.protocol == "5":
        guesses.append('it may speak only MQTT 3.1.1 (set mqtt.protocol = "3.1.1")')
    if address.tls is None:
        guesses.append("it may want TLS (check mqtt.tls and mqtt.port)")
    guess = f": {', or '.join(guesses)}" if guesses else ""
    deed = f"has not answered for {address.keepalive_s} s" if silent else "closed the connection without an answer"
    return Failure(f"{address.place} {deed}{guess}")


def shortcomings(address: Address, limits: Mapping[str, int]) -> list[str]:
    """What a broker's CONNACK properties (MQTT 5, section 3.2.2.3) take away from what this gateway needs."""
    found = []
    if limits.get("ReceiveMaximum", 0xFFFF) < _LEAST_WINDOW:
        found.append(f"takes only {limits['ReceiveMaximum']} messages at a time")
    if limits.get("MaximumPacketSize", _LEAST_PACKET) < _LEAST_PACKET:
        found.append(f"takes no message over {limits['MaximumPacketSize']} bytes, reports have up to {_LEAST_PACKET}")
    if limits.get("RetainAvailable", 1) == 0:
        found.append("retains nothing, so nobody sees the state of a gateway that is away")
    if limits.get("MaximumQoS", 1) == 0:
        found.append("delivers nothing for sure (QoS 0)")
    if limits.get("SessionExpiryInterval", address.session_expiry_s) < address.session_expiry_s:
        found.append(f"forgets a gateway that is away for {limits['SessionExpiryInterval']} s")
    return found
