"""The state document as a gateway reads it back."""

import pytest

from protocol.state import Said, said_in


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b'{"session": "s-1", "online": true}', Said("s-1", online=True)),
        (b'{"session": "s-1", "online": false}', Said("s-1")),
        (b'{"session": "s-1", "online": 1}', Said("s-1")),
        (b'{"session": ["s-1"], "online": true}', Said(online=True)),
        (b'{"session": false}', Said()),
        (
            b'{"epoch": "k3f9", "reports": {"newest": 7}, "events": {"newest": 2}}',
            Said(epoch="k3f9", reports=7, events=2),
        ),
        (b'{"epoch": 5, "reports": {"newest": true}, "events": {"newest": -1}}', Said()),
        (b'{"reports": [7], "events": {"newest": 9007199254740993}}', Said()),
        (b'["s-1"]', Said()),
        (b"not JSON", Said()),
        (b"", Said()),
    ],
)
def test_what_is_said_is_text_and_numbers_or_nothing_whatever_somebody_wrote(payload: bytes, said: Said) -> None:
    assert said_in(payload) == said
