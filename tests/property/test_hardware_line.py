"""However a stream of bytes is torn apart, and whatever lies between its lines: the same messages come out."""

from hypothesis import given
from hypothesis import strategies as st

from protocol.hardware import MAX_LINE, Accepted, Asked, Did, FromHardware, Garbled, Hello, Lines, Stands, heard
from protocol.vocabulary import Action, Channel, Direction, Kind, Position

IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64)
WORDS = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=64)

MESSAGES: st.SearchStrategy[FromHardware] = st.one_of(
    st.builds(Hello, device_id=IDS, kind=st.sampled_from(Kind), firmware=WORDS, sensor=st.booleans()),
    st.builds(
        Asked,
        request_id=IDS,
        device_id=st.none() | IDS,
        mobile=st.none() | st.text("+0123456789", max_size=32),
        code=st.none() | st.text("0123456789", max_size=16),
        channel=st.sampled_from([channel for channel in Channel if channel is not Channel.LOCAL]),
        action=st.sampled_from(Action),
        direction=st.none() | st.sampled_from(Direction),
        unit=st.none() | IDS,
        note=WORDS,
        age_ms=st.integers(0, 2**53 - 1),
    ),
    st.builds(Accepted, mobile=st.text("+0123456789", max_size=32)),
    st.builds(Stands, value=st.sampled_from(Position)),
    st.builds(Did, request_id=IDS, ok=st.booleans(), error=WORDS),
)

GARBAGE = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([b"{}", b"[]", b'{"type":"hello"}', b"\r", b"", b"null", b'"', b"x" * MAX_LINE, b"{" * 9_000]),
).map(lambda noise: noise.replace(b"\n", b"?") + b"\n")


@st.composite
def torn(draw: st.DrawFn, stream: bytes) -> list[bytes]:
    """The stream in pieces."""
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    return [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]


def said(pieces: list[bytes]) -> list[FromHardware]:
    """What is heard of it; unreadable lines are passed over."""
    lines, messages = Lines(), []
    for piece in pieces:
        for line in lines.cut(piece):
            try:
                messages += [heard(line)] if line is not None else []
            except Garbled:
                continue
    return messages


@given(messages=st.lists(MESSAGES, max_size=6), data=st.data())
def test_message_is_heard_however_the_stream_is_torn(messages: list[FromHardware], data: st.DataObject) -> None:
    stream = b"".join(message.line() for message in messages)
    assert said(data.draw(torn(stream))) == messages


@given(messages=st.lists(MESSAGES, max_size=6), data=st.data())
def test_no_message_is_lost_to_garbage_between(messages: list[FromHardware], data: st.DataObject) -> None:
    noise = data.draw(st.lists(st.lists(GARBAGE, max_size=2), min_size=len(messages) + 1, max_size=len(messages) + 1))
    parts = [b"".join(noise[0])]
    for message, between in zip(messages, noise[1:], strict=True):
        parts += [message.line(), *between]
    assert said(data.draw(torn(b"".join(parts)))) == messages


@given(stream=st.lists(st.binary(max_size=40) | GARBAGE, max_size=8).map(b"".join), data=st.data())
def test_lines_are_the_same_however_the_stream_is_torn(stream: bytes, data: st.DataObject) -> None:
    lines = Lines()
    cut = [line for piece in data.draw(torn(stream)) for line in lines.cut(piece)]
    assert cut == [
        line if len(line) < MAX_LINE else None
        for line in stream.split(b"\n")[:-1]
        if line.strip() or len(line) >= MAX_LINE
    ]
