"""Every mistake in a configuration is told: with its key, and in words that lead to its cure."""

from pathlib import Path

import pytest

from agent.config import load
from agent.config_findings import ConfigError
from tests.configurations import CONTRACT, MINIMAL, edited, furnish

NO_ID = "is no gateway id: 1 to 64 characters without spaces, '/', '+' and '#'"
NO_PREFIX = (
    "is no topic prefix: levels between single '/', 128 characters at most, without spaces, '+' and '#', and no '$' at "
    "the start"
)
NO_TCP = "is not of the form tcp://HOST:PORT, with a port from 1 to 65535"
NO_SERIAL = "is not of the form serial:///dev/ttyUSB0?baud=115200"
NO_GPIO = "is not of the form gpio://17?pulse_ms=500, with a line from 0 to 1023"
NO_GPIO_OPTION = "is not understood: gpio:// takes pulse_ms=500 status=27 open=high and no more"
NO_ADDRESS = "is no address: plain characters without spaces, 256 at most"

VALUES: dict[tuple[str, str], dict[str, str]] = {
    ("gateway_id", '"gw-1"'): {
        "1": "takes text in quotes, not 1",
        '""': f"'' {NO_ID}",
        '"a/b"': f"'a/b' {NO_ID}",
        '"+"': f"'+' {NO_ID}",
        '"gw#"': f"'gw#' {NO_ID}",
        '"a b"': f"'a b' {NO_ID}",
        '"a\\u0000"': f"'a\\x00' {NO_ID}",
        f'"{"x" * 65}"': f"'{'x' * 59}…' {NO_ID}",
    },
    ("state_dir", '"state"'): {
        '""': "'' is no path",
        '"ca.pem"': "{home}/ca.pem is not a directory",
        '"ca.pem/x"': "{home}/ca.pem is not a directory",
    },
    ("default_region", '"ZA"'): {
        '"za"': "'za' is not a region with telephone numbers; did you mean 'ZA'?",
        '"ZZ"': "'ZZ' is not a region with telephone numbers",
    },
    ("mqtt.host", '"mqtt.example.net"'): {
        '"mqtt://example.net"': "'mqtt://example.net' is more than a host; the port has a key of its own",
        '"example.net:8883"': "'example.net:8883' is more than a host; the port has a key of its own",
        '""': "'' is neither a host name nor an IP address",
        '"my broker"': "'my broker' is neither a host name nor an IP address",
        '"192.0.2.256"': "'192.0.2.256' is neither a host name nor an IP address",
    },
    ("mqtt.port", "8883"): {
        "0": "0 is too small: 1 at least",
        "65536": "65536 is too large: 65535 at most",
        "8883.0": "takes a whole number, not 8883.0",
        '"8883"': "takes a whole number, not '8883'",
        "true": "takes a whole number, not true",
        str(10**30): "so large a number is too large: 65535 at most",
        "1979-05-27": "takes a whole number, not a date or time",
        "{}": "takes a whole number, not a table",
    },
    ("mqtt.tls", "true"): {"1": "takes true or false, not 1"},
    ("mqtt.protocol", '"5"'): {"5": "5 is not '5' or '3.1.1'", '"4"': "'4' is not '5' or '3.1.1'"},
    ("mqtt.topic_prefix", '"fluss/v1"'): {
        f'"{bad}"': f"{bad!r} {NO_PREFIX}" for bad in ("", "/fluss", "fluss/", "a//b", "a/+", "#", "$SYS/x", "a b")
    },
    ("mqtt.username", '"gw-1"'): {'"a\\nb"': "'a\\nb' is not 1 to 100 characters on one line"},
    ("mqtt.password_file", '"mqtt-password"'): {'"no"': "{home}/no cannot be read: No such file or directory"},
    ("mqtt.ca_file", '"ca.pem"'): {
        '"/no/ca.pem"': "/no/ca.pem cannot be read: No such file or directory",
        '"."': "{home} is not a file",
        '"a\\u0000b"': "'a\\x00b' is no path",
        f'"{"x" * 300}"': f"{{home}}/{'x' * 300} cannot be read: File name too long",
    },
    ("trust.keys", '["cloud-2026.jwk"]'): {
        '"cloud-2026.jwk"': "takes a list, not 'cloud-2026.jwk'",
        '["cloud-2026.jwk", "cloud-2026.jwk"]': "'cloud-2026.jwk' holds the same key as 'cloud-2026.jwk'",
        str(["cloud-2026.jwk"] * 17): "has 17: 16 at most",
    },
    ("lists.incomplete_after_s", "600"): {"0": "0 is too small: 1 at least"},
    ("lists.hold_removals_over", "0.5"): {
        "1.01": "1.01 is too large: 1.0 at most",
        "-0.1": "-0.1 is too small: 0.0 at least",
        "nan": "nan is not a number",
        '"half"': "takes a number, not 'half'",
    },
    ("clock.trust", '"auto"'): {'"ntp"': "'ntp' is not 'auto' or 'system'"},
    ("clock.grace_s", "0"): {"-1": "-1 is too small: 0 at least"},
    ("retention.events_days", "30"): {"91": "91 is too large: 90 at most"},
    ("retention.reports_days", "30"): {"0": "0 is too small: 1 at least"},
    ("devices[0].id", '"1234567890123456"'): {
        '"12345"': "'12345' is no device id: 16 digits for a Fluss+, 6 for an intercom",
        '"١٢٣٤٥٦"': "'١٢٣٤٥٦' is no device id: 16 digits for a Fluss+, 6 for an intercom",
        "482913": "takes text in quotes, not 482913",
        '"482914"': "has 6 digits; a device of kind 'fluss+' has 16",
    },
    ("devices[0].name", '"Main gate"'): {'"  "': "'  ' is not 1 to 100 characters on one line"},
    ("devices[0].kind", '"fluss+"'): {
        '"Fluss+"': "'Fluss+' is not 'fluss+' or 'intercom'",
        '["fluss+"]': "a list is not 'fluss+' or 'intercom'",
    },
    ("devices[0].timezone", '"Africa/Johannesburg"'): {
        '"Africa/Johanesburg"': "'Africa/Johanesburg' is not a time zone; did you mean 'Africa/Johannesburg'?",
        '"africa/johannesburg"': "'africa/johannesburg' is not a time zone; did you mean 'Africa/Johannesburg'?",
        '"Johannesburg"': "'Johannesburg' is not a time zone; did you mean 'Africa/Johannesburg'?",
        '"../../etc/passwd"': "'../../etc/passwd' is not a time zone",
        "2": "takes text in quotes, not 2",
    },
    ("devices[0].max_users", "5000"): {
        "0": "0 is too small: 1 at least",
        "1_000_001": "1000001 is too large: 1000000 at most",
    },
    ("devices[1].opens", '"1234567890123456"'): {
        '"1234567890123465"': "'1234567890123465' is no Fluss+ of this file; did you mean '1234567890123456'?",
        '"482913"': "'482913' is no Fluss+ of this file",
    },
    ("devices[0].driver", '"tcp://127.0.0.1:9000"'): {
        '"tcp://127.0.0.1"': f"'tcp://127.0.0.1' {NO_TCP}",
        '"tcp://h:0"': f"'tcp://h:0' {NO_TCP}",
        '"tcp://h:65536"': f"'tcp://h:65536' {NO_TCP}",
        '"tcp://:9000"': f"'tcp://:9000' {NO_TCP}",
        '"tcp://me@h:1"': f"'tcp://me@h:1' {NO_TCP}",
        '"tcp://h:1/x"': f"'tcp://h:1/x' {NO_TCP}",
        '"tcp://[::1"': "'tcp://[::1' is not an address",
        '"tcp://h: 1"': f"'tcp://h: 1' {NO_ADDRESS}",
        '""': f"'' {NO_ADDRESS}",
        '"udp://h:1"': "'udp://h:1' is none of tcp://, serial://, gpio:// and 'none'",
        '"serial://ttyUSB0"': f"'serial://ttyUSB0' {NO_SERIAL}",
        '"serial:///etc/passwd"': f"'serial:///etc/passwd' {NO_SERIAL}",
        '"serial:///dev/../etc/passwd"': f"'serial:///dev/../etc/passwd' {NO_SERIAL}",
        '"serial:///dev/t?bauds=1"': "'bauds=1' is not understood: serial:// takes baud=115200 and no more",
        '"serial:///dev/t?baud=299"': "baud=299 is out of range: 300 to 4000000",
        '"gpio://x"': f"'gpio://x' {NO_GPIO}",
        '"gpio://1024"': f"'gpio://1024' {NO_GPIO}",
        '"gpio://17?pulse_ms=49"': "pulse_ms=49 is out of range: 50 to 10000",
        '"gpio://17?pulse_ms=long"': "pulse_ms=long is not a whole number",
        '"gpio://17?pulse_ms=50&pulse_ms=60"': "pulse_ms is given twice",
        '"gpio://17?pull=up"': f"'pull=up' {NO_GPIO_OPTION}",
        '"gpio://17?status"': f"'status' {NO_GPIO_OPTION}",
        '"gpio://17?status=-1"': f"'status=-1' {NO_GPIO_OPTION}",
        '"gpio://17?status=27&"': f"'' {NO_GPIO_OPTION}",
        '"gpio://17?status=1024"': "status=1024 is out of range: 0 to 1023",
        '"gpio://17?status=017"': "status=17 is the line of the relay itself",
        '"gpio://17?status=27&open=1"': "open=1 is neither high nor low",
        '"gpio://17?open=low"': "open=low needs the line of a sensor beside it: status=27",
    },
    ("devices[1].driver", '"tcp://127.0.0.1:9001"'): {
        '"tcp://127.0.0.1:9000"': "'tcp://127.0.0.1:9000' is that of devices[0] already",
    },
}
"""By key and right value: a wrong value, and what is said of it."""

EDITS = {
    'gateway_id = "gw-1"': {"": ["gateway_id: is missing"]},
    'host = "mqtt.example.net"': {"": ["mqtt.host: is missing"]},
    'username = "gw-1"': {"": ["mqtt.password_file: needs username beside it"]},
    'cert_file = "gw-1.pem"': {"": ["mqtt.key_file: needs cert_file beside it"]},
    'key_file = "gw-1.key"': {"": ["mqtt.cert_file: needs key_file beside it"]},
    "tls = true": {
        "tls = false": [
            f"mqtt.{key}: is never used without tls; write tls = true, or leave it out"
            for key in ("ca_file", "cert_file", "key_file")
        ]
    },
    "port = 8883": {
        "prot = 8883": ["mqtt.prot: is not a key here; did you mean 'port'?"],
        "gateway_id = 1": ["mqtt.gateway_id: is not a key here; it belongs at the top, above the first [table]"],
        "grace_s = 1": ["mqtt.grace_s: is not a key here; it belongs in [clock]"],
        "zzz = 1": ["mqtt.zzz: is not a key here"],
        '"a\\nb.c" = 1': ['mqtt."a\\nb.c": is not a key here'],
    },
    "[lists]": {"[list]": ["list: is not a key here; did you mean 'lists'?"]},
    "[retention]": {
        "[mqtt.retention]": ["mqtt.retention: is not a key here; it belongs at the top, above the first [table]"],
        "[limits]\nmax_part_bytes = 98_303\n[retention]": ["limits.max_part_bytes: 98303 is too small: 98304 at least"],
        "[limits]\nmax_part_bytes = 5_000_000\n[retention]": [
            "limits.max_part_bytes: 5000000 is too large: 4194304 at most"
        ],
        "[limits]\nmax_part_items = 399\n[retention]": ["limits.max_part_items: 399 is too small: 400 at least"],
    },
    "max_users = 5000": {
        "max_user = 1": ["devices[0].max_user: is not a key here; did you mean 'max_users'?"],
        'opens = "1234567890123456"': ["devices[0].opens: is only for an intercom; a Fluss+ opens its own gate"],
    },
    'kind = "fluss+"': {
        "": ["devices[0].kind: is missing"],
        'kind = "intercom"': [
            "devices[0].id: has 16 digits; a device of kind 'intercom' has 6",
            "devices[1].opens: '1234567890123456' is no Fluss+ of this file",
        ],
    },
}
"""By what stands in the file: other lines, and the lines that are said of them."""

DEVICE_65_TIMES = "[" + ",".join(f'{{id = "{n:06}", kind = "intercom", timezone = "UTC"}}' for n in range(65)) + "]"


def mistakes(home: Path, text: str) -> list[str]:
    file = furnish(home) / "agent.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load(file)
    return [str(mistake) for mistake in caught.value.mistakes]


@pytest.mark.parametrize(
    ("key", "right", "wrong", "message"),
    [(key, right, wrong, message) for (key, right), wrongs in VALUES.items() for wrong, message in wrongs.items()],
)
def test_wrong_value_is_told(tmp_path: Path, key: str, right: str, wrong: str, message: str) -> None:
    name = key.rpartition(".")[2]
    text = edited(CONTRACT, f"{name} = {right}", f"{name} = {wrong}")
    assert f"{key}: {message.format(home=tmp_path)}" in mistakes(tmp_path, text)


@pytest.mark.parametrize(
    ("old", "new", "expected"), [(old, new, lines) for old, news in EDITS.items() for new, lines in news.items()]
)
def test_wrong_combination_is_told(tmp_path: Path, old: str, new: str, expected: list[str]) -> None:
    assert mistakes(tmp_path, edited(CONTRACT, old, new)) == expected


@pytest.mark.parametrize(
    ("broken", "mistake"),
    [
        ('host = "mqtt.example.net"', "mqtt.host: is missing"),
        ('id = "1234567890123456"', "devices[0].id: is missing"),
        ('kind = "fluss+"', "devices[0].kind: is missing"),
    ],
)
def test_mistake_is_told_without_what_follows_from_it(tmp_path: Path, broken: str, mistake: str) -> None:
    """The defaults of `tls`, `port` and `name` stand on the broken key, and nobody wrote them."""
    assert mistakes(tmp_path, edited(MINIMAL, broken, "")) == [mistake]


def test_certificate_for_a_loopback_host_without_tls_is_told(tmp_path: Path) -> None:
    text = edited(MINIMAL, '"mqtt.example.net"', '"localhost"\nca_file = "ca.pem"')
    assert mistakes(tmp_path, text) == ["mqtt.ca_file: is never used without tls; write tls = true, or leave it out"]


def test_default_state_dir_is_checked_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)
    (mistake,) = mistakes(tmp_path, edited(MINIMAL, 'state_dir = "state"', ""))
    assert mistake.startswith("state_dir: /var/lib/fluss-agent cannot be written: this user (uid ")


def test_missing_table_is_told(tmp_path: Path) -> None:
    assert mistakes(tmp_path, 'gateway_id = "gw-1"\nstate_dir = "s"') == ["mqtt: is missing", "devices: is missing"]


@pytest.mark.parametrize(
    ("devices", "message"),
    [
        ("[]", "devices: needs 1 at least"),
        ("{}", "devices: takes a list, not a table"),
        ("[1]", "devices[0]: takes a table, not 1"),
        ("[{}]", "devices[0].id: is missing"),
        (DEVICE_65_TIMES, "devices: has 65: 64 at most"),
    ],
)
def test_wrong_list_of_devices_is_told(tmp_path: Path, devices: str, message: str) -> None:
    told = mistakes(tmp_path, f'devices = {devices}\ngateway_id = "g"\nstate_dir = "s"\nmqtt = {{host = "h"}}')
    assert message in told


def test_device_named_twice_is_told(tmp_path: Path) -> None:
    again = edited(CONTRACT[CONTRACT.index("[[devices]]") :], "127.0.0.1:9000", "127.0.0.1:9002")
    third = again[: again.rindex("[[devices]]")]
    assert mistakes(tmp_path, f"{CONTRACT}\n{third}") == [
        "devices[2].id: '1234567890123456' is that of devices[0] already"
    ]


def test_one_port_under_two_options_is_told(tmp_path: Path) -> None:
    text = edited(CONTRACT, "tcp://127.0.0.1:9000", "serial:///dev/ttyS0?baud=9600")
    text = edited(text, "tcp://127.0.0.1:9001", "serial:///dev/ttyS0")
    assert mistakes(tmp_path, text) == ["devices[1].driver: 'serial:///dev/ttyS0' is that of devices[0] already"]


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ("gpio://17", "gpio://017?pulse_ms=600", "GPIO line 17 is that of devices[0] already"),
        ("gpio://17?status=27", "gpio://22?status=27", "GPIO line 27 is that of devices[0] already"),
        ("gpio://17?status=27", "gpio://27", "GPIO line 27 is that of devices[0] already"),
        ("gpio://17", "gpio://22?status=17&open=low", "GPIO line 17 is that of devices[0] already"),
        ("tcp://Gate.local:9000", "tcp://gate.local:9000", "'tcp://gate.local:9000' is that of devices[0] already"),
    ],
)
def test_one_line_or_address_of_two_devices_is_told(tmp_path: Path, first: str, second: str, message: str) -> None:
    text = edited(CONTRACT, "tcp://127.0.0.1:9000", first)
    assert mistakes(tmp_path, edited(text, "tcp://127.0.0.1:9001", second)) == [f"devices[1].driver: {message}"]


def test_relays_beside_each_other_are_fine(tmp_path: Path) -> None:
    text = edited(CONTRACT, "tcp://127.0.0.1:9000", "gpio://17?status=27")
    file = furnish(tmp_path) / "agent.toml"
    file.write_text(edited(text, "tcp://127.0.0.1:9001", "gpio://22?status=23"))
    assert len(load(file).devices) == 2


def test_no_value_of_a_key_that_is_none_is_repeated(tmp_path: Path) -> None:
    """Somebody who writes the password itself into the file does not find it in the log."""
    (line,) = mistakes(tmp_path, edited(CONTRACT, "[mqtt]", '[mqtt]\npassword = "hunter2"'))
    assert line == "mqtt.password: is not a key here; did you mean 'password_file'?"


def test_mistakes_are_told_in_the_order_of_the_file_under_a_heading(tmp_path: Path) -> None:
    text = edited(edited(CONTRACT, "port = 8883", "port = 0"), "cloud-2026.jwk", "a.jwk")
    text = edited(text, 'id = "482913"', 'id = "48"') + "[zzz]\n"
    file = furnish(tmp_path) / "agent.toml"
    file.write_text(edited(text, 'gateway_id = "gw-1"', ""))
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert str(caught.value).splitlines() == [
        f"{file}: 5 mistakes",
        "gateway_id: is missing",
        "mqtt.port: 0 is too small: 1 at least",
        f"trust.keys[0]: {file.parent}/a.jwk cannot be read: No such file or directory",
        "devices[1].id: '48' is no device id: 16 digits for a Fluss+, 6 for an intercom",
        "zzz: is not a key here",
    ]
