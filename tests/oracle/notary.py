"""Who signed a message, as another implementation of RFC 7515 sees it."""

import json
import warnings
from typing import Any

from joserfc import jws
from joserfc.errors import BadSignatureError, DecodeError, SecurityWarning
from joserfc.jwk import OKPKey


def attested(message: bytes, jwk: bytes) -> tuple[dict[str, Any], bytes] | None:
    """Header and payload of a compact JWS that the key in this JWK signed; None for anything else."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)  # RFC 9864 gives EdDSA with this curve a name of its own
        try:
            signed = jws.deserialize_compact(message, OKPKey.import_key(json.loads(jwk)), algorithms=["EdDSA"])
        except (BadSignatureError, DecodeError):
            return None
    return dict(signed.headers()), signed.payload


def thumbprint(jwk: bytes) -> str:
    """Which key it is, whatever it is called (RFC 7638)."""
    return OKPKey.import_key(json.loads(jwk)).thumbprint()
