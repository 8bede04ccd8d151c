"""A certificate authority for one test: the broker's certificate, the gateways', and ones that ran out."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme


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

    def server(self, *names: str, expired: bool = False) -> Certificate:
        """A certificate for these host names or addresses."""
        return self._issue(*names, common_name=names[0], expired=expired)

    def client(self, name: str, *, expired: bool = False) -> Certificate:
        """A certificate with ``name`` as its common name, which a broker may take for the user name."""
        return self._issue(f"{name}.invalid", common_name=name, expired=expired)

    def _issue(self, *identities: str, common_name: str, expired: bool) -> Certificate:
        yesterday = datetime.now(UTC) - timedelta(days=1)
        issued = self._ca.issue_cert(
            *identities,
            common_name=common_name,
            not_before=yesterday - timedelta(days=30),
            not_after=yesterday if expired else yesterday + timedelta(days=30),
        )
        stem = f"{common_name}-expired" if expired else common_name
        certificate = Certificate(self._home / f"{stem}.pem", self._home / f"{stem}.key")
        issued.cert_chain_pems[0].write_to_path(certificate.cert_file)
        issued.private_key_pem.write_to_path(certificate.key_file)
        certificate.key_file.chmod(0o600)
        return certificate
