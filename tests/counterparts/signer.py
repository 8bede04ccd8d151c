"""Whoever signs for the cloud, in the hands of another JOSE library than ours."""

import json
import warnings
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jws
from joserfc.errors import SecurityWarning
from joserfc.jwk import OKPKey

from protocol.keys import PublicKey, public_key


class Signer:
    """A key of its own, called ``kid``."""

    def __init__(self, kid: str = "cloud-2026") -> None:
        self.kid = kid
        self._key = OKPKey.generate_key("Ed25519")

    def jwk(self, **more: object) -> bytes:
        """The public half as a gateway is given it, with further members or others."""
        return json.dumps({**self._key.as_dict(private=False), "kid": self.kid, **more}).encode()

    @property
    def key(self) -> PublicKey:
        """The public half, as our own code has it."""
        return public_key(self.jwk())

    @property
    def thumbprint(self) -> str:
        """Of the key, as joserfc has it."""
        return self._key.thumbprint()

    @property
    def secret(self) -> bytes:
        """The private half as a JWK."""
        return json.dumps({**self._key.as_dict(private=True), "kid": self.kid}).encode()

    def file(self, home: Path) -> str:
        """Put the public half into this directory; the absolute path, as ``trust.keys`` takes it."""
        home.mkdir(parents=True, exist_ok=True)
        path = home / f"{self.kid}.jwk"
        path.write_bytes(self.jwk())
        return str(path)

    def signs(self, said: Mapping[str, object] | bytes, **header: object) -> bytes:
        """A compact JWS of this; with further members of the header (not by joserfc, which refuses some)."""
        payload = said if isinstance(said, bytes) else json.dumps(said).encode()
        members = {"alg": "EdDSA", "kid": self.kid}
        if header:
            return self.raw(members | header, payload)
        with warnings.catch_warnings(action="ignore", category=SecurityWarning):  # RFC 9864 has a new name for EdDSA
            return jws.serialize_compact(members, payload, self._key, algorithms=["EdDSA"]).encode()

    def raw(self, header: Mapping[str, object] | bytes, payload: bytes) -> bytes:
        """The same with any header whatever, and a signature that holds."""
        written = header if isinstance(header, bytes) else json.dumps(header).encode()
        signed = encoded(written) + b"." + encoded(payload)
        return signed + b"." + encoded(self.signature(signed))

    def signature(self, signed: bytes) -> bytes:
        """The signature of any bytes."""
        private = self._key.private_key
        assert isinstance(private, Ed25519PrivateKey)
        return private.sign(signed)

    def reads(self, message: bytes) -> bytes:
        """The payload of a message that this key has signed; raises joserfc's BadSignatureError and others."""
        with warnings.catch_warnings(action="ignore", category=SecurityWarning):
            return jws.deserialize_compact(message, self._key, algorithms=["EdDSA"]).payload


def encoded(octets: bytes) -> bytes:
    """Base64url without padding."""
    return urlsafe_b64encode(octets).rstrip(b"=")


def trusting(home: Path, *signers: Signer) -> dict[str, dict[str, object]]:
    """The table of a configuration that trusts these keys, their files in ``home``."""
    return {"trust": {"keys": [signer.file(home) for signer in signers]}}
