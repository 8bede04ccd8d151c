"""The commands of `fluss-simulator`, one module each, loaded only when typed; here, what they have in common."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypedDict, TypeVar

import click

from protocol.keys import SigningKey, public_half
from protocol.mobile import regions
from protocol.topics import DEFAULT_PREFIX
from simulator.address import Address, Tls, Version, parse_address
from simulator.gateway_file import Device, GatewayFile, read_gateway_file
from simulator.keyring import UnusableKey, read_public_key, read_signing_key
from simulator.truth import Truth

F = TypeVar("F", bound=Callable[..., Any])

_FILE = click.Path(path_type=Path)


@dataclass(frozen=True, slots=True)
class Target:
    """The gateway a command is for, and the way to it."""

    address: Address
    gateway_id: str
    devices: list[Device] = field(default_factory=list)
    """As its configuration has them; none where that was not given."""
    region: str = "ZA"


class Where(TypedDict):
    """What `target_options` gives to a command, for `find_target`."""

    broker: str | None
    gateway: str | None
    protocol: Version | None
    prefix: str | None
    ca_file: Path | None
    cert_file: Path | None
    key_file: Path | None
    config: Path | None
    sign_with: Path | None


sign_with_option = click.option(
    "--sign-with",
    type=_FILE,
    metavar="FILE",
    envvar="FLUSS_SIGN_WITH",
    help="A private key (`fluss-simulator keys new`): what is sent is signed. [env: FLUSS_SIGN_WITH]",
)
_TARGET = (
    click.option(
        "--broker",
        metavar="URL",
        envvar="FLUSS_BROKER",
        help="mqtt://[user[:password]@]host[:port], or mqtts:// for TLS. [env: FLUSS_BROKER]",
    ),
    click.option("--gateway", metavar="ID", envvar="FLUSS_GATEWAY", help="The gateway's id. [env: FLUSS_GATEWAY]"),
    click.option("--protocol", type=click.Choice(["5", "3.1.1"]), help="The version of MQTT. [default: 5]"),
    click.option("--prefix", metavar="TOPIC", help=f"The first levels of every topic. [default: {DEFAULT_PREFIX}]"),
    click.option("--ca-file", type=_FILE, metavar="FILE", help="The authority that signs the broker's certificate."),
    click.option("--cert-file", type=_FILE, metavar="FILE", help="A client certificate."),
    click.option("--key-file", type=_FILE, metavar="FILE", help="Its key."),
    click.option(
        "--config",
        type=_FILE,
        metavar="FILE",
        help="A gateway's own configuration: its broker's address and its devices are taken from there.",
    ),
    sign_with_option,
)


def target_options(command: F) -> F:
    """The options that say which gateway at which broker; `find_target` reads them."""
    for option in reversed(_TARGET):
        option(command)
    return command


def find_target(where: Where, *, listens: bool = False) -> Target:
    """What the options say; those given win over the gateway's file. Raises click.UsageError, GatewayFileError.

    Unless a command just `listens`, it is also told here that the gateway would not believe a word of what is sent.
    """
    config = where["config"]
    tls = Tls(where["ca_file"], where["cert_file"], where["key_file"])
    if tls.key_file is not None and tls.cert_file is None:
        raise click.UsageError("--key-file needs --cert-file beside it")
    file = None if config is None else read_gateway_file(config)
    gateway_id = where["gateway"] or (file and file.gateway_id)
    if not gateway_id:
        raise click.UsageError("say which gateway: --gateway ID, or --config with its configuration file")
    key = None if where["sign_with"] is None else read_signing_key(where["sign_with"])
    if file is not None and config is not None and not listens:
        _demand_trust(config, file, key)
    protocol: Version = where["protocol"] or (file.mqtt.protocol if file else "5")
    prefix = where["prefix"] or (file.mqtt.topic_prefix if file else DEFAULT_PREFIX)
    if where["broker"] is not None:
        address = parse_address(where["broker"], tls, protocol=protocol, prefix=prefix)
    elif file is not None and config is not None:
        address = replace(_address_of(config, file, tls), protocol=protocol, prefix=prefix)
    else:
        raise click.UsageError(
            "say where the broker is: --broker mqtt://host, or --config with a gateway's configuration file"
        )
    return Target(
        replace(address, key=key), gateway_id, file.devices if file else [], file.default_region if file else "ZA"
    )


def kept_truth(file: Path | None, target: Target, *, begin: bool = False) -> AbstractContextManager[Truth | None]:
    """The truth that a command keeps up, as `Truth.kept` gives it; None where none was asked for."""
    return nullcontext() if file is None else Truth.kept(file, target.gateway_id, begin=begin)


def _address_of(config: Path, file: GatewayFile, tls: Tls) -> Address:
    mqtt = file.mqtt
    if mqtt.knows_its_clients and tls.cert_file is None:
        scheme = "mqtts" if mqtt.tls else "mqtt"
        raise click.UsageError(
            f"the broker in {config} wants to know who is there, and the gateway's own credentials are not for the"
            f" cloud: add --broker {scheme}://USER:PASSWORD@{mqtt.host}:{mqtt.port}, or --cert-file and --key-file"
        )
    if not mqtt.tls and tls != Tls():
        raise click.UsageError(f"the broker in {config} has no TLS, so there is no use for certificates")
    return Address(mqtt.host, mqtt.port, tls if mqtt.tls else None)


def _demand_trust(config: Path, file: GatewayFile, key: SigningKey | None) -> None:
    """Raise UsageError where the keys that the gateway's file names show that it would not believe us."""
    if not file.trust.keys:
        return
    names = ", ".join(file.trust.keys)
    if key is None:
        raise click.UsageError(
            f"the gateway in {config} takes only what is signed: add --sign-with with the private half of {names}"
        )
    try:
        trusted = [read_public_key(config.parent / name) for name in file.trust.keys]
    except (UnusableKey, OSError):
        return  # it may have them as systemd credentials: then only the gateway can tell
    ours = public_half(key)
    if not any((each.kid, each.thumbprint) == (ours.kid, ours.thumbprint) for each in trusted):
        raise click.UsageError(
            f"the gateway in {config} does not trust the key {ours.kid!r} ({ours.thumbprint}): it has {names}"
        )


format_option = click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="json: one document on stdout, for programs.",
)
timeout_option = click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=1),
    default=120.0,
    show_default=True,
    metavar="SECONDS",
    help="Give up when nothing has come for so long.",
)


def _region(_: click.Context, __: click.Parameter, region: str | None) -> str | None:
    if region is not None and region not in regions():
        raise click.UsageError(f"--region {region!r} is none: write two capital letters, such as ZA or GB")
    return region


region_option = click.option(
    "--region",
    metavar="XX",
    callback=_region,
    help="Whose numbers are meant where there is no country code. [default: the gateway's own, or ZA]",
)

truth_option = click.option(
    "--truth",
    "truth_file",
    type=_FILE,
    metavar="FILE",
    help="Keep what is wanted of the gateway's lists in this file, for `cloud sync`.",
)
