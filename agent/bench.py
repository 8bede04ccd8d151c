"""The daemon's ear for the installer: a pipe in the state directory, through which `fluss-agent test` asks for a pulse.

A pipe and no socket: nothing to connect to from afar, and nobody may write who may not write the state directory. One
line asks; one small file, named by whoever asked, answers.
"""

import asyncio
import errno
import os
import secrets
import stat
import time
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Final

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent.clock import uptime_ms
from agent.request import Answer
from protocol.hardware import MAX_LINE, Lines
from protocol.vocabulary import Denial

log = structlog.get_logger()

FILE: Final = "bench"
LISTEN_S: Final = 5.0
"""How long a daemon that just starts gets until it listens."""

START_MS: Final = 2_000
"""An order not begun by then is none any more: somebody may have walked into the gate's way since they were asked."""

ANSWER_S: Final = 10.0
"""How long whoever asked waits: for the start, a sick card, the hardware and the log, each with a limit of its own."""

RECORD_S: Final = 0.5
"""How long an answer waits for its event to be stored."""

CLOSE_S: Final = 1.0
"""How long a pulse under way may go on when the daemon leaves; the intent of one that is cut off is on the card."""

AT_ONCE: Final = 4
PAUSE_S: Final = 1.0
"""After something unreadable: whoever floods the pipe gets no more of the gate's time."""

_LOOK_S: Final = 0.02


class Deaf(Exception):
    """Nobody listens, or nobody answers; the words say which, and what to do."""


class _Said(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Order(_Said):
    """One pulse, please."""

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    device: Annotated[str, Field(min_length=1, max_length=64)]
    until: int
    """By when it must have begun; milliseconds of the board's uptime, which nobody can set."""


class Pulsed(_Said):
    """What became of a pulse: denied for a reason, or else what the hardware says (`ok` None: nobody knows)."""

    reason: Denial | None = None
    ok: bool | None = None
    error: str | None = None
    recorded: bool
    """Whether the access log has it by now."""


async def pulsed(answer: Answer) -> Pulsed:
    """The answer of a gate, once its event is stored or has been waited for long enough."""
    await asyncio.wait([answer.stored], timeout=RECORD_S)
    recorded = answer.stored.done() and not answer.stored.cancelled()
    ok, error = (answer.actuated.ok, answer.actuated.error) if answer.actuated else (None, None)
    return Pulsed(reason=answer.reason, ok=ok, error=error, recorded=recorded)


class Bench:
    """Hears orders at `path`, and has `pulse` carry them out: it gets the device's id and an id for the request.

    Orders for a device that is not among `devices` are denied.
    """

    def __init__(self, path: Path, devices: Collection[str], pulse: Callable[[str, str], Awaitable[Answer]]) -> None:
        self._path = path
        self._devices = devices
        self._pulse = pulse
        self._serving: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Listen until cancelled; what is under way then may come to its end, and a bug in it comes up here.

        A disk without pipes costs the test and nothing else: it is logged.
        """
        reader = asyncio.StreamReader(limit=MAX_LINE)
        try:
            transport, _ = await asyncio.get_running_loop().connect_read_pipe(
                lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(_made(self._path), "rb", buffering=0)
            )
        except OSError as error:
            log.warning("bench.failed", error=str(error))
            return
        async with asyncio.TaskGroup() as tasks:
            try:
                await self._listen(reader, tasks)
            finally:
                self._path.unlink(missing_ok=True)
                transport.close()
                if self._serving:
                    await asyncio.wait(self._serving, timeout=CLOSE_S)

    async def _listen(self, reader: asyncio.StreamReader, tasks: asyncio.TaskGroup) -> None:
        lines = Lines()
        while chunk := await reader.read(MAX_LINE):
            orders = [_read(line) for line in lines.cut(chunk)]
            for order in filter(None, orders):
                self._take(order, tasks)
            if unreadable := orders.count(None):
                log.warning("bench.garbled", lines=unreadable)
                await asyncio.sleep(PAUSE_S)

    def _take(self, order: _Order, tasks: asyncio.TaskGroup) -> None:
        if uptime_ms() > order.until:
            log.warning("bench.late", device_id=order.device)
        elif order.device not in self._devices:
            self._answer(order, Pulsed(reason=Denial.UNKNOWN_DEVICE, recorded=False))
        elif len(self._serving) >= AT_ONCE:
            self._answer(order, Pulsed(reason=Denial.BUSY, recorded=False))
        else:
            task = tasks.create_task(self._serve(order), name="bench-pulse")
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)

    async def _serve(self, order: _Order) -> None:
        log.info("bench.asked", device_id=order.device)
        self._answer(order, await pulsed(await self._pulse(order.device, order.id)))

    def _answer(self, order: _Order, said: Pulsed) -> None:
        """Leave the answer for whoever asked, and take it away again in case they have gone."""
        file = _answer_file(self._path, order.id)
        fresh = file.with_name(f"{file.name}.new")
        try:
            fresh.write_text(said.model_dump_json())
            fresh.replace(file)
        except OSError as error:
            log.warning("bench.unanswered", error=str(error))
        asyncio.get_running_loop().call_later(ANSWER_S, _removed, file)


def ask(path: Path, device_id: str) -> Pulsed:
    """Have the daemon that listens at `path` give one pulse, and wait for what became of it.

    Raises Deaf, and OSError where this user may not ask.
    """
    pipe = _listener(path)
    order = _Order(id=secrets.token_hex(16), device=device_id, until=uptime_ms() + START_MS)
    answer, until = _answer_file(path, order.id), time.monotonic() + ANSWER_S
    try:
        os.write(pipe, order.model_dump_json().encode() + b"\n")  # shorter than PIPE_BUF: in one piece or not at all
        while time.monotonic() < until:
            with suppress(FileNotFoundError):
                return Pulsed.model_validate_json(answer.read_bytes())
            time.sleep(_LOOK_S)
    except BlockingIOError as error:
        raise Deaf("the gateway does not listen at present; its log says why") from error
    finally:
        os.close(pipe)
        _removed(answer)
    raise Deaf(f"the gateway did not answer within {ANSWER_S:g} s: look at the gate, and in the gateway's log")


def _listener(path: Path) -> int:
    """The end of the pipe to write to, once the daemon has opened its own: it may just be starting. Raises Deaf."""
    until = time.monotonic() + LISTEN_S
    while (pipe := _opened(path)) is None:
        if time.monotonic() >= until:
            raise Deaf("the gateway runs and does not listen; its log says why")
        time.sleep(_LOOK_S)
    if not stat.S_ISFIFO(os.fstat(pipe).st_mode):
        os.close(pipe)
        raise Deaf(f"{path} is no pipe: restart the gateway")
    return pipe


def _opened(path: Path) -> int | None:
    """The end of the pipe to write to; None where nobody reads from it."""
    try:
        return os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ENXIO}:
            return None
        raise


def _made(path: Path) -> int:
    """A new pipe, opened at both ends so that it never ends; whatever an earlier daemon left goes."""
    for left in (path, *path.parent.glob(f"{path.name}.*")):
        left.unlink(missing_ok=True)
    os.mkfifo(path, 0o600)
    return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)


def _read(line: bytes | None) -> _Order | None:
    """The order on a line; None for anything else."""
    try:
        return None if line is None else _Order.model_validate_json(line)
    except ValidationError:
        return None


def _answer_file(path: Path, order_id: str) -> Path:
    return path.with_name(f"{path.name}.{order_id}")


def _removed(file: Path) -> None:
    with suppress(OSError):
        file.unlink()
