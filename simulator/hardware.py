"""One device on the hardware line: who talks to the gateway for the motor of a gate, or for a panel beside it.

The gateway dials; a second connection takes the place of the first.
"""

import asyncio
import secrets
import time
from abc import ABC, abstractmethod
from collections import OrderedDict, deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import ClassVar, Final, Self

from protocol.hardware import (
    MAX_LINE,
    Accepted,
    Actuate,
    Asked,
    Did,
    FromHardware,
    Garbled,
    Granted,
    Hello,
    Lines,
    Refuse,
    told,
)
from protocol.vocabulary import Action, Channel, Decision, Direction, Kind
from simulator.asides import Asides
from simulator.happening import Happening, Notice, What, request_words

FIRMWARE: Final = "1.4.2"
PATIENCE_S: Final = 5.0
"""How long somebody waits at a gate for an answer."""

GREETING_S: Final = 5.0
"""How often a device on a serial line says hello."""

_HISTORY: Final = 1_000
_REMEMBERED: Final = 1_000
_CHUNK: Final = 16 * 1_024
_UNSENT: Final = 64 * 1_024


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a request, as whoever asked sees it."""

    request_id: str
    decision: Decision | None
    """None: nobody answered in time."""
    reason: str | None
    """Why not, or why nothing moved although it was allowed, as the wire has it."""
    after_ms: int

    @property
    def allowed(self) -> bool:
        """Whether the gateway said yes."""
        return self.decision is Decision.ALLOWED


@dataclass(slots=True)
class _Line:
    writer: asyncio.StreamWriter
    silent: bool = False

    def write(self, data: bytes) -> None:
        if self.silent or self.writer.is_closing():
            return
        self.writer.write(data)
        if self.writer.transport.get_write_buffer_size() > _UNSENT:
            self.cut()  # whoever dialled never reads

    def cut(self) -> None:
        if not self.writer.is_closing():  # a terminal's transport takes the second time ill
            self.writer.transport.abort()


@dataclass(frozen=True, slots=True)
class _Question:
    words: str
    settled: asyncio.Future[tuple[Decision, str | None]] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def settle(self, decision: Decision, reason: str | None) -> None:
        if not self.settled.done():
            self.settled.set_result((decision, reason))


class Hardware(ABC):
    """A device while the context is open; a wire has its `meet` called for every gateway that dials.

    `notice` hears of everything that happens. What it was once told to do it never does again.
    """

    kind: ClassVar[Kind]

    def __init__(
        self, device_id: str, *, name: str | None = None, firmware: str = FIRMWARE, notice: Notice | None = None
    ) -> None:
        self.device_id = device_id
        self.name = name or device_id
        self.deaf = False
        """What it is told to do, it neither does nor answers."""
        self.mute = False
        """It does what it is told, and never says so."""
        self.history: deque[Happening] = deque(maxlen=_HISTORY)
        self.notice = notice
        self._firmware = firmware
        self._line: _Line | None = None
        self._dialled = asyncio.Event()
        self._questions: dict[str, _Question] = {}
        self._did: OrderedDict[str, Did] = OrderedDict()
        self._asides = Asides()

    async def __aenter__(self) -> Self:
        await self._asides.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.drop()
        await self._asides.__aexit__()

    @property
    def connected(self) -> bool:
        """Whether a gateway has dialled, and is still there as far as anybody can see."""
        return self._line is not None

    @property
    @abstractmethod
    def stands(self) -> str:
        """What can be seen of it, in words."""

    @abstractmethod
    def _act(self, action: Action, request_id: str) -> str | None:
        """Do this; None, or why not."""

    def _greeting(self) -> list[FromHardware]:
        return [Hello(device_id=self.device_id, kind=self.kind, firmware=self._firmware)]

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Talk to a gateway until it is gone, or another one has dialled."""
        if self._line is not None:
            self._line.cut()
        line = self._line = _Line(writer)
        self._happened(What.CONNECTED)
        self._greet()
        self._dialled.set()
        # Nobody sees a gateway open a serial port, and what was said before that is lost.
        unseen = writer.get_extra_info("socket") is None
        end_greetings = self._asides.begin(self._greet_again()) if unseen else None
        lines = Lines()
        try:
            while chunk := await reader.read(_CHUNK):
                for said in lines.cut(chunk):
                    if line is self._line and not line.silent:
                        self._hear(said)
        except OSError:
            pass  # it broke, which is one way to be gone
        finally:
            if end_greetings is not None:
                end_greetings()
            line.cut()
            if line is self._line:
                self._line = None
                self._dialled.clear()
                self._happened(What.GONE)

    async def ask(
        self,
        mobile: str | None = None,
        *,
        code: str | None = None,
        channel: Channel | None = None,
        action: Action = Action.TRIGGER,
        direction: Direction | None = None,
        unit: str | None = None,
        note: str | None = None,
        device_id: str | None = None,
        age_ms: int = 0,
        request_id: str | None = None,
        patience_s: float = PATIENCE_S,
    ) -> Answer:
        """Have somebody ask, by number or by code, and wait for what the gateway says.

        Where no gateway is there the request waits for one, and says how old it is. An answer that comes after
        `patience_s` is carried out all the same. Raises pydantic's ValidationError where the line cannot carry it.
        """
        began = time.monotonic()
        request_id = request_id or secrets.token_hex(8)
        asked = Asked(
            request_id=request_id,
            mobile=mobile,
            code=code,
            channel=channel or self._usual_channel(code),
            action=action,
            direction=direction,
            unit=unit,
            note=note,
            device_id=device_id,
            age_ms=age_ms,
        )
        question = self._questions.setdefault(request_id, _Question(request_words(asked)))
        try:
            async with asyncio.timeout(patience_s):
                await self._dialled.wait()
                waited_ms = _ms_since(began)
                self._happened(What.ASKED, question.words, request_id=request_id)
                self._say(asked.model_copy(update={"age_ms": age_ms + waited_ms}))
                decision, reason = await asyncio.shield(question.settled)
                return Answer(request_id, decision, reason, _ms_since(began))
        except TimeoutError:
            silence = "no answer" if self.connected else "no gateway"
            self._happened(What.UNANSWERED, question.words, silence, request_id)
            return Answer(request_id, None, silence, _ms_since(began))
        finally:
            self._questions.pop(request_id, None)

    async def accept(self, mobile: str, *, patience_s: float = PATIENCE_S) -> bool:
        """Have somebody take up their invitation here; whether a gateway was there to be told."""
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await self._dialled.wait()
            self._say(Accepted(mobile=mobile))
            self._happened(What.ACCEPTED, mobile)
            return True
        self._happened(What.UNANSWERED, f"{mobile} accepts", "no gateway")
        return False

    def drop(self) -> None:
        """Cut the connection. On a serial line it looks as if the device had started again."""
        if self._line is not None:
            self._line.cut()

    def go_silent(self) -> None:
        """Leave this connection half open: nothing is heard and nothing said on it any more. The next one is alive."""
        if self._line is not None:
            self._line.silent = True
            self._happened(What.BROKEN, reason="half open")

    def babble(self, data: bytes = b'\x00\xff{"type":\n') -> None:
        """Put any bytes on the line."""
        if self._line is not None:
            self._line.write(data)

    def _usual_channel(self, code: str | None) -> Channel:
        return Channel.BLUETOOTH if code is None else Channel.KEYPAD

    def _hear(self, said: bytes | None) -> None:
        if said is None:
            self._happened(What.GARBLED, reason=f"a line of more than {MAX_LINE} bytes")
            return
        try:
            message = told(said)
        except Garbled as why:
            self._happened(What.GARBLED, reason=str(why))
            return
        match message:
            case Actuate():
                self._actuate(message)
            case Refuse():
                self._decided(message.request_id, Decision.DENIED, message.reason)
            case Granted():
                self._decided(message.request_id, Decision.ALLOWED)

    def _actuate(self, message: Actuate) -> None:
        request_id, action = message.request_id, str(message.action)
        if self.deaf:
            self._happened(What.BROKEN, action, "deaf", request_id)
            return
        question = self._questions.get(request_id)
        if question is None:
            self._happened(What.TOLD, f"the gateway: {action}", request_id=request_id)
        else:
            self._happened(What.ALLOWED, question.words, request_id=request_id)
        did = self._did.get(request_id)
        if did is None:
            error = self._act(message.action, request_id)
            did = self._did[request_id] = Did(request_id=request_id, ok=error is None, error=error)
            if len(self._did) > _REMEMBERED:
                self._did.popitem(last=False)
            if error is not None:
                self._happened(What.FAILED, action, error, request_id)
        else:
            self._happened(What.REPEATED, action, request_id=request_id)
        if not self.mute:
            self._say(did)
        if question is not None:
            question.settle(Decision.ALLOWED, did.error)

    def _decided(self, request_id: str, decision: Decision, reason: str | None = None) -> None:
        question = self._questions.get(request_id)
        if question is not None:
            self._happened(What(decision), question.words, reason, request_id)
            question.settle(decision, reason)

    def _greet(self) -> None:
        for each in self._greeting():
            self._say(each)

    async def _greet_again(self) -> None:
        while True:
            await asyncio.sleep(GREETING_S)
            self._greet()

    def _say(self, message: FromHardware) -> None:
        if self._line is not None:
            self._line.write(message.line())

    def _happened(
        self, what: What, request: str = "", reason: str | None = None, request_id: str | None = None
    ) -> None:
        happening = Happening(time.time_ns() // 1_000_000, self.name, what, request, reason or "", request_id)
        self.history.append(happening)
        if self.notice is not None:
            self.notice(happening)


def _ms_since(began: float) -> int:
    return int((time.monotonic() - began) * 1_000)
