"""The access log on the wire, to the byte."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.events import Event, event_payload
from protocol.messages import EventMessage
from protocol.vocabulary import Action, Channel, ClockState, Denial

GATE, PANEL = "1234567890123456", "482913"
OPENED = Event(
    at=1795300001234,
    device_id=GATE,
    request="r-1",
    mobile=27824511234,
    name="Zoë Botha",
    channel=Channel.BLUETOOTH,
    action=Action.TRIGGER,
    reason=None,
    note='the "big" gate',
    clock=ClockState.SYNCED,
    opened=None,
    actuated=True,
    error=None,
    intent=7,
)
DENIED = replace(
    OPENED,
    mobile=None,
    name=None,
    action=Action.OPEN,
    reason=Denial.UNKNOWN_USER,
    note=None,
    actuated=None,
    intent=None,
)
STALLED = replace(OPENED, device_id=PANEL, channel=Channel.KEYPAD, opened=GATE, actuated=False, error="motor stalled")
HEAD = '{"gatewayId":"gw-1","epoch":"k3f9","eventId":8811,"at":1795300001234,'
WIRE = {
    HEAD + '"deviceId":"1234567890123456","mobile":"+27824511234","userName":"Zoë Botha","channel":"bluetooth",'
    '"action":"trigger","decision":"allowed","reason":null,"note":"the \\"big\\" gate","clock":"synced",'
    '"openedDeviceId":null,"actuated":true,"error":null}': OPENED,
    HEAD + '"deviceId":"1234567890123456","mobile":null,"userName":null,"channel":"bluetooth",'
    '"action":"open","decision":"denied","reason":"unknown_user","note":null,"clock":"synced",'
    '"openedDeviceId":null,"actuated":null,"error":null}': DENIED,
    HEAD + '"deviceId":"482913","mobile":"+27824511234","userName":"Zoë Botha","channel":"keypad",'
    '"action":"trigger","decision":"allowed","reason":null,"note":"the \\"big\\" gate","clock":"synced",'
    '"openedDeviceId":"1234567890123456","actuated":false,"error":"motor stalled"}': STALLED,
}
happenings = st.builds(
    Event,
    at=st.integers(0, 1 << 53),
    device_id=st.sampled_from([GATE, PANEL]),
    request=st.text(max_size=64),
    mobile=st.none() | st.integers(10, 10**15 - 1),
    name=st.none() | st.text(max_size=100),
    channel=st.sampled_from(Channel),
    action=st.sampled_from(Action),
    reason=st.none() | st.sampled_from(Denial),
    note=st.none() | st.text(max_size=400),
    clock=st.sampled_from(ClockState),
    opened=st.none() | st.just(GATE),
    actuated=st.none() | st.booleans(),
    error=st.none() | st.text(max_size=200),
    intent=st.none() | st.integers(1, 1 << 53),
    erased=st.booleans(),
)


@pytest.mark.parametrize(("wire", "event"), WIRE.items())
def test_event_is_written_like_this(wire: str, event: Event) -> None:
    assert event_payload("gw-1", "k3f9", 8811, event).decode() == wire


@given(happenings)
def test_event_is_written_as_the_model_says(event: Event) -> None:
    """No field is missing, none is left over; what stays on the board (request, intent) is not among them."""
    payload = event_payload("gw-1", "k3f9", 1, event)
    read = EventMessage.model_validate_json(payload)
    assert json.loads(read.model_dump_json(by_alias=True, exclude_unset=True)) == json.loads(payload)
    assert (read.reason, read.decision == "denied") == (event.reason, event.reason is not None)
    assert event_payload("gw-1", "k3f9", 1, replace(event, request="another", intent=99)) == payload
