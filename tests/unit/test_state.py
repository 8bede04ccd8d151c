"""The state document as a gateway reads it back."""

import pytest

from protocol.state import session_of


@pytest.mark.parametrize(
    ("payload", "found"),
    [
        (b'{"session": "s-1", "online": true}', ("s-1", True)),
        (b'{"session": "s-1", "online": false}', ("s-1", False)),
        (b'{"session": "s-1", "online": 1}', ("s-1", False)),
        (b'{"session": ["s-1"], "online": true}', (None, True)),
        (b'{"session": false}', (None, False)),
        (b'["s-1"]', (None, False)),
        (b"not JSON", (None, False)),
        (b"", (None, False)),
    ],
)
def test_session_is_a_text_or_none_whatever_somebody_wrote(payload: bytes, found: tuple[str | None, bool]) -> None:
    assert session_of(payload) == found
