"""What a person reads when the broker cannot be reached: the thing, the place and the cure."""

import errno
import socket
import ssl
from dataclasses import replace
from pathlib import Path

import pytest

from agent import broker
from agent.backoff import Ending
from agent.broker import Address
from agent.certificates import Tls, UnusableError

ADDRESS = Address("mqtt.example.net", 8883, "gw-1", username="gw-1", tls=Tls())


def distrust(code: int, message: str = "") -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, message
    return error


def tls_error(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, reason)
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (socket.gaierror(-2, "Name or service not known"), "cannot be resolved: check mqtt.host"),
        (UnicodeError("label too long"), "cannot be resolved: check mqtt.host"),
        (ConnectionRefusedError(), "mqtt.example.net:8883 refuses connections: check mqtt.port"),
        (TimeoutError(), "mqtt.example.net:8883 does not answer"),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), "no way to mqtt.example.net:8883"),
        (OSError(errno.EACCES, "Permission denied"), "cannot be reached: [Errno 13] Permission denied"),
        (distrust(10), "the certificate of mqtt.example.net:8883 has expired"),
        (distrust(9), "is not valid yet"),
        (distrust(62), "is not for mqtt.example.net: check mqtt.host"),
        (distrust(19), "authority that is not trusted here: check mqtt.ca_file"),
        (distrust(23, "certificate revoked"), "is not accepted: certificate revoked"),
        (tls_error("WRONG_VERSION_NUMBER"), "does not speak TLS: check mqtt.port"),
        (distrust(26, "unsuitable certificate purpose"), "is not one of a server: check mqtt.host"),
        (tls_error("SSLV3_ALERT_HANDSHAKE_FAILURE"), "check mqtt.ca_file, mqtt.cert_file and mqtt.key_file"),
        (tls_error("UNSUPPORTED_PROTOCOL"), "speaks no TLS from 1.2 on: the broker has to be updated"),
        (tls_error("TLSV1_ALERT_PROTOCOL_VERSION"), "speaks no TLS from 1.2 on: the broker has to be updated"),
        (ssl.SSLEOFError(8, "EOF"), "hung up instead of answering in TLS"),
        (ConnectionResetError(), "hung up instead of answering in TLS"),
    ],
)
def test_dialling_error_is_said_with_its_cure(error: OSError | UnicodeError, words: str) -> None:
    said = broker.unreachable(ADDRESS, error, 2026).words

    assert words in said
    assert "clock" not in said


@pytest.mark.parametrize(
    ("alert", "words"),
    [
        ("tlsv13 alert certificate required", "wants a certificate of this gateway: set mqtt.cert_file"),
        (
            "sslv3 alert certificate revoked",
            "somebody has revoked our certificate, mqtt.cert_file: gw-1.pem; have a new",
        ),
        ("sslv3 alert certificate expired", "time has run out for our certificate, mqtt.cert_file: gw-1.pem; have it"),
        ("tlsv1 alert unknown ca", "does not know the authority that issued our certificate, mqtt.cert_file: gw-1.pem"),
        ("sslv3 alert bad certificate", "mqtt.cert_file and mqtt.key_file"),
    ],
)
def test_alert_is_said_with_its_cure_before_and_after_the_end_of_the_handshake(alert: str, words: str) -> None:
    """TLS 1.3 is set up on our side before a broker has looked at our certificate, TLS 1.2 is not."""
    address = replace(ADDRESS, tls=Tls(cert_file=Path("gw-1.pem")))
    reason = alert.upper().replace(" ", "_")

    assert words in broker.unanswered(address, detail=f"[SSL: {reason}] {alert} (_ssl.c:2580)").words
    assert words in broker.unreachable(address, tls_error(reason), 2026).words


def test_broker_is_refused_with_the_days_that_rule_it_out() -> None:
    said = broker.outdated(ADDRESS, 1_764_547_200_000, 1_767_225_600_000).words

    assert said.endswith("has expired: it ended on 2025-12-01, and it is 2026-01-01 or later")
    assert "cannot be judged without a clock" in broker.outdated(ADDRESS, None, 1_767_225_600_000).words


@pytest.mark.parametrize("code", [9, 10])
def test_certificate_out_of_its_time_hints_at_a_clock_that_is_not_set(code: int) -> None:
    assert "this board's clock says 1970: set it first" in broker.unreachable(ADDRESS, distrust(code), 1970).words


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0x84, 'does not speak MQTT 5: set mqtt.protocol = "3.1.1"'),
        (0x85, "does not accept the client id 'gw-1'"),
        (0x86, "refuses the user 'gw-1': wrong user name or password, or not allowed; check mqtt.username"),
        (0x87, "refuses the user 'gw-1': wrong user name or password, or not allowed; check mqtt.username"),
        (0x88, "is not available at the moment: Server unavailable"),
        (0x8A, "refuses the connection: Banned"),
    ],
)
def test_refusal_is_said_with_its_cure(code: int, words: str) -> None:
    name = {0x88: "Server unavailable", 0x8A: "Banned"}.get(code, "")

    assert words in broker.refused(ADDRESS, code, name).words


def test_missing_user_name_is_said() -> None:
    assert "refuses an anonymous client" in broker.refused(replace(ADDRESS, username=None), 0x87, "").words


def test_hanging_up_without_an_answer_names_what_it_may_be() -> None:
    plain = replace(ADDRESS, tls=None)

    assert 'set mqtt.protocol = "3.1.1"' in broker.unanswered(plain, silent=True).words
    assert "it may want TLS" in broker.unanswered(plain, detail="[Errno 104] Connection reset by peer").words
    said = broker.unanswered(replace(ADDRESS, protocol="3.1.1")).words
    assert said == "mqtt.example.net:8883 closed the connection without an answer"


def test_only_a_broker_that_is_still_there_can_have_made_way_for_another_client() -> None:
    assert broker.hung_up(ADDRESS, listening=True).ending is Ending.HUNG_UP
    assert broker.hung_up(ADDRESS, listening=False).ending is Ending.DISMISSED
    assert broker.unanswered(ADDRESS).ending is Ending.FAILED
    assert broker.dismissed(ADDRESS, 0x8E, "Session taken over").ending is Ending.TAKEN_OVER
    assert broker.dismissed(ADDRESS, 0x8B, "Server shutting down").ending is Ending.DISMISSED
    assert broker.broke(ADDRESS, "[Errno 104] Connection reset by peer").ending is Ending.FAILED


@pytest.mark.parametrize("key", ["ca_file", "cert_file", "key_file"])
def test_missing_tls_file_is_named(key: str, tmp_path: Path) -> None:
    file = tmp_path / "nowhere.pem"

    with pytest.raises(UnusableError) as error:
        replace(Tls(), **{key: file}).context()

    assert str(error.value) == f"mqtt.{key}: {file}: No such file or directory"


def test_file_that_is_no_certificate_is_named(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("not a certificate")

    with pytest.raises(UnusableError, match=r"mqtt\.ca_file: .*ca\.pem holds no PEM certificates"):
        Tls(ca_file=file).context()
    with pytest.raises(UnusableError, match=r"mqtt\.cert_file, mqtt\.key_file: .* unencrypted key"):
        Tls(cert_file=file, key_file=file).context()


def test_password_is_read_anew_and_without_its_line_end(tmp_path: Path) -> None:
    file = tmp_path / "password"
    address = replace(ADDRESS, password_file=file)
    with pytest.raises(UnusableError, match=r"mqtt\.password_file: .*password: No such file"):
        address.password()

    file.write_bytes(b" s\xc3\xbcss\r\n")
    assert address.password() == " süss"
    file.write_bytes(b"\xff\n")
    with pytest.raises(UnusableError, match="is not UTF-8 text"):
        address.password()
    assert ADDRESS.password() is None


def test_shortcomings_of_a_broker_are_named() -> None:
    assert broker.shortcomings(ADDRESS, {}) == []
    assert broker.shortcomings(ADDRESS, {"ReceiveMaximum": 4, "MaximumPacketSize": 128 << 10, "MaximumQoS": 1}) == []

    limits = {
        "ReceiveMaximum": 3,
        "MaximumPacketSize": 65_536,
        "RetainAvailable": 0,
        "MaximumQoS": 0,
        "SessionExpiryInterval": 60,
    }
    assert [words.split()[0] for words in broker.shortcomings(ADDRESS, limits)] == [
        "takes",
        "takes",
        "retains",
        "delivers",
        "forgets",
    ]
