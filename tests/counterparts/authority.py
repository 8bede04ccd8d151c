"""A certificate authority for one test: the broker's certificate, the gateways', and ones that ran out or are wrong."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


@dataclass(frozen=True, slots=True)
class Certificate:
    """PEM files as a broker or a gateway is configured with them."""

    cert_file: Path
    key_file: Path


class Authority:
    """Issues into ``home``, under the names of the holders; ``ca_file`` is what the other side trusts."""

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self._home = home
        self._ca = trustme.CA()
        self.ca_file = home / "ca.pem"
        self._ca.cert_pem.write_to_path(self.ca_file)

    def server(self, *names: str, expired: bool = False, until: datetime | None = None) -> Certificate:
        """A certificate for these host names or addresses; for 60 days from now, or ``until`` then."""
        return self._issue(*names, common_name=names[0], expired=expired, until=until)

    def client(self, name: str, *, expired: bool = False, until: datetime | None = None) -> Certificate:
        """A certificate with ``name`` as its common name, which a broker may take for the user name."""
        return self._issue(f"{name}.invalid", common_name=name, expired=expired, until=until)

    def _issue(self, *identities: str, common_name: str, expired: bool, until: datetime | None) -> Certificate:
        now = datetime.now(UTC)
        end = until or now + (timedelta(days=-1) if expired else timedelta(days=60))
        issued = self._ca.issue_cert(
            *identities, common_name=common_name, not_before=min(now, end) - timedelta(days=30), not_after=end
        )
        stem = f"{common_name}-expired" if expired else common_name
        certificate = Certificate(self._home / f"{stem}.pem", self._home / f"{stem}.key")
        issued.cert_chain_pems[0].write_to_path(certificate.cert_file)
        issued.private_key_pem.write_to_path(certificate.key_file)
        certificate.key_file.chmod(0o600)
        return certificate


def handmade(
    home: Path,
    address: str,
    ends: Sequence[datetime],
    *,
    purpose: x509.ObjectIdentifier = ExtendedKeyUsageOID.SERVER_AUTH,
) -> tuple[Path, Certificate]:
    """A chain for an IP address, link by link from its authority, each with its own end; a single one signs itself.

    Returns what the other side trusts, and the server's certificate with the chain up to there.
    """
    home.mkdir(parents=True, exist_ok=True)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in ends]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"link {number}")]) for number in range(len(ends))]
    chain = []
    for number, (key, end) in enumerate(zip(keys, ends, strict=True)):
        signer, leaf = max(number - 1, 0), number == len(ends) - 1
        builder = (
            x509.CertificateBuilder()
            .subject_name(names[number])
            .issuer_name(names[signer])
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(end - timedelta(days=3650))
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=not leaf, path_length=None), critical=True)
        )
        if leaf:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]), critical=False
            ).add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        chain.append(builder.sign(keys[signer], hashes.SHA256()).public_bytes(Encoding.PEM))
    ca_file, certificate = home / "handmade-ca.pem", Certificate(home / "handmade.pem", home / "handmade.key")
    ca_file.write_bytes(chain[0])
    certificate.cert_file.write_bytes(b"".join(reversed(chain[1:])) or chain[0])
    certificate.key_file.write_bytes(keys[-1].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return ca_file, certificate
