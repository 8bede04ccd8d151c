"""JSON into other JSON: what a fuzzer that only knows bytes would take for ever to come upon."""

import copy
import json
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any, Final

_MOST_PLACES: Final = 2_000
_ODD: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 1, 0.5, -0.0, 1e308, 2**31, 2**53, 2**63, 2**64, 10**400, 253_402_300_800_000,
    "", " ", "\0", "\ud800", "\u202e", "e\u0301", "\U0001f6aa" * 200, "+27824511234", "8.2E+10", "24:00", [], {}, [[]],
)  # fmt: skip
_TIMES: Final = (2, 40, 500)
_DEPTHS: Final = (1, 30, 130, 1_100)

_Place = tuple[dict[str, Any] | list[Any], Any]
"""What holds a value, and under which key or number."""


def mutated(data: bytes, rng: Random, words: Sequence[str]) -> bytes | None:
    """The data with one thing changed in one of its lines of JSON, `words` among it; None where it has no such line."""
    lines = data.split(b"\n")
    number = rng.randrange(len(lines))
    try:
        document = json.loads(lines[number])
        _change(holder := [document], rng, words)
        lines[number] = json.dumps(holder[0], ensure_ascii=rng.random() < 0.5).encode(errors="surrogatepass")
    except (ValueError, RecursionError):  # no JSON, or too deep for Python's own reader
        return None
    return b"\n".join(lines)


def _change(holder: list[Any], rng: Random, words: Sequence[str]) -> None:
    places = list(_places(holder))
    inside, key = rng.choice(places)
    value = inside[key]
    match rng.randrange(8):
        case 0 | 1:
            inside[key] = rng.choice(_ODD)
        case 2:
            inside[key] = rng.choice(words)
        case 3 if inside is not holder:
            del inside[key]
        case 4 if isinstance(inside, dict):
            inside[rng.choice(words)] = copy.deepcopy(value)
        case 5 if isinstance(value, list | str):
            inside[key] = value * rng.choice(_TIMES)
        case 6:
            for _ in range(rng.choice(_DEPTHS)):
                value = [value] if rng.random() < 0.9 else {rng.choice(words): value}
            inside[key] = value
        case _:
            elsewhere, other = rng.choice(places)
            inside[key] = copy.deepcopy(elsewhere[other])


def _places(holder: list[Any]) -> Iterator[_Place]:
    """Where the values of a document are, the document's own place first."""
    waiting: list[dict[str, Any] | list[Any]] = [holder]
    found = 0
    while waiting and found < _MOST_PLACES:
        inside = waiting.pop()
        for key, value in inside.items() if isinstance(inside, dict) else enumerate(inside):
            found += 1
            yield inside, key
            if isinstance(value, dict | list):
                waiting.append(value)
