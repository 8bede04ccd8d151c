"""The example of a signed message in PROTOCOL.md is one, so whoever builds the other side can try theirs on it."""

import json
import re
import warnings
from pathlib import Path

from joserfc import jws
from joserfc.errors import SecurityWarning
from joserfc.jwk import OKPKey

from protocol.commands import decode_command
from protocol.keys import public_key, sign, signing_key
from protocol.signatures import Verified, verified
from tests.configurations import PUBLIC_KEY

TEXT = (
    (Path(__file__).parents[2] / "docs" / "PROTOCOL.md").read_text(encoding="utf-8").partition("## Signed messages")[2]
)
PRIVATE_KEY = {**PUBLIC_KEY, "kid": "cloud-2026", "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}
"""Of RFC 8037, appendix A.1: everybody knows it, so nobody may trust it."""


def block(language: str) -> bytes:
    found = re.search(rf"```{language}\n(.+?)\n```", TEXT, re.DOTALL)
    assert found
    return found[1].encode()


MESSAGE = block("jws").replace(b"\n", b"")


def test_example_is_a_command_that_its_key_has_signed() -> None:
    key = public_key(block("jwk"))
    assert json.loads(block("jwk")) == {**PUBLIC_KEY, "kid": "cloud-2026"}
    assert verified(MESSAGE, {key.kid: key}) == Verified(block("json"), key.thumbprint)
    assert decode_command(MESSAGE, "gw-1", {key.kid: key}).command_id == "c-1"


def test_example_is_what_we_sign_to_the_byte() -> None:
    assert sign(block("json"), signing_key(json.dumps(PRIVATE_KEY).encode())) == MESSAGE


def test_example_is_signed_for_another_library_too() -> None:
    with warnings.catch_warnings(action="ignore", category=SecurityWarning):
        read = jws.deserialize_compact(MESSAGE, OKPKey.import_key(json.loads(block("jwk"))), algorithms=["EdDSA"])
    assert read.payload == block("json")
