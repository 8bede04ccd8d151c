"""Keys that a gateway is told to trust: what is one, and what is not, in words for whoever put the file there."""

import json
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agent.config import Config, load
from agent.config_findings import ConfigError
from protocol.keys import KeyFault, public_key
from tests.configurations import CONTRACT, PUBLIC_KEY, THUMBPRINT, edited, furnish
from tests.counterparts.signer import Signer, encoded

PRIVATE_KEY = {**PUBLIC_KEY, "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}
ORDER = 2**252 + 27742317777372353535851937790883648493
P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P


def jwk(**members: object) -> bytes:
    return json.dumps(members).encode()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "no JSON"),
        (b"-----BEGIN PUBLIC KEY-----", "no JSON"),
        (b"[]", "no Ed25519 key"),
        (jwk(kty="RSA", n="AQAB", e="AQAB"), "no Ed25519 key"),
        (jwk(kty="EC", crv="P-256", x="AA", y="AA"), "no Ed25519 key"),
        (jwk(kty="oct", k="c2VjcmV0"), "no Ed25519 key"),
        (jwk(kty="OKP", crv="X25519", x=PUBLIC_KEY["x"]), "no Ed25519 key"),
        (jwk(**PUBLIC_KEY | {"kty": "EC"}), "no Ed25519 key"),
        (jwk(keys=[PUBLIC_KEY]), "no Ed25519 key"),
        (jwk(**PRIVATE_KEY), "holds the private key"),
        (jwk(kty="OKP", crv="Ed25519"), "'x' is not 32 bytes"),
        (jwk(**PUBLIC_KEY | {"x": "AAAA"}), "'x' is not 32 bytes"),
        (jwk(**PUBLIC_KEY | {"x": PUBLIC_KEY["x"] + "="}), "'x' is not 32 bytes"),
        (jwk(**PUBLIC_KEY | {"x": 7}), "'x' is not 32 bytes"),
        (jwk(**PUBLIC_KEY, kid=""), "'kid' is not 1 to 200 characters"),
        (jwk(**PUBLIC_KEY, kid="x" * 201), "'kid' is not 1 to 200 characters"),
        (jwk(**PUBLIC_KEY, kid="a\nb"), "'kid' is not 1 to 200 characters on one line"),
        (jwk(**PUBLIC_KEY, kid="\x1b[2J"), "'kid' is not 1 to 200 characters on one line"),
        (jwk(**PUBLIC_KEY, kid=2026), "'kid' is not 1 to 200 characters"),
    ],
)
def test_what_is_no_key_to_trust_is_told(text: bytes, words: str) -> None:
    with pytest.raises(KeyFault, match=words):
        public_key(text)


Point = tuple[int, int]


def added(one: Point, other: Point) -> Point:
    """The sum of two points of the curve (RFC 8032, section 5.1.4, in plain coordinates)."""
    (x, y), (u, v) = one, other
    product = D * x * u * y * v
    return (x * v + u * y) * pow(1 + product, -1, P) % P, (y * v + x * u) * pow(1 - product, -1, P) % P


def times(number: int, point: Point) -> Point:
    total = (0, 1)
    for bit in f"{number:b}":
        total = added(total, total)
        if bit == "1":
            total = added(total, point)
    return total


def with_y(y: int) -> Point | None:
    """A point of the curve with this y, if there is one."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    root = pow(square, (P + 3) // 8, P)
    for x in (root, root * pow(2, (P - 1) // 4, P) % P):
        if x * x % P == square:
            return x, y
    return None


def of_small_order() -> set[Point]:
    """The 8 points whose order divides 8: a point times the order of the others is one of them."""
    for y in range(2, 100):
        if (point := with_y(y)) is not None:
            small = times(ORDER, point)
            if len(group := {times(number, small) for number in range(8)}) == 8:
                return group
    raise AssertionError("no point of order 8")


def test_key_under_which_anybody_can_sign_is_refused() -> None:
    """In every spelling; OpenSSL takes all of them, and the signature of nobody holds."""
    nobody = (1).to_bytes(32, "little") + bytes(32)
    spelled = {y + again for _, y in of_small_order() for again in (0, P) if y + again < 2**255}
    assert len(spelled) == 7
    for y in spelled:
        for sign_bit in (0, 1):
            point = (y | sign_bit << 255).to_bytes(32, "little")
            assert any(holds(point, nobody, b"message %d" % number) for number in range(100))
            with pytest.raises(KeyFault, match="anybody can sign"):
                public_key(jwk(kty="OKP", crv="Ed25519", x=encoded(point).decode()))


def holds(point: bytes, signature: bytes, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(point).verify(signature, message)
    except InvalidSignature:
        return False
    return True


# As files of a configuration


def outcome(home: Path, *names: str) -> Config | list[str]:
    """The configuration that trusts these files, or its mistakes."""
    file = furnish(home) / "agent.toml"
    file.write_text(edited(CONTRACT, '["cloud-2026.jwk"]', json.dumps(names)))
    try:
        return load(file)
    except ConfigError as error:
        return [str(mistake) for mistake in error.mistakes]


def trusted(home: Path, *names: str) -> list[str]:
    config = outcome(home, *names)
    assert isinstance(config, Config), config
    return [key.kid for key in config.trust.keys]


def test_keys_are_found_like_every_other_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By an absolute path, as a credential of the unit, or beside the configuration."""
    home, credentials = furnish(tmp_path / "home"), tmp_path / "credentials"
    Signer("absolute").file(tmp_path)
    Signer("credential").file(credentials)
    (home / "credential.jwk").write_text("the original, which the service cannot read")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    kids = trusted(home, "cloud-2026.jwk", f"{tmp_path}/absolute.jwk", "credential.jwk")
    assert kids == ["cloud-2026", "absolute", "credential"]


def test_key_without_a_name_is_called_by_its_thumbprint(tmp_path: Path) -> None:
    (furnish(tmp_path) / "nameless.jwk").write_bytes(jwk(**PUBLIC_KEY))
    assert trusted(tmp_path, "nameless.jwk") == [THUMBPRINT]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "{file} cannot be trusted: it is no JSON; a key is a JWK such as `fluss-simulator keys new` makes"),
        (
            jwk(kty="EC", crv="P-256"),
            '{file} cannot be trusted: it is no Ed25519 key: a JWK with "kty": "OKP" and "crv": "Ed25519"',
        ),
        (
            jwk(**PRIVATE_KEY),
            "{file} cannot be trusted: it holds the private key; give a gateway the public half alone",
        ),
        (b" " * (16 << 10) + jwk(**PUBLIC_KEY), "{file} is too large for a key"),
        (b"", "{file} is empty"),
        (None, "{file} cannot be read: No such file or directory"),
    ],
)
def test_mistake_with_a_key_names_its_place_and_its_file(tmp_path: Path, content: bytes | None, words: str) -> None:
    file = furnish(tmp_path) / "wrong.jwk"
    if content is not None:
        file.write_bytes(content)
    mistakes = outcome(tmp_path, "cloud-2026.jwk", "wrong.jwk")
    assert mistakes == [f"trust.keys[1]: {words.format(file=file)}"]
    assert PRIVATE_KEY["d"] not in str(mistakes)


def test_every_mistake_with_a_key_is_told_at_once(tmp_path: Path) -> None:
    (furnish(tmp_path) / "wrong.jwk").write_text("wrong")
    mistakes = outcome(tmp_path, "wrong.jwk", "cloud-2026.jwk", "none.jwk")
    assert isinstance(mistakes, list)
    assert [mistake.partition(":")[0] for mistake in mistakes] == ["trust.keys[0]", "trust.keys[2]"]


def test_same_key_under_another_name_is_told(tmp_path: Path) -> None:
    (furnish(tmp_path) / "again.jwk").write_bytes(jwk(**PUBLIC_KEY, kid="another"))
    mistakes = outcome(tmp_path, "cloud-2026.jwk", "again.jwk")
    assert mistakes == ["trust.keys: 'again.jwk' holds the same key as 'cloud-2026.jwk'"]


def test_two_keys_of_one_name_are_told(tmp_path: Path) -> None:
    """One of them would be as good as not there, and nobody could say which."""
    furnish(tmp_path)
    (tmp_path / "other.jwk").write_bytes(Signer("cloud-2026").jwk())
    mistakes = outcome(tmp_path, "cloud-2026.jwk", "other.jwk")
    assert mistakes == ["trust.keys: 'other.jwk' calls its key 'cloud-2026', and so does 'cloud-2026.jwk'"]
