"""The configuration file as TOML: bytes on disk to plain tables."""

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from agent.config_findings import ConfigError, Finding

_MAX_BYTES = 1 << 20
_POSITION = re.compile(r" \(at (line \d+, column \d+|end of document)\)$")


Reads: TypeAlias = Callable[[Path, int], bytes]
"""Gives what a file holds, at most so many bytes and one more; raises OSError."""


def content(path: Path, most: int) -> bytes:
    """What a file holds, at most `most` bytes and one more, which tells that there are too many; raises OSError."""
    with path.open("rb") as file:
        return file.read(most + 1)


def read(path: Path, reads: Reads = content) -> dict[str, Any]:
    """The tables of a TOML file; a byte order mark is forgiven.

    Raises ConfigError, with line and column where the file is not TOML.
    """
    try:
        return tomllib.loads(_text(path, reads))
    except tomllib.TOMLDecodeError as error:
        words = str(error)
        position = _POSITION.search(words)
        raise _unreadable(path, f"{position[1]}: {words[: position.start()]}" if position else words) from error
    except RecursionError as error:
        raise _unreadable(path, "lists or tables are nested too deeply") from error
    except ValueError as error:  # Python bounds the digits it converts, and tomllib lets that through
        raise _unreadable(path, "a number in it has too many digits") from error


def _text(path: Path, reads: Reads) -> str:
    try:
        said = reads(path, _MAX_BYTES)
    except FileNotFoundError as error:
        raise _unreadable(path, "there is no such file; --config names yours") from error
    except IsADirectoryError as error:
        raise _unreadable(path, "this is a directory; --config names the file in it") from error
    except OSError as error:
        raise _unreadable(path, f"cannot be read: {error.strerror}") from error
    except ValueError as error:  # a NUL in the path
        raise _unreadable(path, "is no path") from error
    if len(said) > _MAX_BYTES:
        raise _unreadable(path, "is larger than 1 MiB: not a configuration file")
    try:
        return said.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = said.count(b"\n", 0, error.start) + 1
        raise _unreadable(path, f"line {line}: not UTF-8; save the file as UTF-8 text") from error


def _unreadable(path: Path, message: str) -> ConfigError:
    return ConfigError(path, [Finding((), message)])
