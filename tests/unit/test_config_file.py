"""A configuration file that is no configuration: what it is instead, and where."""

from pathlib import Path

import pytest

from agent.config import load
from agent.config_findings import ConfigError
from tests.configurations import CONTRACT, furnish


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"gateway_id = \n", "line 1, column 14: Invalid value"),
        (b"\n\n[mqtt\n", "line 3, column 6: Expected ']' at the end of a table declaration"),
        (b'a = "', "end of document: Unterminated string"),
        (b"a = 1\na = 2\n", "line 2, column 6: Cannot overwrite a value"),
        (b"a = 1\nb = 'caf\xe9'\n", "line 2: not UTF-8; save the file as UTF-8 text"),
        ("a = 1\n".encode("utf-16"), "line 1: not UTF-8; save the file as UTF-8 text"),
        (b"a = " + b"[" * 20_000, "lists or tables are nested too deeply"),
        (b"a = " + b"9" * 5_000, "a number in it has too many digits"),
        (b"#" * (1 << 20) + b"\n", "is larger than 1 MiB: not a configuration file"),
    ],
)
def test_file_that_is_not_toml(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "agent.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert str(caught.value) == f"{file}: {message}"


def test_file_as_windows_writes_it(tmp_path: Path) -> None:
    file = furnish(tmp_path) / "agent.toml"
    file.write_bytes(b"\xef\xbb\xbf" + CONTRACT.replace("\n", "\r\n").encode())
    assert load(file).gateway_id == "gw-1"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no.toml", "there is no such file; --config names yours"),
        (".", "this is a directory; --config names the file in it"),
        ("ca.pem/agent.toml", "cannot be read: Not a directory"),
        ("x" * 300, "cannot be read: File name too long"),
        ("a\0b", "is no path"),
    ],
)
def test_file_that_cannot_be_read(tmp_path: Path, name: str, message: str) -> None:
    file = furnish(tmp_path) / name
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert str(caught.value) == f"{file}: {message}"


def test_file_without_an_end_is_not_read_to_its_end() -> None:
    with pytest.raises(ConfigError, match=r"^/dev/zero: is larger than 1 MiB"):
        load(Path("/dev/zero"))
