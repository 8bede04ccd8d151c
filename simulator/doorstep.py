"""The demonstration's ending: people come to the gate, and it opens for the right ones, with and without a broker."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from rich.text import Text

from protocol.invites import Invitee
from protocol.terms import DAYS
from protocol.vocabulary import Action, Channel, Command, Decision, Denial, Permission
from protocol.vocabulary import Reply as Answer
from simulator import exits
from simulator.cloud import Cloud, wall_ms
from simulator.exits import Failure
from simulator.happening import What
from simulator.site import Site
from simulator.witness import Seen

GATE, PANEL = "1234567890123456", "482913"
ZONE: Final = ZoneInfo("Africa/Johannesburg")

RESIDENT, INVITED, AT_THE_PANEL, FROM_AFAR = "+27820000101", "+27740000120", "+27710000103", "+27720000104"
"""Residents of the list that is imported before: the first, one who has not accepted yet, and two more."""

STRANGER: Final = "+27739990000"
CLEANER_NOW, CLEANER_LATER = "+27820000201", "+27820000202"
GUEST_NOW, GUEST_TOMORROW = "+27820000203", "+27820000204"
NOT_FROM_AFAR: Final = "+27820000205"
COURIER: Final = "+27820000206"

_WAYS: Final = {
    Channel.BLUETOOTH: "Bluetooth",
    Channel.WIFI: "Wi-Fi",
    Channel.INTERCOM: "intercom",
    Channel.KEYPAD: "keypad",
}
_GOOD_FOR_MS: Final = 30_000
_PATIENCE_S: Final = 10.0
_LOOK_S: Final = 0.005


class DemoFailed(Failure):
    """What was shown is not what should have happened."""

    exit_code = exits.BUG


@dataclass(frozen=True, slots=True)
class Visit:
    """Somebody who comes, what they are, and the reason that should keep them outside (None: none does)."""

    name: str
    what: str
    mobile: str | None
    why_not: Denial | None = None
    device_id: str = GATE
    channel: Channel = Channel.BLUETOOTH
    code: str | None = None


def early_visits() -> list[Visit]:
    """Who comes before anybody has accepted at the gate."""
    return [
        Visit("David Mokoena", "resident", RESIDENT),
        Visit("Zanele Sithole", "not accepted yet", INVITED, Denial.NOT_ACCEPTED),
    ]


def visits() -> list[Visit]:
    """Who comes with a broker and without one."""
    return [
        Visit("Zanele Sithole", "accepted just now", INVITED),
        Visit("A stranger", "unknown number", STRANGER, Denial.UNKNOWN_USER),
        Visit("Maria Tshabalala", "cleaner, too early", CLEANER_LATER, Denial.OUTSIDE_SCHEDULE),
        Visit("Gladys Mahlangu", "cleaner, in time", CLEANER_NOW),
        Visit("Riaan Venter", "visitor of tomorrow", GUEST_TOMORROW, Denial.NOT_YET_VALID),
        Visit("Anika Steyn", "visitor of today", GUEST_NOW),
    ]


def visits_from_afar() -> list[Visit]:
    """Who asks over the cloud."""
    return [
        Visit("Elmarie Brand", "at the gate only", NOT_FROM_AFAR, Denial.WIFI_NOT_ALLOWED, channel=Channel.WIFI),
        Visit("Sipho Khumalo", "resident", FROM_AFAR, channel=Channel.WIFI),
    ]


def visits_at_the_panel(code: str) -> list[Visit]:
    """Who comes to the intercom: a resident, and a courier whose code is good for once in and once out."""

    def courier(how: str, why_not: Denial | None = None) -> Visit:
        return Visit("Bheki, courier", how, COURIER, why_not, PANEL, Channel.KEYPAD, code)

    return [
        Visit("Thandeka Zulu", "resident", AT_THE_PANEL, None, PANEL, Channel.INTERCOM),
        courier("code, way in"),
        courier("code, way out"),
        courier("code, once more", Denial.CODE_SPENT),
    ]


class Doorstep:
    """Where people come, with a gate that must move for the right ones alone."""

    def __init__(self, site: Site, cloud: Cloud) -> None:
        self.seen: list[Seen] = []
        """What became of everybody, in order."""
        self._site = site
        self._cloud = cloud

    async def receive(self, visit: Visit) -> list[str | Text]:
        """Let them ask: a row of the table, with the reason as the wire has it. Raises DemoFailed for another end."""
        moves = self._moves()
        decision, reason = await (self._order(visit) if visit.channel is Channel.WIFI else self._ask(visit))
        should = Decision.DENIED if visit.why_not else Decision.ALLOWED
        if (decision, reason) != (should, visit.why_not):
            raise DemoFailed(f"{visit.name} should have been {should}, and was {decision or 'unanswered'}: {reason}")
        mobile = None if visit.code else visit.mobile
        self.seen.append(Seen(None, visit.device_id, mobile, visit.channel, Action.TRIGGER, decision, reason))
        await self._gate_moves(visit, moves + (visit.why_not is None))
        style = "green" if decision == Decision.ALLOWED else "red"
        return [
            visit.name,
            visit.what,
            _WAYS[visit.channel],
            Text(should, style=style),
            reason or "",
        ]

    async def _ask(self, visit: Visit) -> tuple[str | None, str | None]:
        device = self._site.devices[visit.device_id]
        mobile = None if visit.code else visit.mobile
        answer = await device.ask(mobile, code=visit.code, channel=visit.channel)
        return answer.decision, answer.reason

    async def _order(self, visit: Visit) -> tuple[str | None, str | None]:
        fields = {"deviceId": visit.device_id, "mobile": visit.mobile, "expiresAt": wall_ms() + _GOOD_FOR_MS}
        reply = await self._cloud.command(Command.TRIGGER, within_s=_PATIENCE_S, **fields)
        if reply is None or reply.outcome == Answer.DONE:
            return (None if reply is None else Decision.ALLOWED), None
        return Decision.DENIED, reply.error.code if reply.error else None

    def _moves(self) -> int:
        """How often the gateway has had the gate moved."""
        return sum(each.what is What.MOVED and each.request_id is not None for each in self._site.devices[GATE].history)

    async def _gate_moves(self, visit: Visit, times: int) -> None:
        """A panel is answered before its gate moves, so that is waited for; whoever comes next finds it closed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_S):
                while self._moves() < times:  # noqa: ASYNC110 -- a gate rings no bell
                    await asyncio.sleep(_LOOK_S)
        if self._moves() != times:
            raise DemoFailed(f"{visit.name}: the gate moved {self._moves()} times by now, not {times}")
        await self._site.close_gates()


def hours_around(now: datetime) -> list[dict[str, Any]]:
    """A weekly window that has been open for two hours and stays open for two more."""
    return _window(now - timedelta(hours=2), now + timedelta(hours=2))


def hours_later(now: datetime) -> list[dict[str, Any]]:
    """A weekly window that opens in three hours, and was closed for as long at least."""
    return _window(now + timedelta(hours=3), now + timedelta(hours=6))


def guests(now: datetime) -> list[Invitee]:
    """Those who are no residents, each with an offer of their own; `now` is on the wall of the gate's zone."""
    repeat, temporary = Permission.REPEAT, Permission.TEMPORARY
    soon, long_ago = now + timedelta(hours=2), now - timedelta(minutes=30)
    morning = datetime.combine(now.date() + timedelta(days=1), time(9), now.tzinfo)
    evening = morning.replace(hour=17)
    people = [
        Invitee(userName="Gladys Mahlangu", mobile=CLEANER_NOW, permission=repeat, schedule=hours_around(now)),
        Invitee(userName="Maria Tshabalala", mobile=CLEANER_LATER, permission=repeat, schedule=hours_later(now)),
        Invitee(
            userName="Anika Steyn", mobile=GUEST_NOW, permission=temporary, startDate=_ms(long_ago), endDate=_ms(soon)
        ),
        Invitee(
            userName="Riaan Venter",
            mobile=GUEST_TOMORROW,
            permission=temporary,
            startDate=_ms(morning),
            endDate=_ms(evening),
        ),
        Invitee(userName="Elmarie Brand", mobile=NOT_FROM_AFAR, permission=Permission.ALWAYS, wifi=False),
    ]
    return [Invitee(**person, accepted=True) for person in people]


def _window(start: datetime, end: datetime) -> list[dict[str, Any]]:
    return [{"days": [DAYS[start.weekday()]], "from": f"{start:%H:%M}", "until": f"{end:%H:%M}"}]


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
