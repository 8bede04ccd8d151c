"""What the log says of an error that nobody expected: what it is and where, never what was in hand.

Python repeats in an error's words what it stumbled over: a key, a text that is no number, a whole invalid document. So
the words are kept only of errors that speak of the program or of the board; of all others the kind and the place are.
"""

import traceback
from collections.abc import Iterator
from typing import Final

from agent.masking import masked

_FRANK: Final = (
    OSError,
    TypeError,
    AttributeError,
    NameError,
    ImportError,
    AssertionError,
    MemoryError,
    RuntimeError,
)
"""They name types, attributes, modules and files."""

_FRANK_PACKAGES: Final = frozenset({"agent", "storage", "sqlite3"})
"""Errors of `protocol` answer a sender, and may repeat what was sent. SQLite names tables: values are bound."""

_WITHHELD: Final = "(its words are withheld: they may name a person)"
_MOST: Final = 16
_FRAMES: Final = 40
_CAUSED: Final = "\nThe above exception was the direct cause of the following exception:\n\n"
_DURING: Final = "\nDuring handling of the above exception, another exception occurred:\n\n"


def told(error: BaseException) -> str:
    """The traceback of an error with its causes, in Python's own form; no variables, and no words that repeat data."""
    return masked("".join(_lines(error, set()))).rstrip("\n")


def _lines(error: BaseException, seen: set[int]) -> Iterator[str]:
    if id(error) in seen or len(seen) >= _MOST:
        yield "…\n"
        return
    seen.add(id(error))
    if error.__cause__ is not None:
        yield from _lines(error.__cause__, seen)
        yield _CAUSED
    elif error.__context__ is not None and not error.__suppress_context__:
        yield from _lines(error.__context__, seen)
        yield _DURING
    if error.__traceback__ is not None:
        yield "Traceback (most recent call last):\n"
        yield from traceback.format_tb(error.__traceback__, limit=-_FRAMES)
    words = _words(error)
    yield f"{_kind(error)}: {words}\n" if words else f"{_kind(error)}\n"
    if isinstance(error, BaseExceptionGroup):
        for number, each in enumerate(error.exceptions, 1):
            yield f"  +---------------- {number} ----------------\n"
            yield from ("  | " + line + "\n" for part in _lines(each, seen) for line in part.splitlines())


def _kind(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _words(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return f"{len(error.exceptions)} errors"
    if isinstance(error, _FRANK) or type(error).__module__.partition(".")[0] in _FRANK_PACKAGES:
        return str(error).partition("<")[0]  # in angle brackets Python shows an object, with all that it holds
    return _WITHHELD if error.args else ""
