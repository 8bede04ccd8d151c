"""Keys on disk: who may read them, that none is ever lost to another, and what is said of files that are none."""

import json
import os
from pathlib import Path

import pytest

from protocol.keys import PublicKey, SigningKey, public_half
from simulator.keyring import UnusableKey, make_pair, read_either, read_public_key, read_signing_key
from tests.oracle.notary import thumbprint


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_pair_is_two_files_of_one_key(tmp_path: Path) -> None:
    pair = make_pair(tmp_path / "new" / "folder", "cloud-2026")
    assert sorted(tmp_path.rglob("*.jwk")) == [pair.public, pair.private]
    assert (pair.public.name, pair.private.name) == ("cloud-2026.jwk", "cloud-2026.private.jwk")
    assert "d" not in json.loads(pair.public.read_bytes())
    signs, checks = read_signing_key(pair.private), read_public_key(pair.public)
    assert (signs.kid, checks.kid) == ("cloud-2026", "cloud-2026")
    half = public_half(signs)
    assert half.thumbprint == checks.thumbprint == thumbprint(pair.public.read_bytes())
    assert make_pair(tmp_path, "cloud-2026").private.read_bytes() != pair.private.read_bytes()


def test_private_file_is_for_its_owner_alone_from_its_first_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the umask; looked at before a byte is in it, and after."""
    seen: dict[str, int] = {}
    really = os.fdopen

    def fdopen(file: int, how: str) -> object:
        path = Path(f"/proc/self/fd/{file}").readlink()
        seen[path.name] = mode(path)
        return really(file, how)

    monkeypatch.setattr(os, "fdopen", fdopen)
    before = os.umask(0)
    try:
        pair = make_pair(tmp_path, "k")
    finally:
        os.umask(before)
    assert seen == {"k.private.jwk": 0o600, "k.jwk": 0o644}
    assert (mode(pair.private), mode(pair.public)) == (0o600, 0o644)


@pytest.mark.parametrize("there", ["k.jwk", "k.private.jwk"])
@pytest.mark.parametrize("dangling", [False, True])
def test_no_key_is_overwritten(tmp_path: Path, there: str, dangling: bool) -> None:
    old = tmp_path / there
    if dangling:
        old.symlink_to(tmp_path / "elsewhere")
    else:
        old.write_text("an older key")
    with pytest.raises(UnusableKey, match="is there already, and no key is ever overwritten"):
        make_pair(tmp_path, "k")
    assert [path.name for path in tmp_path.iterdir()] == [there]
    assert dangling or old.read_text() == "an older key"


@pytest.mark.parametrize("written", [0, 1])
def test_key_that_cannot_be_written_leaves_no_half_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    """The disk is full at its first file, or at its second: what was begun would stand in the way of the next try."""
    room = iter(range(written))

    def fsync(_: int) -> None:
        if next(room, None) is None:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="No space left"):
        make_pair(tmp_path, "k")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kid", ["", "../k", "a/b", ".hidden", "x" * 65, "k.private", "Zoë", "k\n"])
def test_name_that_names_no_file_is_refused(tmp_path: Path, kid: str) -> None:
    with pytest.raises(UnusableKey, match="cannot name a key and its files"):
        make_pair(tmp_path / "out", kid)
    assert list(tmp_path.iterdir()) == []


def test_either_half_is_told_from_the_other(tmp_path: Path) -> None:
    pair = make_pair(tmp_path, "k")
    assert isinstance(read_either(pair.private), SigningKey)
    assert isinstance(read_either(pair.public), PublicKey)


def test_file_that_is_no_key_is_named_with_the_cure(tmp_path: Path) -> None:
    pair = make_pair(tmp_path, "k")
    broken = tmp_path / "broken.jwk"
    broken.write_text("-----BEGIN PRIVATE KEY-----")
    with pytest.raises(
        UnusableKey, match=r"k\.jwk cannot sign: it holds no private key .*beside it is .*k\.private\.jwk"
    ):
        read_signing_key(pair.public)
    with pytest.raises(UnusableKey, match=r"k\.private\.jwk is no public key: it holds the private key"):
        read_public_key(pair.private)
    for read in (read_signing_key, read_public_key, read_either):
        with pytest.raises(UnusableKey, match=r"broken\.jwk .*it is no JSON"):
            read(broken)
        with pytest.raises(UnusableKey, match=r"there is no file .*gone\.jwk: `fluss-simulator keys new` makes a key"):
            read(tmp_path / "gone.jwk")


def test_errors_show_nothing_of_the_key(tmp_path: Path) -> None:
    pair = make_pair(tmp_path, "k")
    jwk = json.loads(pair.private.read_bytes())
    other = json.loads(make_pair(tmp_path, "other").private.read_bytes())
    pair.private.write_text(json.dumps(jwk | {"x": other["x"]}))
    with pytest.raises(UnusableKey, match="do not belong together") as refused:
        read_signing_key(pair.private)
    assert jwk["d"] not in str(refused.value)
    assert jwk["d"] not in repr(pair)
