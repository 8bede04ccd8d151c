"""How deep a text goes: exactly, whatever its strings hold, and in a time that no sender can stretch."""

import json
import time

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.nesting import depth

NASTY = st.text(st.sampled_from('[]{}"\\ a,:\n'), max_size=12)
VALUES = st.recursive(
    st.none() | st.integers() | NASTY,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NASTY, inner, max_size=3),
    max_leaves=30,
)


def levels(value: object) -> int:
    """The depth of what a text says."""
    if isinstance(value, dict):
        return 1 + max(map(levels, value.values()), default=0)
    return 1 + max(map(levels, value), default=0) if isinstance(value, list) else 0


def reached(text: bytes) -> int:
    """How deep a reader is at most who goes through a text by bytes, until a backslash where none can be."""
    deepest = now = 0
    quoted = escaped = False
    for byte in text:
        if quoted:
            quoted = escaped or byte != ord('"')
            escaped = not escaped and byte == ord("\\")
        elif byte == ord("\\"):
            break
        else:
            quoted = byte == ord('"')
            now += (byte in b"[{") - (byte in b"]}")
            deepest = max(deepest, now)
    return deepest


@given(VALUES, st.sampled_from([None, 1]), st.booleans())
def test_depth_of_json_is_that_of_its_value(value: object, indent: int | None, ascii_only: bool) -> None:
    assert depth(json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode()) == levels(value)


@given(st.lists(st.sampled_from([b"[", b"]", b"{", b"}", b'"', b"\\", b"a", b"\xff"]), max_size=40).map(b"".join))
def test_depth_of_anything_is_at_least_what_a_parser_reaches(text: bytes) -> None:
    assert depth(text) >= reached(text)
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return
    assert depth(text) == levels(value)


@pytest.mark.parametrize(
    ("text", "deep"),
    [
        (b"", 0),
        (b"7", 0),
        (b"[]", 1),
        (b"{}{}[]", 1),
        (b'{"a":[{}]}', 3),
        (b'["[[[["]', 1),
        (b'["]]]]",[[]]]', 3),
        (b'["\\"[[[["]', 1),
        (b'["\\\\",["\\\\\\"",[]]]', 3),
        (b'["a","",["b"]]', 2),
        (bytes({*range(256)} - {*b'[{]}"\\'}), 0),
        (b"]]]][[", 0),
        (b"]]]][[[[[[", 2),
        (b'["unended [[[[', 1),
    ],
)
def test_depth_of_texts_that_want_to_be_misread(text: bytes, deep: int) -> None:
    assert depth(text) == deep


@pytest.mark.parametrize(
    "piece", [b"[", b"[]", b'"', b'\\"', b"\\\\", b'"]"[]', b'"\\"', b'""[]'], ids=lambda piece: piece.decode()
)
def test_depth_of_a_mebibyte_takes_no_time(piece: bytes) -> None:
    """20 to 40 ms on a desktop; whatever is not linear would take minutes."""
    text = b'"'[: len(piece) % 2] + piece * ((1 << 20) // len(piece))
    before = time.process_time()
    depth(text)
    assert time.process_time() - before < 1.0
