"""What TLS with the broker rests on: the gateway's files, the chain a broker shows, and until when they are valid.

OpenSSL judges a chain by the board's clock. While nobody knows whether that is right, it judges all but the time; the
time is judged here, against a moment that is certainly past (docs/decisions/0009-transport.md).
"""

import ssl
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cryptography import x509

DAY_MS: Final = 86_400_000
NEAR_MS: Final = 30 * DAY_MS
"""So long before its end a certificate is worth a warning."""

_UNTIMED: Final = ssl.VerifyFlags(0x200000)  # X509_V_FLAG_NO_CHECK_TIME of OpenSSL's x509_vfy.h


class UnusableError(Exception):
    """A file of the configuration cannot be used; the message names the key, the file and the reason."""


class _TidySocket(ssl.SSLSocket):
    """Closes itself when its handshake fails; paho leaves that to the garbage collector."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


@dataclass(frozen=True, slots=True)
class Ends:
    """Until when (epoch ms) what TLS rests on is valid; None where there is no such thing, or nobody knows."""

    client: int | None = None
    """The gateway's own certificate, or the first of its chain to end."""
    authority: int | None = None
    """The last of the authorities in `ca_file`: after it no broker can be trusted any more."""
    broker: int | None = None
    """The first to end of the chain that the broker showed last."""


@dataclass(frozen=True, slots=True)
class Tls:
    """TLS towards a broker. Without ``ca_file`` the system's authorities count."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    """May be None where ``cert_file`` holds the key too."""

    def context(self, *, timed: bool = True) -> ssl.SSLContext:
        """A client context from the files as they are now. Raises UnusableError.

        Where not ``timed``, it leaves open whether a chain is valid at this time.
        """
        for key, file in (("ca_file", self.ca_file), ("cert_file", self.cert_file), ("key_file", self.key_file)):
            if file is not None:
                read(key, file)  # ssl's own errors do not say which file
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except ssl.SSLError as error:
            raise UnusableError(f"mqtt.ca_file: {self.ca_file} holds no PEM certificates") from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2  # whatever the board's openssl.cnf allows
        if not timed:
            context.verify_flags |= _UNTIMED
        if self.cert_file is not None:
            self._introduce(context, self.cert_file)
        context.sslsocket_class = _TidySocket
        return context

    def _introduce(self, context: ssl.SSLContext, cert_file: Path) -> None:
        try:
            # An encrypted key would otherwise ask for its password at a terminal that nobody sits at.
            context.load_cert_chain(cert_file, self.key_file, password="")
        except ssl.SSLError as error:
            files = cert_file if self.key_file is None else f"{cert_file} and {self.key_file}"
            words = f"mqtt.cert_file, mqtt.key_file: {files} are not a PEM certificate and its unencrypted key"
            if error.reason == "KEY_VALUES_MISMATCH":
                words = (
                    f"mqtt.cert_file, mqtt.key_file: {files} do not belong together; if both are new, restart "
                    "fluss-agent: systemd hands it the key as it was at the start"
                )
            raise UnusableError(words) from error

    def ends(self, broker: int | None = None) -> Ends:
        """Until when the files as they are now are valid, beside what is known of the broker. Raises UnusableError."""
        return Ends(
            client=min(_ends("cert_file", self.cert_file), default=None) if self.cert_file else None,
            authority=max(_ends("ca_file", self.ca_file), default=None) if self.ca_file else None,
            broker=broker,
        )


def read(key: str, file: Path) -> bytes:
    """A file that ``mqtt.key`` names. Raises UnusableError."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise UnusableError(f"mqtt.{key}: {file}: {error.strerror}") from error


def chain_end(sock: ssl.SSLSocket) -> int | None:
    """When (epoch ms) the first certificate of the chain that ``sock`` has verified ends, the authority's included.

    None where one of them cannot be read: OpenSSL takes more than the standard allows.
    """
    try:
        return min(map(_end, _chain(sock)), default=None)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Concern:
    """Something that ends within thirty days or has ended, and words for a person."""

    what: str
    words: str
    left_ms: int


def concerns(ends: Ends, tls: Tls, place: str, now: int) -> Iterator[Concern]:
    """What somebody has to renew, seen from ``now`` (epoch ms)."""
    for what, end, cure in (
        (f"mqtt.cert_file: {tls.cert_file}", ends.client, "have it renewed"),
        (f"mqtt.ca_file: {tls.ca_file}", ends.authority, "add the authority that the broker will have by then"),
        (f"the certificate of {place}", ends.broker, "whoever runs the broker has to renew it"),
    ):
        if end is not None and end - now < NEAR_MS:
            left_ms = end - now
            deed = f"ends in {left_ms // DAY_MS} days, on" if left_ms > 0 else "ended on"
            yield Concern(what, f"{what} {deed} {day(end)}: {cure}", left_ms)


def day(end: int) -> str:
    """The day of a moment (epoch ms), in UTC."""
    return datetime.fromtimestamp(end / 1000, UTC).date().isoformat()


def _ends(key: str, file: Path) -> Iterable[int]:
    from cryptography import x509  # noqa: PLC0415 -- 12 MiB, where there are no certificates

    try:
        return [_end(each) for each in x509.load_pem_x509_certificates(read(key, file))]
    except ValueError as error:
        raise UnusableError(f"mqtt.{key}: {file} holds no PEM certificates") from error


def _end(certificate: "x509.Certificate") -> int:
    return int(certificate.not_valid_after_utc.timestamp()) * 1000


def _chain(sock: ssl.SSLSocket) -> "list[x509.Certificate]":
    from cryptography import x509  # noqa: PLC0415 -- the same

    if sys.version_info >= (3, 13):
        return [x509.load_der_x509_certificate(each) for each in sock.get_verified_chain()]
    # CPython has had it since 3.10, one level below the public interface.
    shown = sock._sslobj.get_verified_chain()  # type: ignore[attr-defined] # noqa: SLF001
    return [x509.load_pem_x509_certificate(each.public_bytes().encode()) for each in shown]
