"""`fluss-simulator keys …`: make the keys of a cloud, sign with them, and check what was signed."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click
import orjson
from rich.text import Text

from protocol.keys import PublicKey, SigningKey, public_half, public_jwk, sign
from protocol.signatures import Distrusted, verified
from simulator import exits
from simulator.commands import format_option, sign_with_option
from simulator.exits import Failure
from simulator.keyring import make_pair, read_either, read_public_key, read_signing_key
from simulator.terminal import Column, make_console, print_lines, print_table

_STDIN: Final = Path("-")
_message = click.argument("file", type=click.Path(path_type=Path), metavar="FILE|-")


class NothingToSign(Failure):
    """What no gateway could take, signed or not."""

    exit_code = exits.USAGE


@click.group()
def command() -> None:
    """Make and use the keys of a cloud. Whoever has the private one is the cloud, to gateways with the public one."""


@command.command()
@click.option("--kid", metavar="NAME", help="What the key is called. [default: cloud- and the year]")
@click.option("--out", type=click.Path(path_type=Path), default=".", metavar="DIR", help="Where. [default: here]")
@format_option
def new(*, kid: str | None, out: Path, form: str) -> int:
    """Make a key. A private file for the cloud, and a public one for the gateways."""
    pair = make_pair(out, kid or f"cloud-{datetime.now(UTC).year}")
    half = public_half(pair.key)
    if form == "json":
        _echo(kid=half.kid, thumbprint=half.thumbprint, private=str(pair.private), public=str(pair.public))
        return exits.OK
    print_lines(
        make_console(),
        f"{pair.private}  signs. It stays with the cloud: whoever has it can let anybody in. Only you can read it.",
        f"{pair.public}  is for the gateways. Put it beside each agent.toml, and there:",
        "",
        "    [trust]",
        f'    keys = ["{pair.public.name}"]',
        "",
        "From its next start a gateway takes nothing that is not signed. Before it has the key it takes both, so begin"
        " to sign first:",
        "",
        f"    fluss-simulator cloud invite … --sign-with {pair.private}",
    )
    return exits.OK


@command.command()
@click.argument("file", type=click.Path(path_type=Path))
@format_option
def show(*, file: Path, form: str) -> int:
    """What a key is called, and which one it is."""
    key = read_either(file)
    half = public_half(key) if isinstance(key, SigningKey) else key
    kind = "private" if isinstance(key, SigningKey) else "public"
    if form == "json":
        _echo(kid=half.kid, thumbprint=half.thumbprint, kind=kind, publicJwk=orjson.loads(public_jwk(half)))
        return exits.OK
    use = "private: it signs, and stays with the cloud" if kind == "private" else "public: for the gateways"
    rows = [("kid", half.kid), ("thumbprint", half.thumbprint), ("kind", use)]
    print_table(make_console(), [Column(style="dim"), Column()], rows)
    return exits.OK


@command.command("sign")
@_message
@sign_with_option
def sign_file(*, file: Path, sign_with: Path | None) -> int:
    """Sign a batch or a command: JSON in, a compact JWS out.

    It comes without a line's end, so that it can be published as it is: `… | mosquitto_pub -s`.
    """
    if sign_with is None:
        raise click.UsageError("say with which key: --sign-with FILE; `fluss-simulator keys new` makes one")
    key = read_signing_key(sign_with)
    document = _read(file)
    try:
        said = orjson.loads(document)
    except orjson.JSONDecodeError as why:
        raise NothingToSign(f"{_name(file)} is not JSON ({why}): a batch or a command is") from None
    if not isinstance(said, dict) or not isinstance(said.get("gatewayId"), str):
        raise NothingToSign(
            f"{_name(file)} names no gateway ('gatewayId'): signed, it could be sent to any, so none would take it"
        )
    click.echo(sign(document, key), nl=sys.stdout.isatty())
    return exits.OK


@command.command()
@_message
@click.option(
    "--key",
    "files",
    type=click.Path(path_type=Path),
    multiple=True,
    required=True,
    metavar="FILE",
    help="A public key to believe; again for each.",
)
@format_option
def verify(*, file: Path, files: Sequence[Path], form: str) -> int:
    """Check a signed message as a gateway does, and show what it says. Exit code 1 where none of the keys signed it."""
    keys = _trusted(files)
    message = _read(file)
    found = verified(message, keys)
    if isinstance(found, Distrusted):
        why = found.message
        if message != message.rstrip():
            why += "; a line's end or a blank behind it is no part of one, and a gateway forgives none"
        if form == "json":
            _echo(verified=False, kid=None, thumbprint=None, code=found.code, message=why)
        else:
            print_lines(make_console(stderr=True), Text(f"{found.code}: {why}", style="red"))
        return exits.REFUSED
    key = next(key for key in keys.values() if key.thumbprint == found.signer)
    if form == "json":
        _echo(verified=True, kid=key.kid, thumbprint=key.thumbprint, code=None, message=None)
        return exits.OK
    print_lines(make_console(stderr=True), f"Signed with {key.kid} ({key.thumbprint}). It says:")
    click.echo(found.payload, nl=sys.stdout.isatty())
    return exits.OK


def _echo(**said: object) -> None:
    click.echo(orjson.dumps(said, option=orjson.OPT_INDENT_2))


def _trusted(files: Sequence[Path]) -> dict[str, PublicKey]:
    keys: dict[str, PublicKey] = {}
    for file in files:
        key = read_public_key(file)
        if keys.setdefault(key.kid, key).thumbprint != key.thumbprint:
            raise click.UsageError(
                f"{file}: another key is called {key.kid!r} too, and a message names its key by that"
            )
    return keys


def _read(file: Path) -> bytes:
    return sys.stdin.buffer.read() if file == _STDIN else file.read_bytes()


def _name(file: Path) -> str:
    return "standard input" if file == _STDIN else str(file)
