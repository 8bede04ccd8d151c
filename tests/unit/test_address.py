"""A broker's address as people type it."""

from pathlib import Path

import pytest

from simulator.address import Address, AddressError, Tls, parse_address


def parsed(url: str, tls: Tls | None = None) -> Address:
    return parse_address(url, tls or Tls(), protocol="5", prefix="fluss/v1")


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("mqtt://broker", Address("broker", 1883)),
        ("mqtt://broker:1884/", Address("broker", 1884)),
        ("mqtts://broker", Address("broker", 8883, Tls())),
        ("mqtt://office@broker", Address("broker", 1883, username="office")),
        ("mqtts://office:p%40ss%3A@broker", Address("broker", 8883, Tls(), "office", "p@ss:")),
        ("mqtt://[::1]:1885", Address("::1", 1885)),
        ("MQTT://broker", Address("broker", 1883)),
    ],
)
def test_address_is_read(url: str, address: Address) -> None:
    assert parsed(url) == address


@pytest.mark.parametrize(
    "url",
    ["broker", "broker:1883", "http://broker", "mqtt://", "mqtt://b:99999", "mqtt://b/x", "mqtt://b?x", "mqtt://[b"],
)
def test_what_is_no_address_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(AddressError, match="write it as mqtt://host:1883, or mqtts://user:password@host:8883"):
        parsed(url)


def test_no_error_and_no_repr_shows_the_password() -> None:
    with pytest.raises(AddressError) as refused:
        parsed("ftp://office:secret@broker")
    assert "secret" not in str(refused.value)
    assert "office" in str(refused.value)
    assert "secret" not in repr(parsed("mqtt://office:secret@broker"))


def test_files_are_for_tls_alone() -> None:
    files = Tls(ca_file=Path("ca.pem"))
    assert parsed("mqtts://broker", files).tls == files
    with pytest.raises(AddressError, match="write the broker as mqtts://"):
        parsed("mqtt://broker", files)


def test_place_of_an_ipv6_address_keeps_its_brackets() -> None:
    assert Address("::1", 1883).place == "[::1]:1883"
    assert Address("broker", 1883).place == "broker:1883"
