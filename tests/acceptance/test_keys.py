"""The keys of a cloud as an operator has them: made, shown, signed with, checked, and used by every command."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from simulator import exits
from simulator.keyring import Pair, make_pair
from tests.counterparts.agent import Agent
from tests.counterparts.cloud import GATE, GATEWAY, PANEL, mobile
from tests.counterparts.mosquitto import Mosquitto
from tests.counterparts.notary import believing
from tests.oracle.notary import attested, thumbprint

ROOT = Path(__file__).parents[2]
COMMAND = b'{"commandId": "c-1",  "gatewayId": "gw-1", "command": "codes", "deviceId": "482913"}\n'

Done = subprocess.CompletedProcess[bytes]


def simulator(*words: str | Path, stdin: bytes = b"", cwd: Path = ROOT, **environ: str) -> Done:
    """One `fluss-simulator` command, as in a script."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FLUSS_")}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "simulator", *map(str, words)],
        input=stdin,
        capture_output=True,
        check=False,
        timeout=40,
        cwd=cwd,
        env={**kept, "PYTHONPATH": str(ROOT), **environ},
    )
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return done


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return make_pair(tmp_path / "keys", "cloud-2026")


def test_new_key_is_two_files_and_says_what_goes_where(tmp_path: Path) -> None:
    made = simulator("keys", "new", "--kid", "cloud-2026", cwd=tmp_path)
    assert made.returncode == exits.OK
    private, public = tmp_path / "cloud-2026.private.jwk", tmp_path / "cloud-2026.jwk"
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {
        private.name: 0o600,
        public.name: 0o644,
    }
    said = made.stdout.decode()
    assert "cloud-2026.private.jwk  signs. It stays with the cloud" in said
    assert "cloud-2026.jwk  is for the gateways. Put it beside each agent.toml" in said
    assert '    [trust]\n    keys = ["cloud-2026.jwk"]\n' in said
    assert "--sign-with cloud-2026.private.jwk" in said
    again = simulator("keys", "new", "--kid", "cloud-2026", cwd=tmp_path)
    assert (again.returncode, again.stdout) == (exits.USAGE, b"")
    assert b"cloud-2026.private.jwk is there already, and no key is ever overwritten" in again.stderr


def test_key_is_made_and_shown_to_a_program(tmp_path: Path) -> None:
    made = simulator("keys", "new", "--out", tmp_path / "sites" / "7", "--format", "json")
    said = json.loads(made.stdout)
    assert said["kid"].startswith("cloud-20"), "named after the year"
    public = Path(said["public"]).read_bytes()
    assert said["thumbprint"] == thumbprint(public)
    for half in ("private", "public"):
        shown = json.loads(simulator("keys", "show", said[half], "--format", "json").stdout)
        assert shown == {
            "kid": said["kid"],
            "thumbprint": said["thumbprint"],
            "kind": half,
            "publicJwk": json.loads(public),
        }
    words = simulator("keys", "show", said["private"]).stdout.decode()
    assert f"kid\t{said['kid']}\nthumbprint\t{said['thumbprint']}\nkind\tprivate: " in words


def test_what_is_signed_is_what_was_given_to_the_byte(pair: Pair, tmp_path: Path) -> None:
    """Nothing is added, so that it can go into a pipe to `mosquitto_pub -s`."""
    file = tmp_path / "command.json"
    file.write_bytes(COMMAND)
    from_file = simulator("keys", "sign", file, "--sign-with", pair.private)
    piped = simulator("keys", "sign", "-", stdin=COMMAND, FLUSS_SIGN_WITH=str(pair.private))
    assert from_file.stdout == piped.stdout
    assert attested(piped.stdout, pair.public.read_bytes()) == ({"alg": "EdDSA", "kid": "cloud-2026"}, COMMAND)


def test_signed_message_is_checked_as_a_gateway_does(pair: Pair, tmp_path: Path) -> None:
    signed = simulator("keys", "sign", "-", "--sign-with", pair.private, stdin=COMMAND).stdout
    other = make_pair(tmp_path, "cloud-2027")
    same_name = make_pair(tmp_path, "cloud-2026")
    key = ("--key", pair.public)

    good = simulator("keys", "verify", "-", *key, "--key", other.public, stdin=signed)
    assert (good.returncode, good.stdout) == (exits.OK, COMMAND)
    assert b"Signed with cloud-2026 (" in good.stderr
    said = json.loads(simulator("keys", "verify", "-", *key, "--format", "json", stdin=signed).stdout)
    assert said == {
        "verified": True,
        "kid": "cloud-2026",
        "thumbprint": thumbprint(pair.public.read_bytes()),
        "code": None,
        "message": None,
    }

    def refused(*words: str | Path, message: bytes = signed) -> str:
        done = simulator("keys", "verify", "-", *words, stdin=message)
        assert (done.returncode, done.stdout) == (exits.REFUSED, b"")
        return done.stderr.decode()

    assert refused("--key", other.public).startswith("unknown_key: signed with key 'cloud-2026'")
    assert refused("--key", same_name.public).startswith("bad_signature: the signature is not that of key")
    assert refused(*key, message=COMMAND).startswith("unsigned: ")
    assert "a line's end or a blank behind it is no part of one" in refused(*key, message=signed + b"\n")
    bad = simulator("keys", "verify", "-", *key, "--format", "json", stdin=COMMAND)
    assert (bad.returncode, json.loads(bad.stdout)["code"]) == (exits.REFUSED, "unsigned")
    twice = simulator("keys", "verify", "-", *key, "--key", same_name.public, stdin=signed)
    assert (twice.returncode, b"another key is called 'cloud-2026' too" in twice.stderr) == (exits.USAGE, True)


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        (b"not JSON", "standard input is not JSON"),
        (b'["a", "list"]', "standard input names no gateway ('gatewayId')"),
        (b'{"batchId": "b-1"}', "signed, it could be sent to any, so none would take it"),
    ],
)
def test_what_no_gateway_could_take_is_not_signed(pair: Pair, document: bytes, complaint: str) -> None:
    done = simulator("keys", "sign", "-", "--sign-with", pair.private, stdin=document)
    assert (done.returncode, done.stdout) == (exits.USAGE, b"")
    assert complaint in done.stderr.decode()


def test_signing_takes_a_key() -> None:
    done = simulator("keys", "sign", "-", stdin=COMMAND)
    assert (done.returncode, b"say with which key: --sign-with FILE" in done.stderr) == (exits.USAGE, True)


NOWHERE = ("cloud", "codes", PANEL, "--timeout", "1", "--broker", "mqtt://127.0.0.1:1")


def test_wrong_key_is_told_before_anything_is_sent(pair: Pair, tmp_path: Path) -> None:
    """There is no broker: whoever had tried would have said that."""

    def complaint(*words: str | Path) -> str:
        done = simulator(*NOWHERE, *words)
        assert (done.returncode, done.stdout) == (exits.USAGE, b""), done.stderr
        return done.stderr.decode()

    stranger = make_pair(tmp_path, "stranger")
    gateway = ("--gateway", GATEWAY)
    assert "cloud-2026.jwk cannot sign: it holds no private key" in complaint(*gateway, "--sign-with", pair.public)
    assert "`fluss-simulator keys new` makes a key" in complaint(*gateway, "--sign-with", tmp_path / "gone.jwk")
    trusting = Agent(tmp_path / "gw", 1, settings={"trust": {"keys": [str(pair.public)]}})
    assert "takes only what is signed: add --sign-with" in complaint("--config", trusting.file)
    words = complaint("--config", trusting.file, "--sign-with", stranger.private)
    assert "does not trust the key 'stranger'" in words
    right = simulator(*NOWHERE, "--config", trusting.file, "--sign-with", pair.private)
    assert right.returncode == exits.UNREACHABLE, "nothing is wrong with this one but the broker"
    listening = simulator("cloud", "watch", "--config", trusting.file)
    assert listening.returncode == exits.UNREACHABLE, "whoever just listens needs no key"
    elsewhere = Agent(tmp_path / "gw", 1, settings={"trust": {"keys": ["a-credential.jwk"]}})
    unsure = simulator(*NOWHERE, "--config", elsewhere.file, "--sign-with", stranger.private)
    assert unsure.returncode == exits.UNREACHABLE, "only the gateway can tell"


async def test_whatever_is_sent_is_signed(pair: Pair, mosquitto: Mosquitto) -> None:
    async with believing(mosquitto, pair.public.read_bytes()) as gateway:

        async def cloud(*words: str) -> Done:
            place = ("--broker", f"mqtt://127.0.0.1:{mosquitto.port}", "--gateway", GATEWAY)
            return await asyncio.to_thread(simulator, "cloud", *words, *place, FLUSS_SIGN_WITH=str(pair.private))

        asked = (
            ("report", "--batch", "b-1"),
            ("confirm", "b-1"),
            ("acknowledge", "--epoch", "e", "--through", "1"),
            ("trigger", GATE, mobile(1)),
            ("open", GATE, mobile(1)),
            ("close", GATE, mobile(1)),
            ("issue-code", PANEL, "Bheki", mobile(2)),
            ("revoke-code", PANEL, "4821"),
            ("codes", PANEL),
        )
        for done in await asyncio.gather(*[cloud(*words) for words in asked]):
            assert done.returncode == exits.OK, done.stderr
        assert {said["command"] for said in gateway.commands} == {words[0].replace("-", "_") for words in asked}
        sent = ("--device", GATE, "--yes", "--timeout", "1")
        await cloud("invite", "--paste", f"David, {mobile(1)}", "--permission", "Always", *sent)
        await cloud("revoke", mobile(1), *sent)
        assert [part["invitees"][0]["userName"] for part in gateway.parts if "invitees" in part] == ["David"]
        assert [part["revocations"] for part in gateway.parts if "revocations" in part] == [[{"mobile": mobile(1)}]]
        assert gateway.doubtful == []


async def test_gateway_that_believes_nothing_unsigned_says_how_to_sign(pair: Pair, mosquitto: Mosquitto) -> None:
    """Its refusal names no command: it does not read whose it was."""
    async with believing(mosquitto, pair.public.read_bytes()) as gateway:
        place = ("--broker", f"mqtt://127.0.0.1:{mosquitto.port}", "--gateway", GATEWAY)
        done = await asyncio.to_thread(simulator, "cloud", "codes", PANEL, *place)
        assert done.returncode == exits.REFUSED
        assert b"The gateway refused: not signed; sign with a key this gateway trusts: --sign-with FILE" in done.stderr
        assert len(gateway.doubtful) == 1
