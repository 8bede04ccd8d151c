"""The access log: what happened at a gate, as a value and as the wire carries it."""

from dataclasses import dataclass

import orjson

from protocol.vocabulary import Action, Channel, ClockState, Decision, Denial


@dataclass(frozen=True, slots=True)
class Event:
    """One request at a gate and its end; times are epoch milliseconds, the mobile is E.164 digits."""

    at: int
    """When it was decided."""
    device_id: str
    """Where it was asked."""
    request: str
    mobile: int | None
    """None where nobody usable was named."""
    name: str | None
    channel: Channel
    action: Action
    reason: Denial | None
    """None: allowed."""
    note: str | None
    clock: ClockState
    opened: str | None
    """The Fluss+ that was moved, where it is another device."""
    actuated: bool | None
    """None: denied, or nobody knows."""
    error: str | None
    """Why the hardware did not move."""
    intent: int | None = None
    """The number of the synced intent that this is the end of."""
    erased: bool = False
    """Whether somebody was named here who was erased since."""


def event_payload(gateway_id: str, epoch: str, number: int, event: Event) -> bytes:
    """One `events` message: the same bytes every time, until somebody in it is erased."""
    document = {
        "gatewayId": gateway_id,
        "epoch": epoch,
        "eventId": number,
        "at": event.at,
        "deviceId": event.device_id,
        "mobile": None if event.mobile is None else f"+{event.mobile}",
        "userName": event.name,
        "channel": event.channel,
        "action": event.action,
        "decision": Decision.ALLOWED if event.reason is None else Decision.DENIED,
        "reason": event.reason,
        "note": event.note,
        "clock": event.clock,
        "openedDeviceId": event.opened,
        "actuated": event.actuated,
        "error": event.error,
    }
    return orjson.dumps(document | {"erased": True} if event.erased else document)
