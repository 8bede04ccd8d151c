"""Why there is no connection to a broker, in words for the person at the terminal."""

import errno
import socket
import ssl
from typing import Final

from aiomqtt import MqttCodeError, MqttError
from aiomqtt.exceptions import MqttConnectError
from paho.mqtt.reasoncodes import ReasonCode

from simulator import exits
from simulator.address import Address
from simulator.exits import Failure


class Unreachable(Failure):
    """The broker cannot be reached, or does not let us do what we came for; the message says why, and the cure."""

    exit_code = exits.UNREACHABLE


def unreachable(address: Address, error: MqttError) -> Unreachable:
    """What a failed attempt, or a connection that broke, means."""
    if isinstance(error, MqttConnectError) and isinstance(error.rc, ReasonCode):
        return Unreachable(_refused(address, error.rc))
    # aiomqtt turns what the socket said into text; the exception itself is still its context.
    cause = error.__cause__ or error.__context__
    if isinstance(cause, TimeoutError) and not isinstance(error, MqttCodeError):
        return Unreachable(_silent(address))
    if isinstance(cause, OSError):
        return Unreachable(_dialling(address, cause))
    return Unreachable(f"the connection to {address.place} broke: {error}")


# X509_V_ERR_… of OpenSSL's x509_vfy.h
_EXPIRED: Final = 10
_NOT_YET_VALID: Final = 9
_UNKNOWN_ISSUER: Final = frozenset({2, 18, 19, 20, 21})
_OTHER_NAME: Final = frozenset({62, 64})


def _dialling(address: Address, error: OSError) -> str:
    place = address.place
    match error:
        case socket.gaierror():
            return f"the name {address.host} cannot be resolved: check --broker and the network"
        case ssl.SSLCertVerificationError():
            return _distrust(address, error)
        case ssl.SSLError(reason="WRONG_VERSION_NUMBER" | "UNKNOWN_PROTOCOL" | "HTTP_REQUEST"):
            return f"{place} does not speak TLS: check the port (8883 is usual), or write mqtt:// instead of mqtts://"
        case ssl.SSLError():
            return f"TLS with {place} failed ({error.reason}): check --ca-file, --cert-file and --key-file"
        case ConnectionRefusedError():
            return f"{place} refuses connections: check the host and port in --broker, and that the broker runs"
        case ConnectionResetError() | BrokenPipeError():
            hint = "" if address.tls is None else ": it may want a client certificate (--cert-file, --key-file)"
            return f"{place} cut the connection{hint}"
        case OSError(errno=errno.ENETUNREACH | errno.EHOSTUNREACH | errno.ENETDOWN):
            return f"there is no way to {place}: check the network"
        case _:
            return f"{place} cannot be reached: {error}"


def _distrust(address: Address, error: ssl.SSLCertVerificationError) -> str:
    certificate = f"the certificate of {address.place}"
    if error.verify_code == _EXPIRED:
        return f"{certificate} has expired: whoever runs the broker has to renew it"
    if error.verify_code == _NOT_YET_VALID:
        return f"{certificate} is not valid yet: check the clock of this computer"
    if error.verify_code in _UNKNOWN_ISSUER:
        return f"{certificate} is signed by an authority that is not trusted here: give its certificate as --ca-file"
    if error.verify_code in _OTHER_NAME:
        return f"{certificate} is not for {address.host}: write the host in --broker as the certificate does"
    return f"{certificate} is not accepted: {error.verify_message}"


def _silent(address: Address) -> str:
    causes = []
    if address.protocol == "5":
        causes.append("it may speak only MQTT 3.1.1 (--protocol 3.1.1)")
    causes.append("it may want TLS (mqtts://)" if address.tls is None else "it may refuse the client certificate")
    return f"{address.place} does not answer in MQTT: {', or '.join(causes)}"


def _refused(address: Address, code: ReasonCode) -> str:
    """A CONNECT answered with a refusal: reason codes of MQTT 5 (section 3.2.2.2), those of 3.1.1 put into them."""
    who = "an anonymous client" if address.username is None else f"the user {address.username!r}"
    match code.value:
        case 0x84:
            other = "3.1.1" if address.protocol == "5" else "5"
            return f"{address.place} does not speak MQTT {address.protocol}: add --protocol {other}"
        case 0x86 | 0x87:
            cure = "write --broker with the user and password of the cloud side, as in mqtts://user:password@host"
            return f"{address.place} refuses {who}: wrong user name or password, or not allowed; {cure}"
        case 0x88 | 0x89:
            return f"{address.place} is not available at the moment: {code}"
        case _:
            return f"{address.place} refuses the connection: {code}"
