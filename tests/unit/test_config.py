"""What a configuration file means, where the files it names are found, and what it is warned of."""

import re
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from agent import exits
from agent.config import Config, load
from agent.config_checks import concerns
from agent.config_drivers import Driver, Gpio, Serial, Tcp
from agent.config_findings import ConfigError
from protocol.vocabulary import Kind
from tests.configurations import CONTRACT, MINIMAL, UNTRUSTING, edited, furnish

SYSTEMD = Path(__file__).parents[2] / "systemd"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return furnish(tmp_path)


def loaded(home: Path, text: str) -> Config:
    file = home / "agent.toml"
    file.write_text(text, encoding="utf-8")
    return load(file)


def complaint(home: Path, text: str) -> str:
    """The words of the one mistake in it."""
    with pytest.raises(ConfigError) as caught:
        loaded(home, text)
    (mistake,) = caught.value.mistakes
    return str(mistake)


def test_load_of_the_contracts_example(home: Path) -> None:
    config = loaded(home, CONTRACT)

    assert (config.gateway_id, config.default_region) == ("gw-1", "ZA")
    assert config.state_dir == home / "state"
    assert (config.mqtt.host, config.mqtt.port, config.mqtt.tls) == ("mqtt.example.net", 8883, True)
    assert (config.mqtt.protocol, config.mqtt.topic_prefix, config.mqtt.username) == ("5", "fluss/v1", "gw-1")
    assert config.mqtt.password_file == home / "mqtt-password"
    assert config.mqtt.ca_file == home / "ca.pem"
    assert (config.mqtt.cert_file, config.mqtt.key_file) == (home / "gw-1.pem", home / "gw-1.key")
    assert (config.lists.incomplete_after_s, config.lists.hold_removals_over) == (600, 0.5)
    assert (config.clock.trust, config.clock.grace_s) == ("auto", 0)
    assert (config.retention.events_days, config.retention.reports_days) == (30, 30)
    gate, panel = config.devices
    assert (gate.id, gate.name, gate.kind) == ("1234567890123456", "Main gate", Kind.FLUSS)
    assert (gate.timezone, gate.max_users) == (ZoneInfo("Africa/Johannesburg"), 5000)
    assert (gate.driver, gate.opens) == (Tcp("127.0.0.1", 9000), None)
    assert (panel.id, panel.kind, panel.opens) == ("482913", Kind.INTERCOM, gate.id)


def test_load_of_the_least_there_can_be(home: Path) -> None:
    config = loaded(home, MINIMAL)

    assert config.default_region == "ZA"
    assert (config.mqtt.tls, config.mqtt.port, config.mqtt.protocol) == (True, 8883, "5")
    assert (config.mqtt.topic_prefix, config.mqtt.username, config.mqtt.password_file) == ("fluss/v1", None, None)
    assert (config.limits.max_part_bytes, config.limits.max_part_items) == (1 << 20, 5000)
    assert (config.lists.incomplete_after_s, config.lists.hold_removals_over) == (600, 0.5)
    assert (config.clock.trust, config.clock.grace_s) == ("auto", 0)
    assert (config.retention.events_days, config.retention.reports_days) == (30, 30)
    (device,) = config.devices
    assert (device.name, device.max_users, device.driver, device.opens) == (device.id, 5000, None, None)


def test_load_makes_nothing(home: Path) -> None:
    (home / "agent.toml").touch()
    before = sorted(home.rglob("*"))
    loaded(home, CONTRACT)
    assert sorted(home.rglob("*")) == before


@pytest.mark.parametrize(
    "host", ["mqtt.example.net", "192.0.2.10", "2001:db8::1", "localhost.example.net", "127.0.0.1.nip.io"]
)
def test_tls_is_on_by_default_for_a_host_elsewhere(home: Path, host: str) -> None:
    mqtt = loaded(home, edited(MINIMAL, "mqtt.example.net", host)).mqtt
    assert (mqtt.host, mqtt.tls, mqtt.port) == (host, True, 8883)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "::1"])
def test_tls_is_off_by_default_for_a_loopback_host(home: Path, host: str) -> None:
    mqtt = loaded(home, edited(MINIMAL, "mqtt.example.net", host)).mqtt
    assert (mqtt.host, mqtt.tls, mqtt.port) == (host, False, 1883)


@pytest.mark.parametrize("host", ["mqtt.example.net", "localhost"])
@pytest.mark.parametrize(
    ("written", "tls", "port"),
    [("tls = false", False, 1883), ("tls = true", True, 8883), ("tls = true\nport = 9", True, 9)],
)
def test_tls_and_port_are_as_written(home: Path, host: str, written: str, tls: bool, port: int) -> None:
    mqtt = loaded(home, edited(MINIMAL, 'host = "mqtt.example.net"', f'host = "{host}"\n{written}')).mqtt
    assert (mqtt.tls, mqtt.port) == (tls, port)


@pytest.mark.parametrize(
    ("written", "driver"),
    [
        ("tcp://127.0.0.1:9000", Tcp("127.0.0.1", 9000)),
        ("tcp://gate.local:1", Tcp("gate.local", 1)),
        ("tcp://[::1]:65535", Tcp("::1", 65535)),
        ("serial:///dev/ttyUSB0", Serial("/dev/ttyUSB0", 115_200)),
        ("serial:///dev/serial/by-id/usb-1?baud=9600", Serial("/dev/serial/by-id/usb-1", 9600)),
        ("gpio://17", Gpio(17, 500)),
        ("gpio://0?pulse_ms=800", Gpio(0, 800)),
        ("gpio://17?status=27", Gpio(17, 500, 27, open_high=True)),
        ("gpio://17?open=low&status=0&pulse_ms=50", Gpio(17, 50, 0, open_high=False)),
        ("none", None),
    ],
)
def test_driver_means_the_same_when_written_again(home: Path, written: str, driver: Driver) -> None:
    (device,) = loaded(home, f'{MINIMAL}driver = "{written}"').devices
    assert device.driver == driver
    (again,) = loaded(home, f'{MINIMAL}driver = "{device.driver or "none"}"').devices
    assert again.driver == driver


def test_two_devices_may_have_no_driver(home: Path) -> None:
    text = CONTRACT.replace("tcp://127.0.0.1:9000", "none").replace("tcp://127.0.0.1:9001", "none")
    assert [device.driver for device in loaded(home, text).devices] == [None, None]


def test_file_beside_a_configuration_named_relatively(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "agent.toml").write_text(CONTRACT)
    monkeypatch.chdir(home.parent)
    config = load(Path(home.name) / "agent.toml")
    assert config.mqtt.ca_file == home / "ca.pem"
    assert config.state_dir == home / "state"


def test_credential_goes_before_the_file_beside(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    credentials = home / "credentials"
    credentials.mkdir()
    (credentials / "mqtt-password").write_text("from the unit")
    (credentials / "gw-1.key").write_text("\n")  # the unit's default: nothing was provided
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))

    mqtt = loaded(home, CONTRACT).mqtt

    assert mqtt.password_file == credentials / "mqtt-password"
    assert mqtt.key_file == home / "gw-1.key"
    assert mqtt.cert_file == home / "gw-1.pem"


def test_credential_is_not_looked_for_under_a_path(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(home / "credentials"))
    for directory in ("credentials", "."):
        (home / directory / "sub").mkdir(parents=True)
        (home / directory / "sub" / "ca.pem").write_text("content")
    assert loaded(home, edited(CONTRACT, '"ca.pem"', '"sub/ca.pem"')).mqtt.ca_file == home / "sub" / "ca.pem"


def test_file_that_is_empty_or_broken(home: Path) -> None:
    (home / "empty").touch()
    (home / "loop").symlink_to("loop")
    assert complaint(home, edited(CONTRACT, '"ca.pem"', '"empty"')) == f"mqtt.ca_file: {home}/empty is empty"
    assert complaint(home, edited(CONTRACT, '"ca.pem"', '"loop"')) == (
        f"mqtt.ca_file: {home}/loop cannot be read: Too many levels of symbolic links"
    )


def keys_of_concern(config: Config) -> list[str]:
    return [concern.key for concern in concerns(config)]


def test_concerns_are_told_of_unsigned_batches(home: Path) -> None:
    assert keys_of_concern(loaded(home, CONTRACT)) == []
    assert keys_of_concern(loaded(home, UNTRUSTING)) == ["trust.keys"]


def test_concerns_are_told_of_an_intercom_without_a_gate(home: Path) -> None:
    text = edited(CONTRACT, 'opens = "1234567890123456"', "")
    assert keys_of_concern(loaded(home, text)) == ["devices[1].opens"]


@pytest.mark.parametrize(("host", "concerned"), [("mqtt.example.net", True), ("127.0.0.1", False)])
def test_concerns_are_told_of_tls_switched_off_on_a_network(home: Path, host: str, concerned: bool) -> None:
    text = edited(MINIMAL, 'host = "mqtt.example.net"', f'host = "{host}"\ntls = false')
    assert ("mqtt.tls" in keys_of_concern(loaded(home, text))) is concerned


@pytest.fixture
def example(home: Path) -> str:
    """The example that is shipped, with its files beside it and its state where anyone may write."""
    for name in ("mqtt.pem", "mqtt.key"):
        (home / name).write_text("content")
    return edited((SYSTEMD / "agent.example.toml").read_text(encoding="utf-8"), "/var/lib/fluss-agent", "state")


def test_example_is_mutual_tls(home: Path, example: str) -> None:
    mqtt = loaded(home, example).mqtt
    assert mqtt.tls
    assert (mqtt.ca_file, mqtt.cert_file, mqtt.key_file) == (home / "ca.pem", home / "mqtt.pem", home / "mqtt.key")


def test_example_shows_the_true_defaults(home: Path, example: str) -> None:
    """What stands commented out changes nothing when it is written, and no key is left unmentioned."""
    defaults = re.sub(r"^# (?!username|password_file|key_file|codes_e)(\w+ = )", r"\1", example, flags=re.MULTILINE)
    assert defaults.count("\n# ") < example.count("\n# ")
    assert loaded(home, defaults) == loaded(home, example)
    config = loaded(home, example)
    tables = [config, config.mqtt, config.trust, config.lists, config.limits, config.clock, config.store]
    tables.append(config.retention)
    for table in [*tables, config.devices[1]]:
        for key in set(type(table).model_fields) - {
            "mqtt",
            "trust",
            "lists",
            "limits",
            "clock",
            "store",
            "retention",
            "devices",
        }:
            assert re.search(rf"^(# )?{key} = ", example, re.MULTILINE), key


def test_unit_agrees_with_the_program(example: str) -> None:
    unit = (SYSTEMD / "fluss-agent.service").read_text(encoding="utf-8")
    assert f"RestartPreventExitStatus={exits.CONFIG}\n" in unit
    for secret in re.findall(r'^(?:# )?(?:key|password)_file = "(.+)"', example, re.MULTILINE):
        assert f"LoadCredential={secret}:/etc/fluss-agent/{secret}\n" in unit
        assert f"SetCredential={secret}:\\n\n" in unit
