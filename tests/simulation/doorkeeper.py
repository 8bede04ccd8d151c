"""Who stood at a gate, what became of them, and whether that was right: by the model's list and the true time."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from agent import intents
from agent.intents import SLOT_BYTES, Intent
from protocol.events import Event
from tests.oracle.histories import GATE
from tests.oracle.rows import Row
from tests.simulation.board import Board
from tests.simulation.books import Books
from tests.simulation.cloud import Command
from tests.simulation.disk import Disk
from tests.simulation.hardware import Asked
from tests.simulation.keeping import Anomaly

SLACK_MS: Final = 250
"""How exactly a moment is told: what lies between somebody asking and the gate deciding."""

DECIDED_MS: Final = 4_000
"""What is decided is carried out by then, also with a sick card: what was answered meanwhile came too late."""

ANSWER_S: Final = 9.0
"""By then whoever asked has an answer, unless the line or the process broke."""

_TIMED: Final = ("Temporary", "Repeat")
_HINDERED: Final = frozenset({"device_offline", "busy", "storage_fault"})
_EAST: Final = timedelta(hours=2)
"""Johannesburg has kept it since 1944."""


class Doorkeeper:
    """Judges every answer and every movement of the gates when it comes, and the log at the end."""

    def __init__(self, books: Books, board: Board, disk: Disk) -> None:
        self.life = 0
        self.hindered = True
        """Lines may be down and the card may be sick: nobody is promised anything."""
        self.lossy: set[int] = set()
        """Lives that ended without a chance to store what they had still to tell."""
        self.sure = False
        """The board knows the time."""
        self.tried = 0
        self.granted = 0
        self._books = books
        self._board = board
        self._disk = disk
        self._waiting: dict[str, tuple[Asked, set[str | None]]] = {}
        self._allowed: dict[str, set[str | None]] = {}
        self._asked: dict[str, Asked] = {}
        self._told: list[tuple[Asked, int]] = []
        self._moved: Counter[str] = Counter()
        self._unnoted: Counter[str] = Counter()
        self._moved_at = 0
        self._carried_out: Counter[str] = Counter()
        self._commands: dict[str, Command] = {}
        self._taken_up: set[tuple[str, str]] = set()

    def accepted(self, device_id: str, mobile: str) -> None:
        """Somebody has taken up an invitation at a device."""
        self._taken_up.add((device_id, mobile))
        self.look()

    def asked(self, asked: Asked) -> None:
        """Somebody asks."""
        self._asked[asked.request_id] = asked
        self._waiting[asked.request_id] = (asked, set())
        self._allowed[asked.request_id] = self._waiting[asked.request_id][1]
        self.look()

    def ordered(self, command: Command) -> None:
        """The cloud asks for somebody."""
        self._commands[command.command_id] = command
        self._allowed[command.command_id] = set()
        self.look()

    def look(self) -> None:
        """The list, or the moment, is another: whoever waits may be judged by either."""
        for asked, verdicts in self._waiting.values():
            verdicts.update(self._verdicts(asked.device_id, asked.mobile, asked.channel))
        for command in self._commands.values():
            if self._board.misled or self._board.truth <= command.said["expiresAt"] + 10_000:
                said = command.said
                self._allowed[command.command_id] |= self._verdicts(said["deviceId"], said["mobile"], "wifi")

    def answered(self, asked: Asked) -> None:
        """Somebody hears what became of it. Raises Anomaly."""
        _, verdicts = self._waiting.pop(asked.request_id, (asked, set()))
        verdicts |= self._verdicts(asked.device_id, asked.mobile, asked.channel)
        self.tried += 1
        self._told.append((asked, self.life))
        reason = None if asked.answer == "granted" else asked.answer
        if reason not in verdicts and not (self.hindered and reason in _HINDERED):
            raise Anomaly(f"{asked} should have heard one of {sorted(map(str, verdicts))}")

    def moved(self, device_id: str, name: str) -> None:
        """A gate was told to move. Raises Anomaly."""
        self.granted += 1
        self._moved[name] += 1
        intent = self._intent(device_id, name)
        self._moved_at = self._board.truth
        asked = name if intent is None else intent.request
        self._carried_out[asked] += asked in self._allowed  # a number of ours is given out again where nobody noted it
        if self._carried_out[asked] > 1:
            raise Anomaly(f"{device_id} was told to move for {asked} twice")
        if intent is None:
            if self._disk.unwritten_intents == 0:
                raise Anomaly(f"{device_id} was told {name}, and the card knows nothing of it")
            self._unnoted[name] += 1
            return
        self._check_entitled(intent)

    def _check_entitled(self, intent: Intent) -> None:
        self.look()
        if intent.command_id is not None:
            command = self._commands.get(intent.command_id)
            if command is None:
                raise Anomaly(f"command {intent.command_id} moved a gate, and nobody has sent it")
            if not self._board.misled and self._board.truth > command.said["expiresAt"] + SLACK_MS + 2_000:
                raise Anomaly(f"command {intent.command_id} was carried out late")
            for reply in self._books.replied.get(intent.command_id, ()):
                if (
                    reply["outcome"] == "refused"
                    and reply["error"]["code"] != "repeated"
                    and reply["storedAt"] < self._board.truth - DECIDED_MS
                ):
                    raise Anomaly(f"command {intent.command_id} was carried out after it was answered: {reply}")
        elif intent.request not in self._allowed:
            raise Anomaly(f"nobody asked for {intent.request}")
        if None not in self._allowed[intent.request]:
            raise Anomaly(f"{intent.request} moved a gate, allowed was {self._allowed[intent.request]}")

    def check(self) -> None:
        """At the end: every movement has its event, and every command at most one. Raises Anomaly."""
        rows = [recorded.event for _, recorded in sorted(self._books.events.items())]
        openings = Counter(row.request for row in rows if row.reason is None)
        if twice := [request for request, times in openings.items() if times > 1]:
            raise Anomaly(f"these have several openings in the log: {twice}")
        if unasked := {row.request for row in rows} - self._allowed.keys():
            raise Anomaly(f"nobody asked for {sorted(unasked)}")
        for row in rows:
            name = f"{row.device_id}-{row.intent}"
            # A number is given out again where nothing on the card knew of it.
            if row.request in self._commands and 0 < self._unnoted[name] == self._moved[name]:
                raise Anomaly(f"command {row.request} moved a gate, and the card knew nothing of it")
        known = {name for row in rows if row.reason is None for name in (row.request, f"{row.device_id}-{row.intent}")}
        if (unknown := self._moved.keys() - known) and len(unknown) > self._disk.unwritten_intents:
            raise Anomaly(f"these moved a gate and have no event: {sorted(unknown)}")
        moved = self._moved.keys()
        for row in rows:
            if row.actuated is not None and not moved & {row.request, f"{row.device_id}-{row.intent}"}:
                raise Anomaly(f"the log says that {row.request} moved a gate, and none was told")
        intents_of = Counter(row.intent for row in rows if row.intent is not None)
        if repeated := [intent for intent, times in intents_of.items() if times > 1]:
            raise Anomaly(f"intents with several events: {repeated}")
        self._check_told(rows)

    def _check_told(self, rows: Sequence[Event]) -> None:
        """Whoever got an answer is in the log, once, unless the process died before it could write that down."""
        logged = Counter(row.request for row in rows)
        at_once = Counter((row.request, row.at) for row in rows)
        for (request, _), times in at_once.items():
            if times > 1 and (asked := self._asked.get(request)) is not None and asked.said == 1:
                raise Anomaly(f"{asked} is in the log {times} times")
        if self._books.lost:
            return
        for asked, life in self._told:
            # Whom a gateway is too busy for, or on its way out, is told so at once, and not written down.
            if not logged[asked.request_id] and life not in self.lossy and asked.answer != "busy":
                raise Anomaly(f"{asked} is not in the log")

    @property
    def is_moving(self) -> bool:
        """Whether a gate was told to move so lately that what became of it may not be known yet."""
        return self._board.truth - self._moved_at < ANSWER_S * 1000

    def unanswered(self, now: float) -> Iterator[Asked]:
        """Who asked long enough ago and has heard nothing."""
        return (asked for asked, _ in self._waiting.values() if now - asked.at > ANSWER_S)

    def expect_the_best(self) -> None:
        """All is well from here on: nothing hinders anybody, and the time is known. Who stood there has gone away."""
        self.hindered, self.sure = False, True
        self._waiting.clear()

    def _intent(self, device_id: str, name: str) -> Intent | None:
        """The intent on the card under which a gate moves."""
        try:
            content = (self._disk.folder / "intents").read_bytes()
        except FileNotFoundError:
            return None
        for start in range(0, len(content), SLOT_BYTES):
            slot = content[start : start + SLOT_BYTES]
            intent = intents._unpacked(slot, None) if any(slot[:8]) else None
            if intent is not None and intent.opens == device_id:
                own = intent.device_id == device_id and intent.command_id is None
                if name == (intent.request if own else f"{intent.device_id}-{intent.number}"):
                    return intent
        return None

    def _verdicts(self, device_id: str, mobile: str, channel: str) -> set[str | None]:
        """What somebody may hear now: an answer that is about to change may be either."""
        row = self._books.model.lists[device_id].get(mobile)
        found: set[str | None] = {"unknown_user"} if self._books.is_buried(device_id, mobile) else set()
        for at in (self._board.truth - SLACK_MS, self._board.truth + SLACK_MS):
            for taken_up in {False, (device_id, mobile) in self._taken_up}:
                found |= _verdicts(row, device_id, channel, at, taken_up=taken_up, sure=self.sure)
        if self._board.misled and row is not None and row.terms.permission in _TIMED:
            found |= {None, "expired", "not_yet_valid", "outside_schedule", "clock_unknown"}
        return found


def _verdicts(row: Row | None, device_id: str, channel: str, at: int, *, taken_up: bool, sure: bool) -> set[str | None]:
    """Why somebody stays outside at a moment, None where they get in; a board may not be `sure` of the moment."""
    if row is None:
        return {"unknown_user"}
    if row.status is None:
        return {"revoked"}
    over = row.status == "Expired" or (row.until is not None and row.until <= at)
    timed = device_id == GATE and row.terms.permission in _TIMED
    if row.status == "Expired" or (over and sure):
        return {"expired"}
    if row.status == "Pending" and not taken_up:
        return {"not_accepted", "expired"} if over else {"not_accepted"}
    if channel == "wifi" and not row.wifi:
        return {"wifi_not_allowed", "expired"} if over else {"wifi_not_allowed"}
    if not timed:
        return {None, "expired"} if over else {None}
    return {_untimely(row, at)} | (set() if sure else {"clock_unknown", "expired"} if over else {"clock_unknown"})


def _untimely(visitor: Row, at: int) -> str | None:
    """Why it is not a visitor's time."""
    terms = visitor.terms
    if terms.ends is not None and terms.ends <= at:
        return "expired"
    if terms.starts is not None and at < terms.starts:
        return "not_yet_valid"
    return None if terms.permission == "Temporary" or _is_open(terms.schedule, at) else "outside_schedule"


def _is_open(schedule: Collection[tuple[frozenset[str], str, str]], at: int) -> bool:
    """Whether a schedule, as the oracle keeps it, is open at a moment in Johannesburg."""
    wall = datetime.fromtimestamp(at / 1000, UTC) + _EAST
    now = f"{wall:%H:%M}"
    today, yesterday = f"{wall:%a}".lower(), f"{wall - timedelta(days=1):%a}".lower()
    for days, begins, ends in schedule:
        if ends > begins:
            if today in days and begins <= now < ends:
                return True
        elif (today in days and now >= begins) or (yesterday in days and now < ends):
            return True
    return False
